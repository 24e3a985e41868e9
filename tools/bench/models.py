"""Generates models with the shapes of real ones and random weights, without a download.

The speed of a model depends on its shape and quantization, not on the values of its weights. The
text that such a model generates is noise. The vocabulary is the demo model's, extended with
generated words to the size of the real model, because the output matrix is a large part of a small
model. A vocabulary-only GGUF can replace it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Iterator, Optional

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from packages import written

NORMAL_TOKEN = 1
SEED = 20_240_601
# Byte offsets of the 16-bit scales in a block.
SCALES = {Kind.Q8_0: (0,), Kind.Q4_K: (0, 2), Kind.Q6_K: (208,)}
# Standard deviation of a block's weights for a scale of one: their maximum times the ratio of
# deviation to maximum of a uniform distribution.
SPANS = {Kind.Q8_0: 74.0, Kind.Q4_K: 160.0, Kind.Q6_K: 1330.0}


@dataclass(frozen=True)
class Shape:
    """What determines the speed of a Llama model. Output and embedding matrix are tied."""

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    quantization: Kind
    vocabulary: int
    seed: int = SEED
    # Number of layers that affect the output. The others are computed and multiplied by zero.
    n_effective: Optional[int] = None


# Smallest first. Scenarios use the first, the second to last and the last.
SHAPES = {
    "tiny-15m": Shape(6, 288, 768, 6, 6, Kind.Q8_0, 32_000),
    "qwen-0.5b": Shape(24, 896, 4864, 14, 2, Kind.Q4_K, 151_936),
    "llama-3.2-1b": Shape(16, 2048, 8192, 32, 8, Kind.Q4_K, 151_936),
}


@dataclass(frozen=True)
class Pair:
    """A model and two draft models for it.

    Only the first layer of the model affects its output, but all layers are computed. The
    `accepted` draft model is this layer alone, so its tokens are accepted except at ties. The
    `rejected` one has other weights, so its tokens are rejected.
    """

    model: Path
    accepted: Path
    rejected: Path


# The 1B shape with a smaller vocabulary, so that a draft model of one layer has a seventh of its
# size, which is usual within a family of models.
PAIR = Shape(16, 2048, 8192, 32, 8, Kind.Q4_K, 32_000, n_effective=1)


def get_pair(folder: Path, demo: Path) -> Pair:
    """Writes missing files of the pair and returns all."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = replace(PAIR, layers=1)
    shapes = {
        "pair-1b": PAIR,
        "pair-accepted": draft,
        "pair-rejected": replace(draft, seed=SEED + 1),
    }
    return Pair(
        *(
            written(folder / f"{name}.gguf", partial(write, name, shape, demo, True))
            for name, shape in shapes.items()
        )
    )


def get(folder: Path, demo: Path, vocabulary: Optional[str]) -> list[Path]:
    """Writes missing files of the shapes and returns all, smallest first."""
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(vocabulary) if vocabulary else demo
    paths = []
    for name, shape in SHAPES.items():
        path = folder / (f"{name}-{source.stem}.gguf" if vocabulary else f"{name}.gguf")
        paths.append(written(path, partial(write, name, shape, source, not vocabulary)))
    return paths


def write(name: str, shape: Shape, source: Path, pad: bool, path: Path) -> None:
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
    n_effective = shape.layers if shape.n_effective is None else shape.n_effective
    without_effect = {
        f"blk.{layer}.{part}.weight"
        for layer in range(n_effective, shape.layers)
        for part in ("attn_output", "ffn_down")
    }
    for tensor, rows, columns, quantization in matrices(shape, tokens):
        data, kind = random_matrix(random, rows, columns, quantization)
        if tensor in without_effect:
            set_to_zero(data, kind)
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
    """Name, rows, columns and quantization. As in q4_k_m, the output matrix has q6_k."""
    output = Kind.Q6_K if shape.quantization == Kind.Q4_K else shape.quantization
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
            yield f"blk.{layer}.{part}.weight", rows, columns, shape.quantization


def random_matrix(
    random: np.random.Generator, rows: int, columns: int, kind: Kind
) -> tuple[np.ndarray, Kind]:
    """Quantized blocks of random bytes with chosen scales.

    The scales give the weights a deviation that keeps activations near one. If a row is not a
    multiple of a K block, the matrix is q8_0.
    """
    if columns % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = Kind.Q8_0
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (rows * columns // weights, size), dtype=np.uint8)
    scale = random.uniform(0.5, 1.5, len(blocks)) / (SPANS[kind] * columns**0.5)
    for i, at in enumerate(SCALES[kind]):
        # The second scale of q4_k is subtracted from all weights. This value centers them.
        values = (scale * 7.5 if i else scale).astype(np.float16)
        blocks[:, at : at + 2] = values.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1), kind


def set_to_zero(data: np.ndarray, kind: Kind) -> None:
    """Sets all weights to zero."""
    blocks = data.reshape(-1, gguf.GGML_QUANT_SIZES[kind][1])
    for at in SCALES[kind]:
        blocks[:, at : at + 2] = 0


def add_vocabulary(writer: gguf.GGUFWriter, source: Path, size: int) -> int:
    """Copies the tokenizer, extends it to `size` tokens and returns their number."""
    fields = gguf.GGUFReader(source).fields
    found: dict[str, Any] = {
        name: field.contents() for name, field in fields.items() if name.startswith("tokenizer.")
    }
    tokens = found["tokenizer.ggml.tokens"]
    generated = list(words(set(tokens), size - len(tokens)))
    additions = {"tokens": generated, "token_type": [NORMAL_TOKEN] * len(generated)}
    if scores := found.get("tokenizer.ggml.scores"):
        additions["scores"] = [min(scores) - 1.0 - i for i in range(len(generated))]
    for part, addition in additions.items():
        found[f"tokenizer.ggml.{part}"] += addition
    for name, value in found.items():
        if isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_key_value(name, value, fields[name].types[0])
    return len(tokens)


def words(taken: set[str], count: int) -> Iterator[str]:
    """Yields words of two to four syllables, each with sentencepiece's leading space."""
    syllables = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]
    number = len(syllables)
    while count > 0:
        rest, word = number, ""
        while rest:
            rest, syllable = divmod(rest, len(syllables))
            word += syllables[syllable]
        number += 1
        if f"▁{word}" not in taken:
            count -= 1
            yield f"▁{word}"
