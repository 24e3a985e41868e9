"""Compare demo.gguf in llama.cpp with the PyTorch model and the tokenizer.

It fails if llama.cpp tokenizes differently, if the chat template gives other
ids than the training documents have, if the logits differ by more than q8_0
explains, or if an answer does not end by itself. It needs llama-cpp-python and
jinja2, so it is not part of the default target.
"""

import argparse
from pathlib import Path

import jinja2
import llama_cpp
import numpy as np
import torch

import sample
import tokenizer

TEXTS = [
    "Hola, ¿cómo estás? ¡Qué alegría!",
    "  two  spaces,\ttab\n\nand newlines \n",
    "emoji 😊 🦊 🎈 👩‍🚀 日本語 naïve Ünïcode €5",
    "<|user|> is only text here </s> <0x0A>",
    "",
    " ",
    "\n",
    "Tell me a story about a dog",
]


def raise_exception(message: str) -> None:
    raise ValueError(message)


def check_tokens(llama: llama_cpp.Llama, processor) -> None:
    for text in TEXTS:
        expected = processor.encode(text)
        actual = llama.tokenize(text.encode(), add_bos=False, special=False)
        assert actual == expected, (text, actual, expected)
        assert llama.detokenize(actual).decode() == text, text
        assert llama.tokenize(text.encode(), add_bos=True, special=False) == [tokenizer.BOS, *expected]


def check_template(llama: llama_cpp.Llama, processor) -> None:
    source = llama.metadata["tokenizer.chat_template"]
    template = jinja2.Environment().from_string(source)
    variables = {"bos_token": "<s>", "eos_token": "</s>", "raise_exception": raise_exception}
    conversations = sample.CHATS + [
        [
            {"role": "system", "content": "Sé breve."},
            {"role": "user", "content": "Hola\n¿qué tal?"},
            {"role": "assistant", "content": "Bien 😊"},
            {"role": "user", "content": "  Adiós 🦊 "},
        ]
    ]
    for messages in conversations:
        text = template.render(messages=messages, add_generation_prompt=True, **variables)
        actual = llama.tokenize(text.encode(), add_bos=False, special=True)
        expected = tokenizer.encode_chat(processor, messages, add_generation_prompt=True)
        assert actual == expected, (text, actual, expected)
    try:
        template.render(messages=[{"role": "tool", "content": ""}], **variables)
    except ValueError:
        return
    raise AssertionError("the template accepted an unknown role")


def check_logits(llama: llama_cpp.Llama, model, processor) -> None:
    ids = [tokenizer.BOS] + processor.encode("Había una vez un perro que vivía en el bosque.")
    llama.reset()
    llama.eval(ids)
    actual = llama.scores[: len(ids)]
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0].numpy()
    difference = np.abs(actual - expected).max()
    agreement = (actual.argmax(-1) == expected.argmax(-1)).mean()
    print(f"logits: largest difference {difference:.3f}, same most probable token {agreement:.0%}")
    assert difference < 1.0 and agreement > 0.9


def show(llama: llama_cpp.Llama, title: str, ids: list[int]) -> None:
    for label, temperature in (("greedy", 0.0), ("sampled", sample.TEMPERATURE)):
        result = llama.create_completion(
            ids, max_tokens=sample.MAX_TOKENS, temperature=temperature, top_k=0, top_p=1.0,
            min_p=0.0, repeat_penalty=1.0, seed=sample.SEED,
        )
        choice, usage = result["choices"][0], result["usage"]
        print(f"{title}\n  ({label}, {usage['completion_tokens']} tokens) {choice['text']!r}\n")
        assert choice["finish_reason"] == "stop", title


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--model", type=Path, default=Path("demo.gguf"))
    arguments = parser.parse_args()

    processor = tokenizer.load(arguments.build)
    llama = llama_cpp.Llama(str(arguments.model), n_ctx=1024, n_threads=2, logits_all=True, verbose=False)
    check_tokens(llama, processor)
    check_template(llama, processor)
    check_logits(llama, sample.load_model(arguments.build), processor)
    for messages in sample.CHATS:
        title = "\n".join(f"[{message['role']}] {message['content']}" for message in messages)
        show(llama, title, tokenizer.encode_chat(processor, messages, add_generation_prompt=True))
    for text in sample.RAW_PROMPTS:
        show(llama, f"[raw] {text}", [tokenizer.BOS] + processor.encode(text))


if __name__ == "__main__":
    main()
