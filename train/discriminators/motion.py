"""VIBE's motion discriminator and the least-squares GAN losses around it.

Source: Kocabas et al., "VIBE" (2020), section 3.2 and equation 5: two GRU layers over poses, self-attention over time,
a linear score.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from train.batch import Batch, State
from train.rotations import matrix_to_rotvec

__all__ = ["MotionDiscriminator", "lsgan_discriminator", "lsgan_generator", "pose_vectors", "real_rotations"]


class MotionDiscriminator(nn.Module):
    """A score for each sequence of poses; trained towards 1 for real and 0 for predicted ones.

    Args:
        inputs: Numbers in a pose.
        hidden: Of the GRU.
        layers: Of the GRU.
        attention: Width of the attention's layers; VIBE has 1024 in three layers.
        dropout: In the attention.
    """

    def __init__(
        self, inputs: int = 69, hidden: int = 1024, layers: int = 2, attention: int = 1024, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True)
        parts: list[nn.Module] = []
        for i in range(3):
            parts += [nn.Linear(hidden if i == 0 else attention, attention), nn.Tanh(), nn.Dropout(dropout)]
        self.weigh = nn.Sequential(*parts, nn.Linear(attention, 1))
        self.score = nn.Linear(hidden, 1)

    def forward(self, poses: Float[Tensor, "B T D"]) -> Float[Tensor, " B"]:
        """The score."""
        states, _ = self.gru(poses)
        weights = torch.softmax(self.weigh(states), dim=1)
        return self.score((weights * states).sum(1))[:, 0]


def pose_vectors(rotations: Float[Tensor, "B T 24 3 3"]) -> Float[Tensor, "B T 69"]:
    """Axis-angle of joints 1-23: the root is left out, since it depends on the camera."""
    return matrix_to_rotvec(rotations[:, :, 1:]).flatten(2)


def real_rotations(batch: Batch, state: State) -> Float[Tensor, "R T 24 3 3"]:
    """What is real: the motions that were given, else the labels of clips whose pose is known."""
    return batch.rotations[batch.smpl_valid.all(dim=1)] if state.motions is None else state.motions


def lsgan_generator(score: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    """(D(predicted) - 1)^2."""
    return ((score - 1.0) ** 2).mean()


def lsgan_discriminator(real: Float[Tensor, " R"], predicted: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    """(D(real) - 1)^2 + D(predicted)^2; there need not be as many real sequences as predicted ones."""
    return ((real - 1.0) ** 2).mean() + (predicted**2).mean()
