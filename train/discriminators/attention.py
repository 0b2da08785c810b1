"""SPS-Net's discriminator of sequences: attention over time, mean, one linear score.

Source: Chen et al., "Self-attentive 3D Human Pose and Shape Estimation from Videos" (2021), figure 5 and equation 7.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from train.nn.attention import TimeAttention

__all__ = ["AttentionDiscriminator"]


class AttentionDiscriminator(nn.Module):
    """Whether a sequence of betas and poses is real, between 0 and 1; 27,307 parameters for 82 numbers a frame."""

    def __init__(self, inputs: int = 82) -> None:
        super().__init__()
        self.attention = TimeAttention(inputs)
        self.score = nn.Linear(inputs, 1)

    def forward(self, joint: Float[Tensor, "B T D"]) -> Float[Tensor, " B"]:
        """The score of each sequence."""
        return torch.sigmoid(self.score(self.attention(joint).mean(1)))[:, 0]
