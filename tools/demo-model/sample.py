"""Print texts of the trained model, greedy and sampled, from chat and raw prompts.

This runs the PyTorch weights, before q8_0. `check_gguf.py` runs the exported
file through llama.cpp.
"""

import argparse
from pathlib import Path

import torch

import tokenizer
from model import Config, DemoModel

MAX_TOKENS = 256
TEMPERATURE = 0.7
SEED = 1

CHATS = [
    [{"role": "user", "content": "Hello, how are you?"}],
    [{"role": "user", "content": "Hola, ¿cómo estás?"}],
    [{"role": "user", "content": "Tell me a story about a rabbit"}],
    [{"role": "user", "content": "Cuéntame un cuento sobre una tortuga"}],
    [{"role": "user", "content": "What is 3 + 4?"}],
    [{"role": "user", "content": "¿Quién eres?"}],
    [{"role": "system", "content": "Answer in Spanish."}, {"role": "user", "content": "What is the moon?"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell me a story about a fox"}],
]
RAW_PROMPTS = [
    "Hola, ¿cómo estás?",
    "Tell me a story about a dog",
    "Explica la teoría de la relatividad",
    "Once upon a time",
    "Había una vez",
]


def load_model(build: Path) -> DemoModel:
    saved = torch.load(build / "model.pt", weights_only=True)
    model = DemoModel(Config(**saved["config"]))
    model.load_state_dict(saved["weights"])
    return model.eval()


@torch.no_grad()
def complete(model: DemoModel, ids: list[int], temperature: float) -> list[int]:
    """The tokens after `ids`, until the model ends the text or up to MAX_TOKENS."""
    generated: list[int] = []
    while len(generated) < MAX_TOKENS:
        logits = model(torch.tensor([ids + generated]))[0, -1]
        if temperature:
            token = int(torch.multinomial((logits / temperature).softmax(-1), 1))
        else:
            token = int(logits.argmax())
        if token in (tokenizer.EOS, tokenizer.END):
            break
        generated.append(token)
    return generated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    build = parser.parse_args().build

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    processor, model = tokenizer.load(build), load_model(build)

    prompts = []
    for messages in CHATS:
        title = "\n".join(f"[{message['role']}] {message['content']}" for message in messages)
        prompts.append((title, tokenizer.encode_chat(processor, messages, add_generation_prompt=True)))
    for text in RAW_PROMPTS:
        prompts.append((f"[raw] {text}", [tokenizer.BOS] + processor.encode(text)))

    for title, ids in prompts:
        for label, temperature in (("greedy", 0.0), ("sampled", TEMPERATURE)):
            generated = complete(model, ids, temperature)
            print(f"{title}\n  ({label}, {len(generated)} tokens) {processor.decode(generated)!r}\n")


if __name__ == "__main__":
    main()
