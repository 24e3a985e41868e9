"""The demo model: a small Llama (RMSNorm, rotary positions, SwiGLU) in PyTorch.

Rotary positions rotate neighbouring pairs (0,1), (2,3), ... of each head, as
llama.cpp does for the `llama` architecture. The weights are therefore exported
without the permutation that half-split weights need.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Config:
    """Every matrix width is a multiple of 32, the block size of q8_0."""

    vocab_size: int = 2048
    width: int = 192
    layers: int = 6
    heads: int = 6
    hidden: int = 512
    context: int = 1024
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def rotation_table(config: Config) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of every position's angle, [context, head_width / 2]."""
    exponents = torch.arange(0, config.head_width, 2).float() / config.head_width
    angles = torch.outer(torch.arange(config.context).float(), config.rope_base**-exponents)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        self.query = nn.Linear(config.width, config.width, bias=False)
        self.key = nn.Linear(config.width, config.width, bias=False)
        self.value = nn.Linear(config.width, config.width, bias=False)
        self.attention_out = nn.Linear(config.width, config.width, bias=False)
        self.ffn_norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        self.gate = nn.Linear(config.width, config.hidden, bias=False)
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def split_heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        normed = self.attention_norm(x)
        query = rotate(self.split_heads(self.query(normed)), cos, sin)
        key = rotate(self.split_heads(self.key(normed)), cos, sin)
        value = self.split_heads(self.value(normed))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.attention_out(mixed.transpose(1, 2).flatten(-2))
        normed = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


class DemoModel(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        # Tied: the same matrix embeds tokens and computes the logits.
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.output_norm = nn.RMSNorm(config.width, eps=config.norm_epsilon)
        cos, sin = rotation_table(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.initialize()

    def initialize(self) -> None:
        residual_scale = (2 * self.config.layers) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            deviation = 0.02 if name.startswith("embedding") else parameter.shape[1] ** -0.5 * 0.6
            if name.endswith(("attention_out.weight", "down.weight")):
                deviation *= residual_scale
            nn.init.normal_(parameter, std=deviation)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits [batch, length, vocabulary] of ids [batch, length]."""
        length = ids.shape[1]
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        return F.linear(self.output_norm(x), self.embedding.weight)
