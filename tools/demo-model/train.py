"""Train the demo model on the encoded corpus, on the CPU, with a fixed seed.

Most steps use windows of 256 tokens, which are the fastest. The last steps use
1024 tokens, so that every position of the context is trained. A window begins
with a document and continues with the documents after it.

The learning rate is constant and then falls linearly. Each step draws its
windows from its own seed. A run that was stopped and resumed therefore ends
with the same weights as an uninterrupted one. The number of steps may change
while the learning rate is still constant.

Each of two threads computes half of every step; they synchronize once per step.
Splitting every matrix product between cores instead would synchronize hundreds
of times per step, which is several times slower on a busy machine.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model import Config, DemoModel
from muon import Muon
from tokenizer import BOS

SEED = 20260
THREADS = 2
TOKENS_PER_STEP = 4096
SHORT_WINDOW, LONG_WINDOW = 256, 1024
LONG_SHARE = 0.08
DECAY_SHARE = 0.4
PEAK_RATE = 5e-3
WARMUP_STEPS = 40
WEIGHT_DECAY = 0.05
HELDOUT_WINDOWS = 32
REPORT_EVERY = 25


class Corpus:
    """Token ids of the training or held-out text, cut into windows at document starts."""

    def __init__(self, path: Path) -> None:
        self.ids = np.fromfile(path, dtype=np.uint16)
        self.starts = np.flatnonzero(self.ids == BOS)

    def windows(self, starts: np.ndarray, window: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = np.stack([self.ids[start : start + window + 1] for start in starts])
        rows = torch.from_numpy(rows.astype(np.int64))
        return rows[:, :-1], rows[:, 1:]

    def usable_starts(self, window: int) -> np.ndarray:
        return self.starts[self.starts + window < len(self.ids)]


def learning_rate(step: int, steps: int) -> float:
    warmed = min(1.0, (step + 1) / WARMUP_STEPS)
    left = min(1.0, (steps - step) / (steps * DECAY_SHARE))
    return PEAK_RATE * warmed * left


def loss_of(model: Callable, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


@torch.no_grad()
def heldout_loss(model: torch.nn.Module, corpus: Corpus) -> float:
    """Mean loss over fixed windows spread evenly over the held-out split."""
    starts = corpus.usable_starts(SHORT_WINDOW)
    chosen = starts[np.linspace(0, len(starts) - 1, HELDOUT_WINDOWS).astype(int)]
    losses = [
        loss_of(model, *corpus.windows(group, SHORT_WINDOW)).item()
        for group in np.split(chosen, HELDOUT_WINDOWS // 16)
    ]
    return sum(losses) / len(losses)


def make_optimisers(model: DemoModel) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the embedding and the gains."""
    by_shape: dict[torch.Size, list] = {}
    for parameter in model.blocks.parameters():
        if parameter.dim() == 2:
            by_shape.setdefault(parameter.shape, []).append(parameter)
    gains = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    return [
        Muon([{"params": group} for group in by_shape.values()], PEAK_RATE, WEIGHT_DECAY),
        torch.optim.AdamW(
            [model.embedding.weight, *gains], lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0
        ),
    ]


class Gradients:
    """Loss and gradients of one step, computed in halves by two threads."""

    def __init__(self, model: DemoModel, compiled: bool) -> None:
        self.parameters = list(model.parameters())
        # Static shapes: each stage has one shape, and code compiled for it is faster.
        self.model = torch.compile(model, dynamic=False) if compiled else model
        self.pool = ThreadPoolExecutor(
            THREADS, initializer=torch.set_num_threads, initargs=(1,)
        )

    def of_part(self, inputs: torch.Tensor, targets: torch.Tensor) -> tuple:
        loss = loss_of(self.model, inputs, targets)
        return loss.item(), torch.autograd.grad(loss, self.parameters)

    def prepare(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Compile for this shape in one thread, before two threads need the code."""
        self.of_part(inputs.chunk(THREADS)[0], targets.chunk(THREADS)[0])

    def assign(self, inputs: torch.Tensor, targets: torch.Tensor) -> float:
        """Set every parameter's gradient to the mean over both halves."""
        parts = list(self.pool.map(self.of_part, inputs.chunk(THREADS), targets.chunk(THREADS)))
        for index, parameter in enumerate(self.parameters):
            parameter.grad = sum(gradients[index] for _, gradients in parts) / THREADS
        return sum(loss for loss, _ in parts) / THREADS


def save(path: Path, state: dict) -> None:
    """Replace the file in one step, so an interruption never leaves an incomplete one."""
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(path)


def train(build: Path, steps: int, compiled: bool, resume: bool) -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    corpus, heldout = Corpus(build / "train.ids"), Corpus(build / "heldout.ids")
    config = Config()
    model = DemoModel(config)
    optimisers = make_optimisers(model)
    first_step = 0
    if resume:
        state = torch.load(build / "training.pt", weights_only=True)
        first_step = state["step"]
        model.load_state_dict(state["weights"])
        for optimiser, saved in zip(optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
    gradients = Gradients(model, compiled)
    print(f"{sum(p.numel() for p in model.parameters())} weights, {steps} steps", flush=True)

    first_long_step = steps - int(steps * LONG_SHARE)
    began = time.monotonic()
    recent = []
    for step in range(first_step, steps):
        window = SHORT_WINDOW if step < first_long_step else LONG_WINDOW
        random = np.random.default_rng((SEED, step))
        starts = random.choice(corpus.usable_starts(window), TOKENS_PER_STEP // window)
        batch = corpus.windows(starts, window)
        if step in (first_step, first_long_step):
            gradients.prepare(*batch)
        recent.append(gradients.assign(*batch))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps)
            optimiser.step()

        if (step + 1) % REPORT_EVERY == 0 or step + 1 == steps:
            print(
                f"step {step + 1}/{steps}  train {np.mean(recent):.4f}"
                f"  held-out {heldout_loss(model, heldout):.4f}"
                f"  {time.monotonic() - began:.0f} s",
                flush=True,
            )
            recent.clear()
            weights = model.state_dict()
            states = [optimiser.state_dict() for optimiser in optimisers]
            save(build / "training.pt", {"step": step + 1, "weights": weights, "optimisers": states})
            save(build / "model.pt", {"config": asdict(config), "weights": weights})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--no-compile", action="store_true", help="slower, but needs no C++ compiler")
    parser.add_argument("--resume", action="store_true", help="continue from build/training.pt")
    arguments = parser.parse_args()
    train(arguments.build, arguments.steps, not arguments.no_compile, arguments.resume)


if __name__ == "__main__":
    main()
