"""MVIPER: attention and an LSTM around a shared frame model.

Source: Liu, Akhtar and Mian, "Temporally Coherent Full 3D Mesh Human Pose Recovery from Monocular Video" (2019),
section 4.2 and figure 5. Sizes as published: features, context and LSTM state 2048, a 7x7 map, so that the LSTM, with
the previous prediction of 85 numbers, has 4181 inputs and 51,044,352 parameters.

What the paper leaves open is decided so: the regressor reads the LSTM's state h_t, which is as wide as the frame
feature, so that it can start from the frame model's weights, and iterates from the previous prediction; initial states
are read off the clip's first feature. The previous prediction is fed as camera 3, axis-angle 72, betas 10, its root
relative to the mean root, since axis-angle jumps at half a turn, near which every upright person's root lies.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from train.backbones import backbone
from train.batch import Batch, Output, Prediction, State, TemporalModel, last
from train.losses import Weights, mesh_losses, shape_smoothness, summed
from train.nn.regressor import THETA, Regressor, read_theta
from train.rotations import matrix_to_rotvec, six_to_matrix

__all__ = ["MVIPER"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MVIPERConfig:
    """Options of MVIPER; the switches are those of its ablation (table 4) and of its parts."""

    backbone: str = "resnet50"
    """"" takes frozen features and feature maps instead of images."""
    features: int = 2048
    """Width of frozen features; with a backbone its own width counts."""
    hidden: int = 1024
    """Of the regressor, as in the frame model."""
    attention_hidden: int = 512
    iterations: int = 3
    dropout: float = 0.5
    window: int = 16
    attention: bool = True
    """Off: the context is left out of the LSTM's input."""
    smoothness: float = 0.06
    """mu, weight of the shape's smoothness; 0 for the ablation."""
    previous: bool = True
    """Whether the last frame's prediction enters the LSTM."""
    weights: Weights = field(default_factory=Weights)
    """Table 4: "L2D" has joints_3d, pose and shape 0, and so on."""


class Attention(nn.Module):
    """Soft attention over a map's places, conditioned on the LSTM's state (equations 10-12; Xu et al. 2015).

    Args:
        features: Channels of the map.
        state: Width of the LSTM's state.
        hidden: Of the MLP that scores a place.
    """

    def __init__(self, features: int, state: int, hidden: int) -> None:
        super().__init__()
        self.of_place = nn.Linear(features, hidden)
        self.of_state = nn.Linear(state, hidden, bias=False)
        self.score = nn.Linear(hidden, 1)

    def keys(self, annotations: Float[Tensor, "*N P F"]) -> Float[Tensor, "*N P H"]:
        """The part of the score that does not change with the state; computed once a clip."""
        return self.of_place(annotations)

    def forward(
        self, annotations: Float[Tensor, "B P F"], keys: Float[Tensor, "B P H"], state: Float[Tensor, "B S"]
    ) -> tuple[Float[Tensor, "B F"], Float[Tensor, "B P"]]:
        """Context vector and the weights of the places, which sum to 1."""
        scores = self.score(torch.tanh(keys + self.of_state(state)[:, None]))[..., 0]
        weights = torch.softmax(scores, dim=1)
        return (weights[..., None] * annotations).sum(1), weights


class MVIPER(TemporalModel):
    """The video model. Train `hmr` first and start from it: `train mviper --init HMR_CHECKPOINT`."""

    name = "mviper"
    Config = MVIPERConfig

    def __init__(self, config: MVIPERConfig) -> None:
        super().__init__()
        self.config, self.window = config, config.window
        self.backbone = backbone(config.backbone) if config.backbone else None
        frozen = {"features", "feature_maps"} if config.attention else {"features"}
        self.needs = frozenset(frozen if self.backbone is None else {"images"})
        width = config.features if self.backbone is None else self.backbone.features
        self.regressor = Regressor(width, config.hidden, config.dropout, config.iterations)
        self.attention = Attention(width, width, config.attention_hidden) if config.attention else None
        inputs = width + (width if config.attention else 0) + (85 if config.previous else 0)
        self.lstm = nn.LSTMCell(inputs, width)
        self.initial = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2 * width)
        )

    def forward(self, batch: Batch) -> Prediction:
        """Unroll over the clip: attend, step the LSTM, regress from the last prediction."""
        features, annotations = self._encode(batch)
        clips, frames = features.shape[:2]
        hidden, cell = self.initial(features[:, 0]).chunk(2, dim=1)
        theta = self.regressor.start(clips)
        keys = None if self.attention is None else self.attention.keys(annotations)
        thetas, looked = [], []
        for t in range(frames):
            inputs = [features[:, t]]
            if self.attention is not None and keys is not None:
                context, weights = self.attention(annotations[:, t], keys[:, t], hidden)
                inputs.append(context)
                looked.append(weights)
            if self.config.previous:
                inputs.append(self._as_85(theta).to(features.dtype))
            hidden, cell = self.lstm(torch.cat(inputs, dim=1), (hidden, cell))
            theta = self.regressor(hidden, theta)
            thetas.append(theta)
        prediction = read_theta(torch.stack(thetas, dim=1))
        if looked:
            prediction = _with_extra(prediction, attention=torch.stack(looked, dim=1))
        return prediction

    def _encode(self, batch: Batch) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B T P F"]]:
        if self.backbone is not None:
            if batch.images is None:
                raise ValueError("batch: has no images")
            maps = self.backbone(batch.images.flatten(0, 1)).unflatten(0, (len(batch), -1))
            return maps.mean((3, 4)), maps.flatten(3).transpose(2, 3)
        if batch.features is None:
            raise ValueError("batch: has no features")
        if self.attention is None:
            return batch.features, batch.features[:, :, None]
        if batch.feature_maps is None:
            raise ValueError("batch: has no feature_maps")
        return batch.features, batch.feature_maps.flatten(3).transpose(2, 3)

    def _as_85(self, theta: Float[Tensor, "B 157"]) -> Float[Tensor, "B 85"]:
        rotations = six_to_matrix(theta[:, :144].float().unflatten(-1, (24, 6)))
        mean = six_to_matrix(self.regressor.init_pose[0, :6])
        root = mean.transpose(-1, -2) @ rotations[:, :1]
        rotvec = matrix_to_rotvec(torch.cat([root, rotations[:, 1:]], dim=1))
        return torch.cat([theta[:, 154:THETA].float(), rotvec.flatten(1), theta[:, 144:154].float()], dim=1)

    def loss(self, output: Output, batch: Batch, state: State) -> dict[str, Tensor]:
        """L = sum_t L_t + mu L_smooth (section 4.2), the sum over frames taken as a mean."""
        prediction = state.body.complete(last(output), batch)
        terms = mesh_losses(prediction, batch, self.config.weights)
        if self.config.smoothness:
            terms["smoothness"] = self.config.smoothness * shape_smoothness(prediction.betas)
        return summed(terms)


def _with_extra(prediction: Prediction, **more: Tensor) -> Prediction:
    return replace(prediction, extra={**prediction.extra, **more})
