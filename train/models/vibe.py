"""VIBE: a GRU over frozen features, the regressor on every frame, and a motion discriminator.

Source: Kocabas et al., "VIBE: Video Inference for Human Body Pose and Shape Estimation" (2020). The published weights
come from a one-way GRU with a residual connection (21,309,597 parameters with the regressor), the paper speaks of a
two-way one: `bidirectional`. Real motions are the labels of the training data.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from train.batch import Batch, Output, Prediction, State, TemporalModel, last
from train.discriminators.motion import (
    MotionDiscriminator,
    lsgan_discriminator,
    lsgan_generator,
    pose_vectors,
    real_rotations,
)
from train.losses import Weights, mesh_losses, summed
from train.nn.regressor import Regressor, read_theta

__all__ = ["VIBE", "TemporalEncoder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VIBEConfig:
    """Options of VIBE."""

    features: int = 2048
    gru_hidden: int = 1024
    gru_layers: int = 2
    bidirectional: bool = False
    hidden: int = 1024
    iterations: int = 3
    dropout: float = 0.5
    window: int = 16
    adversarial: float = 0.5
    """Weight of the discriminator; 0 trains without one."""
    weights: Weights = field(default_factory=Weights)


class TemporalEncoder(nn.Module):
    """GRU layers, a linear map back to the features' width, a residual connection (17,840,128 parameters)."""

    def __init__(self, features: int, hidden: int, layers: int, bidirectional: bool) -> None:
        super().__init__()
        self.gru = nn.GRU(features, hidden, layers, batch_first=True, bidirectional=bidirectional)
        self.linear = nn.Linear(hidden * (1 + bidirectional), features)

    def forward(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B T F"]:
        """Features that know of other frames."""
        states, _ = self.gru(features)
        return features + self.linear(torch.relu(states))


class VIBE(TemporalModel):
    """GRU baseline."""

    name = "vibe"
    Config = VIBEConfig

    def __init__(self, config: VIBEConfig) -> None:
        super().__init__()
        self.config, self.window = config, config.window
        self.encoder = TemporalEncoder(config.features, config.gru_hidden, config.gru_layers, config.bidirectional)
        self.regressor = Regressor(config.features, config.hidden, config.dropout, config.iterations)
        if config.adversarial:
            width = config.gru_hidden
            self.adversary = MotionDiscriminator(hidden=width, attention=width)

    def forward(self, batch: Batch) -> Prediction:
        """Encode the window, regress each frame."""
        if batch.features is None:
            raise ValueError("batch: has no features")
        features = self.encoder(batch.features)
        return read_theta(self.regressor(features.flatten(0, 1)).unflatten(0, features.shape[:2]))

    def loss(self, output: Output, batch: Batch, state: State) -> dict[str, Tensor]:
        """L2D + L3D + LSMPL + Ladv (section 3.1)."""
        prediction = state.body.complete(last(output), batch)
        terms = mesh_losses(prediction, batch, self.config.weights)
        if self.adversary is not None:
            score = self.adversary(pose_vectors(prediction.rotations))
            terms["adversarial"] = self.config.adversarial * lsgan_generator(score)
        return summed(terms)

    def adversary_loss(self, output: Output, batch: Batch, state: State) -> Tensor:
        """Equation 5; real are recorded motions, as in the paper, or else the clips whose pose is known."""
        if self.adversary is None:
            return super().adversary_loss(output, batch, state)
        recorded = real_rotations(batch, state)
        if not len(recorded):
            return sum(p.sum() for p in self.adversary.parameters()) * torch.zeros((), device=recorded.device)
        real = self.adversary(pose_vectors(recorded))
        return lsgan_discriminator(real, self.adversary(pose_vectors(last(output).rotations.detach())))
