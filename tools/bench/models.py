"""Models in the shapes of real ones, with random weights, so that nothing has to be downloaded.

How fast a model is depends on its shape and its packing, not on what its weights say. What such a
model writes is noise. The vocabulary is the demo model's, filled up with made-up words to the size
that the shape has in reality, since the output matrix is a large part of a small model; or that of
a vocabulary-only GGUF, taken whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterator, Optional

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

NORMAL_TOKEN = 1
SEED = 20_240_601
# Where the 16-bit scales of a block lie.
SCALES = {Kind.Q8_0: (0,), Kind.Q4_K: (0, 2), Kind.Q6_K: (208,)}
# The largest number that a block's packed integers make of a scale of one, times how far the
# uniform distribution's deviation lies below its largest number.
SPANS = {Kind.Q8_0: 74.0, Kind.Q4_K: 160.0, Kind.Q6_K: 1330.0}


@dataclass(frozen=True)
class Shape:
    """What decides the speed of a Llama. Output and embedding matrix are one, as in all of these."""

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    packing: Kind
    vocabulary: int
    seed: int = SEED
    # Layers whose results count; those behind are computed and multiplied by nothing.
    heard: Optional[int] = None


# Smallest first: scenarios take the first, the second last and the last.
SHAPES = {
    "tiny-15m": Shape(6, 288, 768, 6, 6, Kind.Q8_0, 32_000),
    "qwen-0.5b": Shape(24, 896, 4864, 14, 2, Kind.Q4_K, 151_936),
    "llama-3.2-1b": Shape(16, 2048, 8192, 32, 8, Kind.Q4_K, 151_936),
}


@dataclass(frozen=True)
class Pair:
    """A model of which only the first layer has a say, that layer alone as its draft, which is
    right but where two tokens are equally likely, and another one, which never is. All layers are
    computed."""

    model: Path
    right: Path
    wrong: Path


# The 1B shape with a vocabulary that leaves a draft of one layer a seventh of its size, as models of one
# family have it.
PAIR = Shape(16, 2048, 8192, 32, 8, Kind.Q4_K, 32_000, heard=1)


def get_pair(folder: Path, demo: Path) -> Pair:
    """The files of the pair, written where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = replace(PAIR, layers=1)
    shapes = {
        "pair-1b": PAIR,
        "pair-right": draft,
        "pair-wrong": replace(draft, seed=SEED + 1),
    }
    return Pair(
        *(
            written(folder / f"{name}.gguf", name, shape, demo, pad=True)
            for name, shape in shapes.items()
        )
    )


def get(folder: Path, demo: Path, vocabulary: Optional[str]) -> list[Path]:
    """The files of all shapes, written where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(vocabulary) if vocabulary else demo
    paths = []
    for name, shape in SHAPES.items():
        path = folder / (f"{name}-{source.stem}.gguf" if vocabulary else f"{name}.gguf")
        paths.append(written(path, name, shape, source, pad=not vocabulary))
    return paths


def written(path: Path, name: str, shape: Shape, source: Path, pad: bool) -> Path:
    """The file, written if it is missing."""
    if not path.exists():
        print(f"bench: writing {path.name}", flush=True)
        unfinished = path.with_suffix(".part")
        write(unfinished, name, shape, source, pad)
        unfinished.rename(path)
    return path


def write(path: Path, name: str, shape: Shape, source: Path, pad: bool) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"random {name}")
    writer.add_context_length(131_072)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(500_000.0)
    tokens = add_vocabulary(writer, source, shape.vocabulary if pad else 0)
    writer.add_vocab_size(tokens)
    random = np.random.default_rng(shape.seed)
    silent = {
        f"blk.{layer}.{part}.weight"
        for layer in range(shape.layers if shape.heard is None else shape.heard, shape.layers)
        for part in ("attn_output", "ffn_down")
    }
    for tensor, rows, columns, packing in matrices(shape, tokens):
        data, kind = random_matrix(random, rows, columns, packing)
        if tensor in silent:
            silence(data, kind)
        writer.add_tensor(tensor, data, raw_dtype=kind)
    for tensor in norms(shape):
        writer.add_tensor(tensor, np.ones(shape.width, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def norms(shape: Shape) -> Iterator[str]:
    yield "output_norm.weight"
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_norm.weight"
        yield f"blk.{layer}.ffn_norm.weight"


def matrices(shape: Shape, tokens: int) -> Iterator[tuple[str, int, int, Kind]]:
    """Name, rows, columns and packing. q4_k_m keeps the output matrix at q6_k, and so do we."""
    output = Kind.Q6_K if shape.packing == Kind.Q4_K else shape.packing
    yield "token_embd.weight", tokens, shape.width, output
    kv_width = shape.kv_heads * shape.width // shape.heads
    parts = {
        "attn_q": (shape.width, shape.width),
        "attn_k": (kv_width, shape.width),
        "attn_v": (kv_width, shape.width),
        "attn_output": (shape.width, shape.width),
        "ffn_gate": (shape.hidden, shape.width),
        "ffn_up": (shape.hidden, shape.width),
        "ffn_down": (shape.width, shape.hidden),
    }
    for layer in range(shape.layers):
        for part, (rows, columns) in parts.items():
            yield f"blk.{layer}.{part}.weight", rows, columns, shape.packing


def random_matrix(
    random: np.random.Generator, rows: int, columns: int, kind: Kind
) -> tuple[np.ndarray, Kind]:
    """Packed blocks of random bytes, whose scales alone are chosen: they give the weights the
    deviation that keeps activations near one. Rows that no K block divides are q8_0."""
    if columns % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = Kind.Q8_0
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (rows * columns // weights, size), dtype=np.uint8)
    scale = random.uniform(0.5, 1.5, len(blocks)) / (SPANS[kind] * columns**0.5)
    for place, at in enumerate(SCALES[kind]):
        # The second one of q4_k is taken away from all weights; this one centres them.
        values = (scale * 7.5 if place else scale).astype(np.float16)
        blocks[:, at : at + 2] = values.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1), kind


def silence(data: np.ndarray, kind: Kind) -> None:
    """Makes all weights nothing."""
    blocks = data.reshape(-1, gguf.GGML_QUANT_SIZES[kind][1])
    for at in SCALES[kind]:
        blocks[:, at : at + 2] = 0


def add_vocabulary(writer: gguf.GGUFWriter, source: Path, size: int) -> int:
    """Copies the tokenizer, filled up to `size` tokens; returns how many there are."""
    fields = gguf.GGUFReader(source).fields
    found: dict[str, Any] = {
        name: field.contents() for name, field in fields.items() if name.startswith("tokenizer.")
    }
    tokens = found["tokenizer.ggml.tokens"]
    made_up = list(words(set(tokens), size - len(tokens)))
    fillings = {"tokens": made_up, "token_type": [NORMAL_TOKEN] * len(made_up)}
    if scores := found.get("tokenizer.ggml.scores"):
        fillings["scores"] = [min(scores) - 1.0 - place for place in range(len(made_up))]
    for part, filling in fillings.items():
        found[f"tokenizer.ggml.{part}"] += filling
    for name, value in found.items():
        if isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_key_value(name, value, fields[name].types[0])
    return len(tokens)


def words(taken: set[str], count: int) -> Iterator[str]:
    """Words of two to four syllables, each with a space before it as sentencepiece writes it."""
    syllables = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]
    number = len(syllables)
    while count > 0:
        place, word = number, ""
        while place:
            place, syllable = divmod(place, len(syllables))
            word += syllables[syllable]
        number += 1
        if f"▁{word}" not in taken:
            count -= 1
            yield f"▁{word}"
