"""SPS-Net: self-attention over time, a forecast of the next feature, their fusion, and losses without labels.

Source: Chen, Piccirilli, Piramuthu and Yang, "Self-attentive 3D Human Pose and Shape Estimation from Videos" (2021).
The published count, 51,430,779, is the frozen frame model (trunk 23,508,032 and its regressor 3,469,469), attention
16,785,408, a forecast of one layer 4,196,352, fusion 2,049 and a regressor of the video model's own 3,469,469; that is
`backbone="resnet50"`. On frozen features the frame model is left out. docs/models.md says what the paper leaves open.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from synth.errors import SynthError
from train.backbones import backbone
from train.batch import Batch, Output, Prediction, State, TemporalModel, last
from train.discriminators.attention import AttentionDiscriminator
from train.discriminators.motion import lsgan_discriminator, lsgan_generator
from train.losses import Weights, masked_mean, mesh_losses, summed
from train.models.vibe import TemporalEncoder
from train.nn.attention import TimeAttention
from train.nn.drawing import draw, topology_of
from train.nn.occlude import hide_keypoints
from train.nn.regressor import Regressor, read_theta
from train.rotations import matrix_to_rotvec, six_to_matrix

__all__ = ["Fusion", "SPSNet", "mask_loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SPSNetConfig:
    """Options of SPS-Net; the switches are those of its tables 2 to 5, a weight of 0 turns a loss off."""

    backbone: str = ""
    """"" takes frozen features; "resnet50" holds the frozen frame model itself, as published."""
    features: int = 2048
    """Width of frozen features; with a backbone its own width counts."""
    hidden: int = 1024
    """Of the regressor."""
    iterations: int = 3
    dropout: float = 0.5
    temporal: str = "attention"
    """"attention", "gru" (table 4) or "none" (table 3)."""
    forecast: bool = True
    """Whether the next frame's feature is forecast and fused in (table 3)."""
    forecast_layers: int = 1
    """1 is what the published count holds, 2 what the text says."""
    window: int = 32
    weights: Weights = field(default_factory=Weights)
    feature: float = 1.0
    mask: float = 300.0
    mask_form: str = "one-sided"
    """"one-sided" as in equation 5, which a body that is too large does not raise, or "two-sided" cross-entropy."""
    mask_size: int = 56
    """Side of the drawn silhouettes [px]."""
    camera: float = 0.1
    adversarial: float = 2.0
    occlusion: Weights = field(default_factory=lambda: Weights(keypoints_2d=0.0, joints_3d=0.0))
    """Weights of pose and shape in the self-supervised loss; 0 and 0 turn it off, with `occlusion_camera`."""
    occlusion_camera: float = 0.1

    def __post_init__(self) -> None:
        known = {"temporal": ("attention", "gru", "none"), "mask_form": ("one-sided", "two-sided")}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name}: expected one of {', '.join(values)}, got {getattr(self, name)!r}")
        if self.forecast_layers < 1:
            raise ValueError(f"forecast_layers: expected at least 1, got {self.forecast_layers}")

    @property
    def occludes(self) -> bool:
        """Whether the self-supervised loss is on."""
        return bool(self.occlusion.pose or self.occlusion.shape or self.occlusion_camera)


class FrameModel(nn.Module):
    """The frozen frame model: encoder, and the regressor that came with it, which the published count includes."""

    def __init__(self, name: str, hidden: int, dropout: float, iterations: int) -> None:
        super().__init__()
        self.backbone = backbone(name)
        self.regressor = Regressor(self.backbone.features, hidden, dropout, iterations)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FrameModel":
        """Stays in evaluation mode: its batch statistics are frozen too."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "B T 3 S S"]) -> Float[Tensor, "B T F"]:
        """Pooled features."""
        return self.backbone(images.flatten(0, 1)).mean((2, 3)).unflatten(0, images.shape[:2])


class Fusion(nn.Module):
    """F_i = a h_i + (1 - a) f'_i, the weights a softmax of one score each (figure 4); F_1 = h_1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, attended: Float[Tensor, "B T F"], forecast: Float[Tensor, "B T F"]) -> Float[Tensor, "B T F"]:
        """Fuse.

        Args:
            attended: h of every frame.
            forecast: Of the frame after each: its last entry speaks of no frame in the window and is not used.
        """
        both = torch.stack([attended[:, 1:], forecast[:, :-1]], dim=2)
        fused = (torch.softmax(self.score(both), dim=2) * both).sum(2)
        return torch.cat([attended[:, :1], fused], dim=1)


