"""SPS-Net's attention over time, which its encoder and its discriminator share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["TimeAttention"]


class TimeAttention(nn.Module):
    """h_i = f_i + sum_l softmax_l(Q(f_i) . K(f_l)) f_l.

    Source: Chen et al., "Self-attentive 3D Human Pose and Shape Estimation from Videos" (2021), equations 1 and 2: the
    values are the inputs themselves, and the products are not divided by the root of the width. Q and K are two fully
    connected layers each; softmax is taken in single precision, since the products are large.

    Args:
        width: Of the inputs and of all layers; 16,785,408 parameters for 2048.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = _two_layers(width), _two_layers(width)

    def weights(self, features: Float[Tensor, "B T C"]) -> Float[Tensor, "B T T"]:
        """How much each frame (second axis) takes of each other (third axis); rows sum to 1."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            return torch.softmax(self.query(features) @ self.key(features).transpose(1, 2), dim=2)

    def forward(self, features: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Features that know of all other frames."""
        return features + self.weights(features).to(features.dtype) @ features


def _two_layers(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2))
