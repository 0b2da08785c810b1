"""Positions of frames as vectors."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["sinusoids"]


def sinusoids(frames: int, width: int, device: torch.device | None = None) -> Float[Tensor, "T C"]:
    """Sines and cosines of the frame number at wavelengths from 2 pi to 20,000 pi frames.

    Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.5.

    Raises:
        ValueError: the width is odd.
    """
    if width % 2:
        raise ValueError(f"width: expected an even number, got {width}")
    rates = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angles = torch.arange(frames, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
