"""HPOF: per-frame regression, one shape for the clip, causal temporal convolutions, an optical-flow loss.

Source: Ji, Yang, Yao and Pan, "HPOF: 3D Human Pose Recovery from Monocular Video with Optical Flow" (2021). Theta is
157 numbers: 6D pose 144, betas 10, camera 3. B_s pools the shape over the clip (equation 6), B_p smooths theta from the
past (equation 7), forward kinematics turns it into joints (equations 1-4, each bone turned by its parent's rotation, as
in equation 3 and SMPL). docs/models.md says what the paper leaves open or has wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from train.backbones import backbone
from train.batch import Batch, Output, Prediction, State, TemporalModel, last
from train.discriminators.motion import (
    MotionDiscriminator,
    lsgan_discriminator,
    lsgan_generator,
    pose_vectors,
    real_rotations,
)
from train.losses import Weights, mesh_losses, pose_loss, shape_loss, summed
from train.models.hmr import pooled
from train.nn.causal import CausalGRU, CausalTransformer
from train.nn.drawing import draw, gradient_colours, topology_of
from train.nn.regressor import THETA, Regressor, read_theta
from train.nn.tcn import CausalTCN

__all__ = ["HPOF", "HPOFStream", "acceleration_loss", "flow_loss", "pooled_shape"]

_SHAPE = slice(144, 154)


@dataclass(frozen=True, slots=True, kw_only=True)
class HPOFConfig:
    """Options of HPOF; the switches are those of its tables 1 and 2."""

    backbone: str = ""
    """"" takes frozen features; "resnet50" learns them."""
    features: int = 2048
    """Width of frozen features; with a backbone its own width counts."""
    hidden: int = 1024
    """Of the regressor."""
    iterations: int = 3
    dropout: float = 0.5
    """In the regressor."""
    temporal: str = "tcn"
    """B_p: "tcn", "gru" or "transformer" (table 1)."""
    channels: int = 1024
    """Of the convolutions, the GRU or the transformer's position-wise network."""
    blocks: int = 3
    """Of the convolutions, 1 to 3 (table 2): a receptive field of 9, 27 or 81 frames."""
    layers: int = 2
    """Of the GRU (2 or 3 in table 1) or the transformer."""
    shape: str = "clip"
    """B_s: "clip" pools the betas over the window, "running" over its past only, "frame" leaves them (table 1)."""
    window: int = 27
    weights: Weights = field(default_factory=Weights)
    regressor: float = 1.0
    """Factor of the per-frame regressor's own loss (equation 5) beside those of `weights`."""
    acceleration: float = 60.0
    adversarial: float = 0.5
    """Weight of the sequence discriminator; 0 trains without one."""
    flow: float = 0.0004
    """Weight of the optical-flow loss, colours counting from 0 to 255; 0 trains without flow (table 1)."""
    flow_size: int = 112
    """Side of the rendered pictures [px]."""
    regressor_rate: float = 0.2
    """Learning rate of the regressor (and encoder) over the temporal encoder's (1e-5 over 5e-5)."""

    def __post_init__(self) -> None:
        for name, known in (("temporal", ("tcn", "gru", "transformer")), ("shape", ("clip", "running", "frame"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")


class HPOF(TemporalModel):
    """The three stages and their losses."""

    name = "hpof"
    Config = HPOFConfig

    def __init__(self, config: HPOFConfig) -> None:
        super().__init__()
        self.config, self.window = config, config.window
        self.backbone = backbone(config.backbone) if config.backbone else None
        self.needs = frozenset({"features"} if self.backbone is None else {"images"})
        self.labels = frozenset({"flow", "parts"} if config.flow else ())
        width = config.features if self.backbone is None else self.backbone.features
        self.regressor = Regressor(width, config.hidden, config.dropout, config.iterations)
        self.temporal = _temporal(config)
        if isinstance(self.temporal, CausalTCN):
            self.receptive_field = self.temporal.receptive_field
        # Only a view's first frame has no past: the paper pushes frames through one window (section 3.4).
        self.history = config.window // 2
        self.adversary = MotionDiscriminator(hidden=config.channels) if config.adversarial else None

    def forward(self, batch: Batch) -> Prediction:
        """Regress each frame, pool the shape, look at the past; `extra["frame_theta"]` is the first stage's result."""
        frame_theta = self.regressor(pooled(self.backbone, batch)).unflatten(0, (len(batch), -1))
        theta = self.encode(frame_theta)
        prediction = read_theta(theta)
        return replace(prediction, extra={**prediction.extra, "frame_theta": frame_theta.float()})

    def encode(
        self, frame_theta: Float[Tensor, "B T 157"], pose: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "B T 157"]:
        """The temporal encoder, B_s and B_p. Both sides of B_p are counted from the data's mean.

        Args:
            frame_theta: Of each frame by itself.
            pose: Stands in for B_p, such as a faster form of it.
        """
        smoother = self.temporal if pose is None else pose
        mean = self.regressor.start(1)[:, None]
        if self.config.shape == "frame":
            return mean + smoother(frame_theta - mean)
        betas = pooled_shape(frame_theta[..., _SHAPE], past_only=self.config.shape == "running")
        controlled = torch.cat([frame_theta[..., :144], betas, frame_theta[..., 154:]], dim=-1)
        smooth = mean + smoother(controlled - mean)
        return torch.cat([smooth[..., :144], betas, smooth[..., 154:]], dim=-1)

    def dense(self) -> Callable[[Tensor], Tensor]:
        """`encode` for inference, with the convolutions' weights as they are now laid out for speed.

        Raises:
            ValueError: the model is in training mode, or its encoder is not the convolutional one.
        """
        if not isinstance(self.temporal, CausalTCN):
            raise ValueError(f"dense: expected temporal 'tcn', got {self.config.temporal!r}")
        fast = self.temporal.dense()
        return lambda frame_theta: self.encode(frame_theta, fast)

    def stream(self, betas: Float[Tensor, "B 10"] | None = None) -> "HPOFStream":
        """Frame-by-frame inference. See `HPOFStream`."""
        return HPOFStream(self, betas)

    def loss(self, output: Output, batch: Batch, state: State) -> dict[str, Tensor]:
        """Equation 13 and the regressor's own loss (equation 5), which it leaves out.

        Raises:
            ValueError: the batch has no flow although `flow` has a weight.
        """
        config, weights = self.config, self.config.weights
        prediction = state.body.complete(last(output), batch, vertices=bool(config.flow))
        terms = mesh_losses(prediction, batch, weights)
        if config.regressor:
            first = read_theta(prediction.extra["frame_theta"])
            pose = weights.pose * pose_loss(first.rotations, batch.rotations, batch.smpl_valid)
            shape = weights.shape * shape_loss(first.betas, batch.betas, batch.smpl_valid)
            terms["regressor"] = config.regressor * (pose + shape)
        if config.acceleration:
            value = acceleration_loss(_joints(prediction), batch.joints_3d, batch.joints_valid)
            terms["acceleration"] = config.acceleration * value
        if self.adversary is not None:
            score = self.adversary(pose_vectors(prediction.rotations))
            terms["adversarial"] = config.adversarial * lsgan_generator(score)
        if config.flow:
            terms["flow"] = config.flow * flow_loss(prediction, batch, state.body, config.flow_size)
        return summed(terms)

    def adversary_loss(self, output: Output, batch: Batch, state: State) -> Tensor:
        """Equation 14; real are recorded motions, or the labels of the training data."""
        assert self.adversary is not None
        real = self.adversary(pose_vectors(real_rotations(batch, state)))
        predicted = self.adversary(pose_vectors(last(output).rotations.detach()))
        # Without a real motion there is nothing to tell apart.
        return lsgan_discriminator(real, predicted) if len(real) else 0.0 * predicted.sum()

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """`lr` for the temporal encoder, a fifth of it for what comes before (section 3.4)."""
        parts = [self.regressor] if self.backbone is None else [self.regressor, self.backbone]
        before = [p for part in parts for p in part.parameters()]
        return [
            {"params": list(self.temporal.parameters()), "lr": lr},
            {"params": before, "lr": lr * self.config.regressor_rate},
        ]


class HPOFStream:
    """HPOF on a video of unknown length: one prediction for each frame's features, each at the same cost.

    The shape of a window cannot be pooled before its last frame is there. So the stream uses the betas it is given,
    such as those of an earlier clip of the same person, or else pools those seen so far, which is what the dense model
    does with `shape="running"`; with that option, or with given betas, the two agree to rounding.

    Args:
        model: In evaluation mode, with `temporal="tcn"`.
        betas: Shape to be used for all frames.

    Raises:
        ValueError: the model has no streaming form or is in training mode.
    """

    def __init__(self, model: HPOF, betas: Float[Tensor, "B 10"] | None = None) -> None:
        if not isinstance(model.temporal, CausalTCN):
            raise ValueError(f"stream: expected temporal 'tcn', got {model.config.temporal!r}")
        self.model, self.given = model, betas
        self.temporal = model.temporal.stream()
        self.mean = model.regressor.start(1)
        self.total: Tensor | None = None
        self.frames = 0

    @torch.no_grad()
    def push(self, features: Float[Tensor, "B F"]) -> Prediction:
        """The prediction of the next frame, T = 1."""
        return read_theta(self.push_theta(self.model.regressor(features))[:, None])

    @torch.no_grad()
    def push_theta(self, frame_theta: Float[Tensor, "B 157"]) -> Float[Tensor, "B 157"]:
        """The temporal encoder alone, on the next frame's regressed theta."""
        own = frame_theta[:, _SHAPE]
        self.frames += 1
        self.total = own if self.total is None else self.total + own
        betas = own
        if self.model.config.shape != "frame":
            betas = self.total / self.frames if self.given is None else self.given
        controlled = torch.cat([frame_theta[:, :144], betas, frame_theta[:, 154:]], dim=1)
        smooth = self.mean + self.temporal.push(controlled - self.mean)
        if self.model.config.shape != "frame":
            smooth = torch.cat([smooth[:, :144], betas, smooth[:, 154:]], dim=1)
        return smooth


def _temporal(config: HPOFConfig) -> "CausalTCN | CausalGRU | CausalTransformer":
    network: CausalTCN | CausalGRU | CausalTransformer
    if config.temporal == "gru":
        network = CausalGRU(THETA, THETA, config.channels, config.layers)
    elif config.temporal == "transformer":
        network = CausalTransformer(THETA, THETA, layers=config.layers, hidden=config.channels)
    else:
        network = CausalTCN(THETA, THETA, config.channels, config.blocks)
    # As the regressor's heads: training starts at the mean person, not at one of random rotations.
    nn.init.xavier_uniform_(network.shrink.weight, gain=0.01)
    nn.init.zeros_(network.shrink.bias)  # pyright: ignore[reportArgumentType]
    return network


def pooled_shape(betas: Float[Tensor, "B T 10"], past_only: bool = False) -> Float[Tensor, "B T 10"]:
    """B_s: adaptive average pooling over time to one vector, broadcast to all frames (equation 6).

    Args:
        betas: Of each frame.
        past_only: Pool each frame over itself and the frames before it instead.
    """
    if past_only:
        count = torch.arange(1, betas.shape[1] + 1, device=betas.device, dtype=betas.dtype)
        return betas.cumsum(1) / count[:, None]
    return functional.adaptive_avg_pool1d(betas.transpose(1, 2), 1).transpose(1, 2).expand_as(betas)


def acceleration_loss(
    joints: Float[Tensor, "B T 24 3"], wanted: Float[Tensor, "B T 24 3"], valid: Bool[Tensor, "B T 24"]
) -> Float[Tensor, ""]:
    """Mean squared difference of accelerations (equation 12) over joints known in three successive frames [m2].

    The sum ends where three frames fit, T - 3 counted from 0; zero for clips shorter than that.
    """
    if joints.shape[1] < 3:
        return joints.sum() * 0.0
    error = joints - wanted
    second = error[:, 2:] - 2 * error[:, 1:-1] + error[:, :-2]
    known = (valid[:, 2:] & valid[:, 1:-1] & valid[:, :-2])[..., None]
    return (second**2 * known).sum() / (3 * known.sum()).clamp_min(1)


def flow_loss(prediction: Prediction, batch: Batch, body: Any, size: int) -> Float[Tensor, ""]:
    """The next frame's render, carried back by the flow, against this frame's (equations 16-19).

    A forward flow says where this frame's pixels go, so the next picture is read there: m_(t+1)(p + O_t(p)) is compared
    with m_t(p). The mean of squared differences (colours 0 to 255) is taken over the pixels of the person whose flow is
    known and leads to a pixel of the person, not over the background, on which two empty pictures would agree.

    Args:
        prediction: With vertices.
        batch: With `flow`; the person's mask is `parts`, or in frames where they are not known, the render itself.
        body: The body layer.
        size: Side of the renders [px].

    Raises:
        ValueError: no flow in the batch, no vertices in the prediction.
    """
    if batch.flow is None or batch.flow_valid is None or prediction.vertices is None:
        raise ValueError("flow loss: expected flow in the batch and vertices in the prediction")
    clips, frames = prediction.vertices.shape[:2]
    colours = gradient_colours(body.v_template[0]) * 255.0
    meshes, cameras = prediction.vertices.flatten(0, 1), prediction.camera.flatten(0, 1)
    pictures, coverage = draw(meshes, cameras, topology_of(body), colours, size)
    pictures = pictures.unflatten(0, (clips, frames))
    flow = functional.interpolate(batch.flow[:, :-1].flatten(0, 1).float(), size=(size, size), mode="nearest-exact")
    person = coverage.detach()[:, None] > 0.5
    if batch.parts is not None:
        masks = functional.interpolate(batch.parts.flatten(0, 1)[:, None].float(), size=(size, size)) > 0
        known = masks.new_ones(len(masks)) if batch.parts_valid is None else batch.parts_valid.flatten()
        person = torch.where(known[:, None, None, None], masks, person)
    person = person.unflatten(0, (clips, frames)).float()
    there = _grid(size, flow.device) + flow.permute(0, 2, 3, 1)
    following = torch.cat([pictures, person], dim=2)[:, 1:].flatten(0, 1)
    carried = functional.grid_sample(following, there, mode="bilinear", padding_mode="zeros", align_corners=False)
    mask = (person[:, :-1].flatten(0, 1) > 0.5) & (carried[:, -1:] > 0.99)
    mask = (mask & batch.flow_valid[:, :-1].flatten()[:, None, None, None]).to(carried.dtype)
    difference = (carried[:, :-1] - pictures[:, :-1].flatten(0, 1)) ** 2 * mask
    return difference.sum() / (3 * mask.sum()).clamp_min(1.0)


def _grid(size: int, device: torch.device) -> Float[Tensor, "1 S S 2"]:
    """Crop coordinates of the pixels' centres."""
    ticks = (torch.arange(size, device=device) + 0.5) * (2.0 / size) - 1.0
    return torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), dim=-1)[None]


def _joints(prediction: Prediction) -> Tensor:
    if prediction.joints is None:
        raise ValueError("prediction: has no joints; complete it by the body layer first")
    return prediction.joints