class SPSNet(TemporalModel):
    """Attention, forecast, fusion, and one iterative regressor with heads for pose, shape and camera."""

    name = "spsnet"
    Config = SPSNetConfig
    roots_matter = True

    def __init__(self, config: SPSNetConfig) -> None:
        super().__init__()
        self.config, self.window = config, config.window
        width = config.features
        self.frame_model = None
        if config.backbone:
            self.frame_model = FrameModel(config.backbone, config.hidden, config.dropout, config.iterations)
            width = self.frame_model.backbone.features
        self.needs = frozenset({"features"} if self.frame_model is None else {"images"})
        occluded = {"features_occluded"} if config.occludes and self.frame_model is None else set()
        self.labels = frozenset(({"parts"} if config.mask else set()) | occluded)
        self.temporal = _temporal(config.temporal, width)
        self.forecast = _forecast(width, config.forecast_layers) if config.forecast else None
        # Without attention or without a forecast there is nothing to fuse (the counts of table 3 agree).
        self.fusion = Fusion(width) if config.forecast and config.temporal != "none" else None
        self.regressor = Regressor(width, config.hidden, config.dropout, config.iterations)
        self.adversary = AttentionDiscriminator() if config.adversarial else None

    def start_from(self, state: Mapping[str, Tensor]) -> list[str]:
        """Copy a trained frame model (`hmr`): into the frozen one, and its regressor into this model's own too.

        Returns:
            Names of what was copied.

        Raises:
            SynthError: its sizes are not this model's.
        """
        copied = super().start_from(state)
        if self.frame_model is None:
            return copied
        own = self.frame_model.state_dict()
        if wrong := [name for name in own if name not in state or state[name].shape != own[name].shape]:
            hint = "Train `hmr` with the same backbone and hidden width"
            raise SynthError(f"{self.name}: {wrong[0]!r} is missing or of another size in the other model", hint)
        self.frame_model.load_state_dict({name: state[name] for name in own})
        return copied + [f"frame_model.{name}" for name in own]

    def forward(self, batch: Batch) -> Prediction:
        """Predict each frame's pose and camera and the window's one shape.

        In training, what the losses without labels compare comes along as `extra`: "features" and their "forecast",
        the overlap's "cameras" seen from two windows that are one frame apart, the "occluded" prediction.
        """
        features = self._features(batch, occluded=False)
        fused, forecast = self._fused(features)
        prediction = self._regress(fused)
        if not self.training:
            return prediction
        extra: dict[str, Any] = {"features": features, "forecast": forecast}
        if self.config.camera and batch.length > 2:
            one, other = (self._regress(self._fused(part)[0]) for part in (features[:, :-1], features[:, 1:]))
            extra["cameras"] = (one.camera[:, 1:], other.camera[:, :-1])
        if self.config.occludes:
            extra["occluded"] = self._regress(self._fused(self._features(batch, occluded=True))[0])
        return replace(prediction, extra={**prediction.extra, **extra})

    def _features(self, batch: Batch, occluded: bool) -> Float[Tensor, "B T F"]:
        if self.frame_model is not None:
            if batch.images is None:
                raise ValueError("batch: has no images")
            return self.frame_model(hide_keypoints(batch.images, batch.keypoints_2d) if occluded else batch.images)
        features = batch.features_occluded if occluded else batch.features
        if features is None:
            raise ValueError(f"batch: has no {'features_occluded' if occluded else 'features'}")
        return features

    def _fused(self, features: Float[Tensor, "B T F"]) -> tuple[Tensor, Tensor | None]:
        attended = features if self.temporal is None else self.temporal(features)
        if self.forecast is None:
            return attended, None
        forecast = self.forecast(features)
        if self.fusion is not None:
            return self.fusion(attended, forecast), forecast
        # "Without self-attention" leaves no fusion layer in the count: both with the same weight.
        return torch.cat([features[:, :1], 0.5 * (features[:, 1:] + forecast[:, :-1])], dim=1), forecast

    def _regress(self, fused: Float[Tensor, "B T F"]) -> Prediction:
        theta = self.regressor(fused.flatten(0, 1)).unflatten(0, fused.shape[:2])
        betas = theta[..., 144:154].mean(1, keepdim=True).expand(-1, theta.shape[1], -1)
        return read_theta(torch.cat([theta[..., :144], betas, theta[..., 154:]], dim=-1))

    def loss(self, output: Output, batch: Batch, state: State) -> dict[str, Tensor]:
        """Equations 3 to 8 with the paper's weights; those without labels only for a prediction made in training.

        Raises:
            ValueError: the batch has no part masks although `mask` has a weight.
        """
        config = self.config
        prediction = state.body.complete(last(output), batch, vertices=bool(config.mask))
        terms = mesh_losses(prediction, batch, config.weights)
        extra = prediction.extra
        if config.mask:
            value = mask_loss(prediction, batch, state.body, config.mask_size, config.mask_form)
            terms["mask"] = config.mask * value
        if self.adversary is not None:
            score = self.adversary(self._sequence(prediction.rotations, prediction.betas))
            terms["adversarial"] = config.adversarial * lsgan_generator(score)
        if config.feature and extra.get("forecast") is not None:
            error = extra["forecast"][:, :-1] - extra["features"][:, 1:]
            terms["feature"] = config.feature * error.float().pow(2).mean()
        if "cameras" in extra:
            one, other = extra["cameras"]
            terms["camera"] = config.camera * functional.mse_loss(one, other)
        if "occluded" in extra:
            terms["occlusion"] = self._occlusion_loss(extra["occluded"], prediction, batch.occluded_valid)
        return summed(terms)

    def _occlusion_loss(self, occluded: Prediction, plain: Prediction, valid: Tensor | None = None) -> Tensor:
        """Equation 8: the prediction of what is whole teaches that of what is hidden, not the other way round."""
        weights = self.config.occlusion
        if valid is None:
            valid = torch.ones_like(plain.betas[..., 0], dtype=torch.bool)
        return (
            weights.pose * masked_mean((occluded.rotations - plain.rotations.detach()) ** 2, valid)
            + weights.shape * masked_mean((occluded.betas - plain.betas.detach()) ** 2, valid)
            + self.config.occlusion_camera * masked_mean((occluded.camera - plain.camera.detach()) ** 2, valid)
        )

    def adversary_loss(self, output: Output, batch: Batch, state: State) -> Tensor:
        """Equation 7; real motions are the labels of the training data, in the same camera frame as predictions."""
        assert self.adversary is not None
        prediction, known = last(output), batch.smpl_valid.all(dim=1)
        real = self.adversary(self._sequence(batch.rotations[known], batch.betas[known]))
        predicted = self.adversary(self._sequence(prediction.rotations.detach(), prediction.betas.detach()))
        # Without a real motion there is nothing to tell apart.
        return lsgan_discriminator(real, predicted) if len(real) else 0.0 * predicted.sum()

    def _sequence(
        self, rotations: Float[Tensor, "B T 24 3 3"], betas: Float[Tensor, "B T 10"]
    ) -> Float[Tensor, "B T 82"]:
        """Betas and axis-angles of every frame; the root's counted from the mean one, away from half a turn."""
        mean = six_to_matrix(self.regressor.init_pose[0, :6])
        rotations = torch.cat([mean.transpose(-1, -2) @ rotations[:, :, :1], rotations[:, :, 1:]], dim=2)
        return torch.cat([betas, matrix_to_rotvec(rotations).flatten(2)], dim=2)


