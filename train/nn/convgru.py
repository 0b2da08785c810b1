"""Convolutional GRUs over maps, from both ends of a window to its middle."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ConvGRU", "LocalEncoder"]


class ConvGRU(nn.Module):
    """A GRU whose products are 3x3 convolutions; its state is a map like its input, zero at the start.

    Source: TAR, equations 1-4, with the reset gate's own weights U_r where equation 2 prints U_z again.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.gates = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.candidate = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def step(self, m: Float[Tensor, "B D h w"], state: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        """The next state."""
        z, r = torch.sigmoid(self.gates(torch.cat([m, state], dim=1))).chunk(2, dim=1)
        candidate = torch.tanh(self.candidate(torch.cat([m, r * state], dim=1)))
        return (1 - z) * state + z * candidate

    def forward(self, maps: Float[Tensor, "B L D h w"]) -> Float[Tensor, "B D h w"]:
        """The state after the last map."""
        state = torch.zeros_like(maps[:, 0])
        for m in maps.unbind(1):
            state = self.step(m, state)
        return state


class LocalEncoder(nn.Module):
    """TAR's local temporal encoder: the past up to the middle and the future back to it, joined by a convolution.

    Source: TAR, section 3.2 and figure 4; figure S1 for hidden maps smaller than the input.

    Args:
        channels: Of the maps.
        shrink: Factor, a power of 2, by which the hidden maps' sides are smaller (1, 2, 4 or 8 in table S3).

    Raises:
        ValueError: the factor is not a power of 2.
    """

    def __init__(self, channels: int, shrink: int = 1) -> None:
        super().__init__()
        if shrink < 1 or shrink & (shrink - 1):
            raise ValueError(f"shrink: expected a power of 2, got {shrink}")
        steps = shrink.bit_length() - 1
        down = [layer for _ in range(steps) for layer in (nn.Conv2d(channels, channels, 3, 2, padding=1), nn.ReLU())]
        self.down = nn.Sequential(*down)
        self.past, self.future = ConvGRU(channels), ConvGRU(channels)
        up: list[nn.Module] = []
        for _ in range(steps):
            up += [nn.ConvTranspose2d(2 * channels, 2 * channels, 4, 2, padding=1), nn.ReLU()]
        self.up = nn.Sequential(*up)
        self.join = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, maps: Float[Tensor, "B L D h w"]) -> Float[Tensor, "B D h w"]:
        """The middle frame's map, knowing of the L - 1 around it."""
        clips, middle, size = len(maps), maps.shape[1] // 2, maps.shape[-2:]
        small = self.down(maps.flatten(0, 1)).unflatten(0, (clips, -1))
        both = [self.past(small[:, : middle + 1]), self.future(small[:, middle:].flip(1))]
        joined = self.up(torch.cat(both, dim=1))
        if joined.shape[-2:] != size:  # sides that do not divide
            joined = functional.interpolate(joined, size=size, mode="bilinear", align_corners=False)
        return self.join(joined)
