"""Vocabularies for the fuzz target `tokenizer`, as files without weights.

Each kind of tokenizer that the daemon serves has at least one: SentencePiece (the demo model, and
Gemma 3 if it was downloaded), byte-pair encoding (SmolLM2, with its own rule of division and with
those of other models) and RWKV. `make real-models` downloads the models.
"""

import struct

import gguf
from seeds import DEMO

# Rules by which llama.cpp divides text before byte-pair encoding (`tokenizer.ggml.pre`).
RULES = ["smollm", "llama-bpe", "gpt-2", "qwen2", "gpt-4o", "deepseek-v3", "tekken", "falcon",
         "bloom", "chatglm-bpe"]

# Entries of the metadata that llama.cpp needs to load a vocabulary.
NEEDED = ("general.architecture", "tokenizer.")


def write(models, folder):
    """Writes the vocabularies into `folder`. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"demo": without_weights(DEMO, {}), "rwkv": rwkv()}
    gemma, smollm = models / "gemma-3-270m.gguf", models / "smollm2-135m.gguf"
    if gemma.exists():
        files["gemma"] = without_weights(gemma, {})
    for rule in RULES if smollm.exists() else []:
        files[rule] = without_weights(smollm, {"tokenizer.ggml.pre": rule})
    paths = []
    for name, raw in files.items():
        paths.append(folder / f"{name}.gguf")
        paths[-1].write_bytes(raw)
    return paths


def without_weights(path, changes):
    """The vocabulary of a model's file, with other strings in some entries."""
    entries = [one for one in gguf.Reader(path.read_bytes()).entries() if is_needed(one[0])]
    entries = [one for one in entries if one[0] not in changes]
    entries += [(key, gguf.STRING, gguf.string(text)) for key, text in changes.items()]
    return gguf.file(entries)


def is_needed(key):
    return key.startswith(NEEDED) or key.endswith(".context_length")


def rwkv():
    """A vocabulary of single bytes and a few longer tokens, escaped as RWKV does."""
    tokens = ["<s>", *(f"\\x{byte:02x}" for byte in range(256)), "th", "the", " the", "\\n\\n", "ab",
              "abc", "  ", "\\xe2\\x80"]
    entries = [("general.architecture", gguf.STRING, gguf.string("rwkv7")),
               ("tokenizer.ggml.model", gguf.STRING, gguf.string("rwkv")),
               ("tokenizer.ggml.tokens", gguf.ARRAY,
                gguf.value(gguf.ARRAY, (gguf.STRING, tokens))),
               ("tokenizer.ggml.token_type", gguf.ARRAY,
                gguf.value(gguf.ARRAY, (gguf.I32, [1] * len(tokens))))]
    entries += [(f"tokenizer.ggml.{name}_token_id", gguf.U32, struct.pack("<I", 0))
                for name in ("bos", "eos", "unknown", "padding")]
    return gguf.file(entries)