def _temporal(name: str, width: int) -> nn.Module | None:
    if name == "none":
        return None
    return TimeAttention(width) if name == "attention" else TemporalEncoder(width, 1024, 2, bidirectional=False)


def _forecast(width: int, layers: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(width, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*parts)


def mask_loss(prediction: Prediction, batch: Batch, body: Any, size: int, form: str) -> Float[Tensor, ""]:
    """Cross-entropy of the drawn silhouette with the person's mask (equation 5), a mean over pixels.

    Frames with an empty mask do not count: the person is out of the picture, or the source has no masks.

    Args:
        prediction: With vertices.
        batch: With `parts`.
        body: The body layer.
        size: Side of the silhouettes [px].
        form: "one-sided" asks that the person's pixels be covered, "two-sided" also that the others be not.

    Raises:
        ValueError: no part masks in the batch, no vertices in the prediction.
    """
    if batch.parts is None or prediction.vertices is None:
        raise ValueError("mask loss: expected part masks in the batch and vertices in the prediction")
    meshes, cameras = prediction.vertices.flatten(0, 1), prediction.camera.flatten(0, 1)
    _, coverage = draw(meshes, cameras, topology_of(body), meshes.new_zeros(meshes.shape[1], 1), size)
    person = (batch.parts.flatten(0, 1)[:, None] > 0).to(coverage.dtype)
    person = functional.interpolate(person, size=(size, size), mode="area")[:, 0]
    likely = -person * coverage.clamp(min=1e-4, max=1.0).log()
    if form == "two-sided":
        likely = likely - (1 - person) * (1 - coverage).clamp(min=1e-4, max=1.0).log()
    known = person.amax((1, 2)) > 0
    if batch.parts_valid is not None:
        known = known & batch.parts_valid.flatten()
    known = known.to(likely.dtype)
    return (likely.mean((1, 2)) * known).sum() / known.sum().clamp_min(1.0)
