"""Print the loss of the trained model on the held-out documents.

The held-out documents come from the same grammar with another seed. The loss
shows how well the model learned the grammar and nothing about other text.
"""

import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F

import tokenizer
from sample import load_model


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    build = parser.parse_args().build

    torch.set_num_threads(1)
    processor, model = tokenizer.load(build), load_model(build)
    nats, tokens, size = 0.0, 0, 0
    for document in tokenizer.read_documents(build / "heldout.jsonl"):
        ids = torch.tensor(tokenizer.encode_document(processor, document))
        nats += F.cross_entropy(model(ids[None, :-1])[0], ids[1:], reduction="sum").item()
        tokens += len(ids) - 1
        size += sum(len(text.encode()) for text in tokenizer.document_texts(document))
    print(f"{nats / tokens:.4f} nats/token over {tokens} tokens")
    print(f"{nats / math.log(2) / size:.4f} bits/byte over {size} bytes of text")


if __name__ == "__main__":
    main()
