"""The first inputs of the fuzz targets, and words that are likely to matter in them.

They are written anew for every run, so the repository has no corpus.
"""

import json
import pathlib
import re
import struct

import gguf

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "tools/demo-model/demo.gguf"

# Names of architectures with different kinds of layers.
ARCHITECTURES = ["llama", "gemma3", "qwen3moe", "mamba2", "rwkv7", "deepseek2", "gpt-oss", "lfm2"]


def client_frames():
    """The examples of the protocol's documentation, and frames with every kind of value."""
    lines = (ROOT / "docs/PROTOCOL.md").read_text().splitlines()
    seeds = [line[2:] for line in lines if line.startswith("> {")]
    parameters = {
        "temp": 0.5, "top_k": 1, "logit_bias": {"1": -1, "2": 3.5}, "stop": ["a", "é"],
        "seed": -1, "ignore_eos": True, "speculative": "auto", "max_tokens": 1e3, "top_kk": None,
    }
    seeds.append(json.dumps({"op": "infer", "id": "é", "prompt": "x", "params": parameters}))
    seeds.append(r'{"op":"infer","id":"\ud83e\udd8a","prompt":"\ud83e","x":[[[{}]]]}')
    return [seed.encode() for seed in seeds]


def link_frames():
    """A frame of each kind for both ends: the number of its variant, and bytes that are lengths."""
    ends = [b"\0", b"\1"]
    bodies = [bytes([variant]) + body for variant in range(9) for body in (b"", b"\1" * 200)]
    return [end + body for end in ends for body in bodies]


def headers():
    """Small files of several architectures: each whole, and without its weights."""
    seeds = []
    for architecture in ARCHITECTURES:
        whole = gguf.file(metadata(architecture), tensors())
        seeds += [whole, gguf.file(metadata(architecture)), gguf.file(metadata(architecture), [], 2)]
    return seeds


def metadata(architecture):
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "a", "b"]
    strings = {"general.architecture": architecture, "general.name": "seed",
               "tokenizer.ggml.model": "llama", "tokenizer.chat_template": "{{ messages }}"}
    numbers = {"block_count": 1, "context_length": 128, "embedding_length": 32,
               "feed_forward_length": 32, "attention.head_count": 2,
               "attention.head_count_kv": 1, "attention.key_length": 16, "expert_count": 0,
               "expert_used_count": 0, "attention.sliding_window": 64, "ssm.state_size": 16}
    arrays = {f"{architecture}.attention.sliding_window_pattern": (gguf.BOOL, [True, False]),
              "tokenizer.ggml.tokens": (gguf.STRING, tokens),
              "tokenizer.ggml.scores": (gguf.F32, [0.0] * 3),
              "tokenizer.ggml.token_type": (gguf.I32, [1] * 3),
              "tokenizer.ggml.merges": (gguf.STRING, ["a b"])}
    entries = [(key, gguf.STRING, gguf.string(text)) for key, text in strings.items()]
    entries += [(f"{architecture}.{key}", gguf.U32, struct.pack("<I", number))
                for key, number in numbers.items()]
    floats = {"attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 10_000}
    entries += [(f"{architecture}.{key}", gguf.F32, struct.pack("<f", number))
                for key, number in floats.items()]
    entries.append(("general.alignment", gguf.U32, struct.pack("<I", 32)))
    entries += [(key, gguf.ARRAY, gguf.value(gguf.ARRAY, array)) for key, array in arrays.items()]
    return entries


def tensors():
    names = ["token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight",
             "blk.0.attn_k.weight", "blk.0.ffn_up.weight"]
    return [(name, (32, 2), 0, bytes(32 * 2 * 4)) for name in names]


def chat_templates():
    """The snippets whose results are known, and the built-in templates."""
    table = json.loads((ROOT / "tests/jinja/snippets.json").read_text())
    seeds = [text.encode() for text in strings_in(table) if "{%" in text or "{{" in text]
    folder = ROOT / "src/llama/text/chat"
    seeds += [path.read_bytes() for path in folder.rglob("*.jinja")]
    return seeds


def strings_in(tree):
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, (list, dict)):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from strings_in(item)


def texts():
    """For each of some vocabularies: pieces of text, short and repeated."""
    pieces = ["a", " ", "\n", "  x", "é", "日本", "🦊", "<s>", "<|im_end|>", "don't", "123", "\u1fff",
              "\u200d", "\ufdd0", "\x01", "a\n", "\u0301", "ﬁ", "\u2581"]
    seeds = []
    # The lowest three bits say whether the text is long, the others choose the vocabulary.
    for which in range(0, 256, 5):
        for n in (1, 3, 250):
            seeds.append(bytes([which]) + b"\xff".join(bytes([n]) + p.encode() for p in pieces[:6]))
            seeds += [bytes([which, n]) + piece.encode() for piece in pieces]
    return seeds


def key_files():
    """A file with every field, and one without limits."""
    digits = "0123456789abcdef" * 4
    names = ["connections", "requests", "waiting", "tokens_per_minute"]
    names += ["compute_seconds_per_minute", "bytes"]
    limits = ", ".join(f"{name} = {7 + i}" for i, name in enumerate(names))
    rights = 'rights = ["infer", "metrics", "admin"]'
    full = f'[keys.web]\nhash = "sha256:{digits}"\n{rights}\nlimits = {{ {limits} }}\n'
    short = f'[keys."a-b"]\nhash = "sha256:{digits[::-1]}"\nrights = []\n'
    return [full.encode(), (full + short).encode()]


SEEDS = {
    "client_frames": client_frames,
    "link_frames": link_frames,
    "gguf": headers,
    "chat_template": chat_templates,
    "tokenizer": texts,
    "key_file": key_files,
}


def words(target):
    """Words for libFuzzer's dictionary."""
    if target == "client_frames":
        source = (ROOT / "src/protocol/names.rs").read_text()
        return re.findall(r'"([a-z_]+)"', source) + ['"op":', '"infer"', "\\u00e9", "\\ud83e"]
    if target == "chat_template":
        source = (ROOT / "tools/jinja/table.py").read_text()
        words = set(re.findall(r"[a-z_]{3,}", source))
        return sorted(words) + ["{%", "%}", "{{", "}}", "{%-", "-%}", "~", "**", "//"]
    if target == "gguf":
        files = (ROOT / "src/llama/file").rglob("*.rs")
        found = {word for path in files
                 for word in re.findall(r'"([a-z0-9_]+(?:\.[a-z0-9_]+)*)"', path.read_text())}
        return sorted(found)
    if target == "tokenizer":
        return ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<unused1>", "<0x0A>"]
    return ["busy", "SIGABRT"]


def write(target, folder):
    """Writes the seeds of a target into `folder`, and its dictionary beside it. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]()):
        (folder / f"seed-{number}").write_bytes(seed)
    dictionary = folder.with_suffix(".dict")
    escaped = [re.sub(r'(["\\])', r"\\\1", word) for word in words(target)]
    dictionary.write_text("".join(f'"{word}"\n' for word in escaped))
    return dictionary
