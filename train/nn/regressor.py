"""The iterative regressor from a feature to pose, shape and camera that nearly every model here ends in."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from train.batch import Prediction
from train.rotations import matrix_to_six, six_to_matrix, upright

__all__ = ["THETA", "Regressor", "read_theta"]

THETA = 157
"""6D rotations of 24 joints (144), betas (10), camera s, tx, ty (3)."""


class Regressor(nn.Module):
    """Iterative error feedback: theta += MLP(feature, theta), from the data's mean.

    Source: Kanazawa et al. 2018, section 3.2; layers and their names as in SPIN's published weights (two hidden layers
    without activation between, dropout, three heads). 3,469,469 parameters at the default sizes.

    Args:
        features: Width of the feature.
        hidden: Width of the two hidden layers.
        dropout: After each hidden layer.
        iterations: Steps of feedback.
    """

    init_pose: Tensor
    init_shape: Tensor
    init_cam: Tensor

    def __init__(self, features: int = 2048, hidden: int = 1024, dropout: float = 0.5, iterations: int = 3) -> None:
        super().__init__()
        self.iterations = iterations
        self.fc1 = nn.Linear(features + THETA, hidden)
        self.drop1 = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, hidden)
        self.drop2 = nn.Dropout(dropout)
        self.decpose = nn.Linear(hidden, 144)
        self.decshape = nn.Linear(hidden, 10)
        self.deccam = nn.Linear(hidden, 3)
        for head in (self.decpose, self.decshape, self.deccam):
            nn.init.xavier_uniform_(head.weight, gain=0.01)
        self.register_buffer("init_pose", matrix_to_six(upright()).reshape(1, 144))
        self.register_buffer("init_shape", torch.zeros(1, 10))
        self.register_buffer("init_cam", torch.tensor([[0.9, 0.0, 0.0]]))

    def set_mean(
        self, rotations: Float[Tensor, "24 3 3"], betas: Float[Tensor, " 10"], camera: Float[Tensor, " 3"]
    ) -> None:
        """Start the iterations at the data's mean; kept in checkpoints."""
        self.init_pose.copy_(matrix_to_six(rotations).reshape(1, 144))
        self.init_shape.copy_(betas[None])
        self.init_cam.copy_(camera[None])

    def start(self, count: int) -> Float[Tensor, "N 157"]:
        """Theta before the first iteration."""
        return torch.cat([self.init_pose, self.init_shape, self.init_cam], dim=1).expand(count, THETA)

    def forward(
        self, feature: Float[Tensor, "N F"], theta: Float[Tensor, "N 157"] | None = None
    ) -> Float[Tensor, "N 157"]:
        """Refine theta, by default from the mean."""
        theta = self.start(len(feature)) if theta is None else theta
        for _ in range(self.iterations):
            hidden = self.drop1(self.fc1(torch.cat([feature, theta], dim=1)))
            hidden = self.drop2(self.fc2(hidden))
            theta = theta + torch.cat([self.decpose(hidden), self.decshape(hidden), self.deccam(hidden)], dim=1)
        return theta


def read_theta(theta: Float[Tensor, "B T 157"]) -> Prediction:
    """Pose, shape and camera out of theta, which is kept as `extra["theta"]`."""
    theta = theta.float()
    rotations = six_to_matrix(theta[..., :144].unflatten(-1, (24, 6)))
    return Prediction(rotations=rotations, betas=theta[..., 144:154], camera=theta[..., 154:], extra={"theta": theta})
