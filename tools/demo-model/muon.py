"""The Muon optimiser for weight matrices: momentum with orthogonal updates.

Every update is the momentum matrix after a Newton-Schulz iteration has brought
its singular values close to 1. On a model and a budget this small, Muon needs
about half the steps of AdamW. torch.optim.Muon iterates in bfloat16, which is
slow on CPUs without bfloat16 arithmetic, so this implementation uses float32.
"""

import torch

# An odd quintic that moves singular values in (0, 1] towards 1, fast but not
# exactly: after five rounds they are between about 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
# Scales updates to about the size of AdamW's, so both optimisers can use the
# same learning rate.
UPDATE_SIZE = 0.2


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """The approximately orthogonal factor of each matrix in a [n, rows, columns] stack."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon. All matrices of a parameter group have the same shape, and are stacked."""

    def __init__(self, groups: list[dict], lr: float, weight_decay: float, momentum: float = 0.95):
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            updates = [self.momentum_of(parameter, group["momentum"]) for parameter in group["params"]]
            scale = UPDATE_SIZE * max(updates[0].shape) ** 0.5
            for parameter, update in zip(group["params"], orthogonalise(torch.stack(updates))):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(update, alpha=group["lr"] * scale)

    def momentum_of(self, parameter: torch.Tensor, momentum: float) -> torch.Tensor:
        """Nesterov momentum: the running mean, plus one more step of the gradient."""
        state = self.state[parameter]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(parameter)
        state["mean"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(state["mean"], momentum)
