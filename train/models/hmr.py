"""HMR: a residual network and iterative regression, each frame by itself; MVIPER's frame model (its section 4.1).

Source: Kanazawa et al., "End-to-end Recovery of Human Shape and Pose" (2018); sizes as in SPIN: 26,977,501 parameters.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from train.backbones import backbone
from train.batch import Batch, Output, Prediction, State, TemporalModel, last
from train.losses import Weights, mesh_losses, summed
from train.nn.regressor import Regressor, read_theta

__all__ = ["HMR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HMRConfig:
    """Options of HMR."""

    backbone: str = "resnet50"
    """"resnet50" or "resnet-tiny"; "" takes frozen features instead of images and trains the regressor alone."""
    features: int = 2048
    """Width of frozen features; with a backbone its own width counts."""
    hidden: int = 1024
    iterations: int = 3
    dropout: float = 0.5
    window: int = 1
    """Frames of a training clip; they do not know of each other."""
    weights: Weights = field(default_factory=Weights)


class HMR(TemporalModel):
    """The frame model."""

    name = "hmr"
    Config = HMRConfig
    receptive_field = 1

    def __init__(self, config: HMRConfig) -> None:
        super().__init__()
        self.config, self.window = config, config.window
        self.backbone = backbone(config.backbone) if config.backbone else None
        self.needs = frozenset({"features"} if self.backbone is None else {"images"})
        width = config.features if self.backbone is None else self.backbone.features
        self.regressor = Regressor(width, config.hidden, config.dropout, config.iterations)

    def forward(self, batch: Batch) -> Prediction:
        """Theta of each frame from the mean of the last map."""
        return read_theta(self.regressor(pooled(self.backbone, batch)).unflatten(0, (len(batch), -1)))

    def loss(self, output: Output, batch: Batch, state: State) -> dict[str, Tensor]:
        """L = L2D + lambda (L3D + LSMPL), lambda being the masks of the labels (MVIPER, section 4.1)."""
        return summed(mesh_losses(state.body.complete(last(output), batch), batch, self.config.weights))


def pooled(encoder: nn.Module | None, batch: Batch) -> Any:
    """Global features (B T, F), from images if there is an encoder, else the frozen ones.

    Raises:
        ValueError: the batch has not what is needed.
    """
    if encoder is None:
        if batch.features is None:
            raise ValueError("batch: has no features")
        return batch.features.flatten(0, 1)
    if batch.images is None:
        raise ValueError("batch: has no images")
    return encoder(batch.images.flatten(0, 1)).mean((2, 3))
