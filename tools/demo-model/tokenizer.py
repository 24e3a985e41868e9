"""The demo model's tokenizer: training, text <-> ids, and document encoding.

The tokenizer is a sentencepiece BPE model with byte fallback. llama.cpp has the
same algorithm for `tokenizer.ggml.model = "llama"`, so the ids of both can be
compared.

Text round-trips without loss: there is no normalization, repeated spaces are
preserved, and no space is added before the text. A newline has no piece, it is
the byte token <0x0A>.
"""

import argparse
import json
from array import array
from pathlib import Path

import sentencepiece as spm

VOCAB_SIZE = 2048

# The ids follow from the order in which sentencepiece numbers its pieces.
# SentencePieceProcessor never produces control pieces from text.
UNK, BOS, EOS = 0, 1, 2
CONTROL_PIECES = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
ROLE_IDS = {"system": 3, "user": 4, "assistant": 5}
END = 6

# Removed from the text for tokenizer training. These characters are then four
# byte tokens each, so the model learns byte tokens and clients receive them.
BYTE_ONLY_EMOJI = "🦉🦊🐢🎈🌈🚲🍎🎉"

# Characters that have a piece even if they are rare in the corpus.
REQUIRED_CHARS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    "áéíóúüñÁÉÍÓÚÜÑ¿¡.,:;!?'\"()-+=*/%&@#_<>[]{}|\\^~`$€"
)


def train(documents: list[dict], prefix: Path) -> None:
    """Train the sentencepiece model on the text of `documents`."""
    hidden = str.maketrans("", "", BYTE_ONLY_EMOJI)
    lines = (
        line.translate(hidden)
        for document in documents
        for text in document_texts(document)
        for line in text.split("\n")
        if line
    )
    spm.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_prefix=str(prefix),
        model_type="bpe",
        vocab_size=VOCAB_SIZE,
        byte_fallback=True,
        character_coverage=1.0,
        required_chars=REQUIRED_CHARS,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        control_symbols=CONTROL_PIECES,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        num_threads=1,
        minloglevel=1,
    )


def load(build: Path) -> spm.SentencePieceProcessor:
    return spm.SentencePieceProcessor(model_file=str(build / "tokenizer.model"))


def document_texts(document: dict) -> list[str]:
    if "text" in document:
        return [document["text"]]
    return [message["content"] for message in document["messages"]]


def encode_chat(
    processor: spm.SentencePieceProcessor,
    messages: list[dict],
    add_generation_prompt: bool = False,
) -> list[int]:
    """Ids of a conversation, equal to those of the text from chat_template.jinja."""
    newline = processor.encode("\n")
    ids = [BOS]
    for message in messages:
        ids.append(ROLE_IDS[message["role"]])
        ids += newline + processor.encode(message["content"])
        ids.append(END)
        ids += newline
    if add_generation_prompt:
        ids.append(ROLE_IDS["assistant"])
        ids += newline
    return ids


def encode_document(processor: spm.SentencePieceProcessor, document: dict) -> list[int]:
    if "text" in document:
        return [BOS] + processor.encode(document["text"]) + [EOS]
    return encode_chat(processor, document["messages"]) + [EOS]


def read_documents(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    build = parser.parse_args().build

    documents = {name: read_documents(build / f"{name}.jsonl") for name in ("train", "heldout")}
    # A fifth of the corpus contains every word of the grammar many times.
    train(documents["train"][::5], build / "tokenizer")
    processor = load(build)
    assert [processor.piece_to_id(piece) for piece in CONTROL_PIECES] == [*ROLE_IDS.values(), END]

    for name, group in documents.items():
        ids = array("H")
        size = 0
        for document in group:
            ids.extend(encode_document(processor, document))
            size += sum(len(text.encode()) for text in document_texts(document))
        (build / f"{name}.ids").write_bytes(ids.tobytes())
        print(f"{name}: {len(group)} documents, {size} bytes of text, {len(ids)} tokens")


if __name__ == "__main__":
    main()
