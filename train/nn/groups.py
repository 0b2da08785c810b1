"""Many small networks of one form side by side, each with weights of its own: one matrix product for all."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["GroupedGRU", "GroupedLinear"]


class GroupedLinear(nn.Module):
    """G linear maps, each of its own input. Weights start as those of `torch.nn.Linear`."""

    def __init__(self, groups: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(groups, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "B G C"]) -> Float[Tensor, "B G D"]:
        """Map each group's input by its own weights."""
        return torch.baddbmm(self.bias, x.transpose(0, 1), self.weight).transpose(0, 1)


class GroupedGRU(nn.Module):
    """G GRU cells that read the same input, each with a state and weights of its own (TAR, equation 9)."""

    def __init__(self, groups: int, inputs: int, state: int) -> None:
        super().__init__()
        self.gates = GroupedLinear(groups, inputs + state, 2 * state)
        self.candidate = GroupedLinear(groups, inputs + state, state)

    def forward(self, state: Float[Tensor, "B G H"], x: Float[Tensor, "B C"]) -> Float[Tensor, "B G H"]:
        """The next states."""
        shared = x[:, None].expand(-1, state.shape[1], -1)
        z, r = torch.sigmoid(self.gates(torch.cat([state, shared], dim=2))).chunk(2, dim=2)
        candidate = torch.tanh(self.candidate(torch.cat([r * state, shared], dim=2)))
        return (1 - z) * state + z * candidate
