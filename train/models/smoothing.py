"""Smoothing of finished predictions: SmoothNet, learned, and the one-euro filter, which needs no training.

Sources: Zeng et al., "SmoothNet" (2022), section 4: fully connected layers along time, the same for every channel;
Casiez et al., "1 Euro Filter" (2012).
"""

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from train.batch import Batch, Output, Prediction, State, TemporalModel, last
from train.losses import Weights, mesh_losses, summed
from train.nn.regressor import THETA, read_theta
from train.rotations import matrix_to_six, six_to_matrix

__all__ = ["OneEuro", "SmoothNet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothNetConfig:
    """Options of SmoothNet."""

    window: int = 32
    hidden: int = 512
    inner: int = 256
    """Width inside a residual block."""
    blocks: int = 3
    dropout: float = 0.5
    acceleration: float = 1.0
    """Weight of the acceleration's error beside that of the positions."""
    weights: Weights = field(default_factory=Weights)


class _Block(nn.Module):
    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, inner),
            nn.Dropout(dropout),
            nn.LeakyReLU(0.2),
            nn.Linear(inner, width),
            nn.Dropout(dropout),
            nn.LeakyReLU(0.2),
        )

    def forward(self, x: Float[Tensor, "*N W"]) -> Float[Tensor, "*N W"]:
        return x + self.layers(x)


class SmoothNet(TemporalModel):
    """Takes another model's predictions as features (`train extract --predictions`), gives smooth ones.

    The last layer starts at zero beside the identity, so that an untrained network changes nothing.
    """

    name = "smoothnet"
    Config = SmoothNetConfig

    def __init__(self, config: SmoothNetConfig) -> None:
        super().__init__(config)
        self.window = config.window
        self.encode = nn.Sequential(nn.Linear(config.window, config.hidden), nn.LeakyReLU(0.1))
        self.blocks = nn.Sequential(
            *(_Block(config.hidden, config.inner, config.dropout) for _ in range(config.blocks))
        )
        self.decode = nn.Linear(config.hidden, config.window)
        nn.init.zeros_(self.decode.weight)
        nn.init.zeros_(self.decode.bias)

    def forward(self, batch: Batch) -> Prediction:
        """Filter each of the 157 channels along time."""
        if batch.features is None or batch.features.shape[-1] != THETA or batch.length != self.window:
            raise ValueError(f"batch: SmoothNet takes {self.window} frames of {THETA} numbers")
        theta = batch.features
        along = theta.transpose(1, 2)
        return read_theta(theta + self.decode(self.blocks(self.encode(along))).transpose(1, 2))

    def loss(self, output: Output, batch: Batch, state: State) -> dict[str, Tensor]:
        """Position and acceleration errors (equations 5 and 6), beside the mesh losses that all models share."""
        prediction = state.body.complete(last(output), batch)
        terms = mesh_losses(prediction, batch, self.config.weights)
        if self.config.acceleration:
            assert prediction.joints is not None
            known = batch.joints_valid[:, 2:] & batch.joints_valid[:, 1:-1] & batch.joints_valid[:, :-2]
            error = (_second(prediction.joints) - _second(batch.joints_3d)).abs().sum(-1)
            mean = (error * known).sum() / known.sum().clamp_min(1)
            terms["acceleration"] = self.config.acceleration * mean
        return summed(terms)


def _second(points: Float[Tensor, "B T K 3"]) -> Float[Tensor, "B S K 3"]:
    return points[:, 2:] - 2 * points[:, 1:-1] + points[:, :-2]


@dataclass(frozen=True, slots=True, kw_only=True)
class OneEuro:
    """One-euro filter over rotations (as 6D, brought back to rotations), betas and camera; causal."""

    min_cutoff: float = 1.0
    """Cutoff of a still signal [Hz]; lower is smoother and later."""
    beta: float = 0.3
    """How much the cutoff rises with speed [Hz per unit/s]."""
    derivative_cutoff: float = 1.0
    """[Hz]"""

    def __call__(self, prediction: Prediction, fps: float) -> Prediction:
        """Smooth an uncut sequence of shape (1, T, ...)."""
        six = self.filter(matrix_to_six(prediction.rotations)[0].flatten(1), fps)
        transl = prediction.transl
        return replace(
            prediction,
            rotations=six_to_matrix(six.unflatten(1, (24, 6)))[None],
            betas=self.filter(prediction.betas[0], fps)[None],
            camera=self.filter(prediction.camera[0], fps)[None],
            transl=None if transl is None else self.filter(transl[0], fps)[None],
            joints=None,
            vertices=None,
        )

    def filter(self, values: Float[Tensor, "T D"], fps: float) -> Float[Tensor, "T D"]:
        """Filter each column.

        Source: Casiez et al. 2012, equations 1 to 7.
        """
        smooth, speed = values[:1], torch.zeros_like(values[:1])
        out = [smooth]
        for value in values[1:].split(1):
            rate = (value - smooth) * fps
            speed = speed + _weight(self.derivative_cutoff, fps) * (rate - speed)
            cutoff = self.min_cutoff + self.beta * speed.abs()
            share = 1.0 / (1.0 + fps / (2 * math.pi * cutoff))
            smooth = smooth + share * (value - smooth)
            out.append(smooth)
        return torch.cat(out)


def _weight(cutoff: float, fps: float) -> float:
    return 1.0 / (1.0 + fps / (2 * math.pi * cutoff))
