"""TAR: global features by a transformer, local maps by ConvGRUs, and a mesh refined by looking where it projects.

Source: Chen, Zhou, Jian, Wan and Wang, "Temporal-Aware Refinement for Video-based Human Pose and Shape Recovery"
(2023), and for what it takes over, Wang and Daniilidis, "ReFit" (2023). It speaks of the middle frame only, in the
perspective camera of the full picture. docs/models.md says what the paper leaves open or has wrong.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from train.backbones import backbone
from train.batch import Batch, Output, Prediction, State, TemporalModel
from train.losses import Weights, keypoints_2d_loss, mesh_losses, summed
from train.nn.convgru import LocalEncoder
from train.nn.fullimage import FullImage
from train.nn.groups import GroupedGRU, GroupedLinear
from train.nn.markers import look_up, marker_body
from train.nn.positions import sinusoids
from train.nn.regressor import THETA, read_theta
from train.rotations import matrix_to_six, six_to_matrix, upright

__all__ = ["TAR", "GlobalEncoder", "Heads"]

_GROUPS = 26
"""Hidden states: 24 rotations, betas, camera."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TARConfig:
    """Options of TAR; the switches are those of its tables 3 to 5 and S3."""

    backbone: str = "resnet50"
    width: int = 512
    """Of the transformer; its position-wise network is four times as wide."""
    layers: int = 4
    heads: int = 8
    dropout: float = 0.1
    """In the transformer."""
    encoders: str = "both"
    """"both", "global" or "local" (table 4): without the other the middle frame's own feature or map is used."""
    local: int = 5
    """Frames around the middle whose maps the ConvGRUs see, L (3, 5, 7, 9 in table 5)."""
    local_width: int = 256
    """Channels of the local maps, D."""
    shrink: int = 1
    """Side of the local maps over that of the ConvGRUs' states (table S3)."""
    refine: bool = True
    """Off: the initial estimate is the result (table 3)."""
    iterations: int = 5
    state: int = 32
    """Of each of the 26 GRUs."""
    markers: int = 67
    radius: int = 3
    looked: int = 5
    """Numbers that a marker's window is reduced to."""
    feedback: int = 256
    """Width of all markers' windows together."""
    marker_dropout: float = 0.25
    body: str = "free"
    """Body model that carries the markers."""
    window: int = 9
    gamma: float = 0.85
    weights: Weights = field(default_factory=Weights)

    def __post_init__(self) -> None:
        if self.encoders not in ("both", "global", "local"):
            raise ValueError(f"encoders: expected both, global or local, got {self.encoders!r}")
        if self.local % 2 == 0 or not 1 <= self.local <= self.window:
            raise ValueError(f"local: expected an odd number up to the window's {self.window}, got {self.local}")


class GlobalEncoder(nn.Module):
    """Transformer over the frames' features, then a weighted mean of the frames (section 3.1.1, figure 3a)."""

    def __init__(self, features: int, window: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(features, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.mean = nn.Conv1d(window, 1, 1)
        nn.init.constant_(self.mean.weight, 1 / window)

    def forward(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B W"]:
        """One vector for the window."""
        tokens = self.project(features)
        tokens = tokens + sinusoids(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens.dtype)
        return self.mean(self.encoder(tokens))[:, 0]


class Heads(nn.Module):
    """From 26 hidden states and the box's vector to a step of theta; the same networks for every step."""

    init: Tensor

    def __init__(self, state: int) -> None:
        super().__init__()
        self.hidden = GroupedLinear(_GROUPS, state + 3, state)
        self.pose = GroupedLinear(24, state, 6)
        self.shape = nn.Linear(state, 10)
        self.camera = nn.Linear(state, 3)
        for head in (self.pose, self.shape, self.camera):
            with torch.no_grad():
                head.weight.mul_(0.1)
                head.bias.zero_()
        start = torch.cat([matrix_to_six(upright()).flatten(), torch.zeros(10), torch.tensor([0.9, 0.0, 0.0])])
        self.register_buffer("init", start[None])

    def set_mean(
        self, rotations: Float[Tensor, "24 3 3"], betas: Float[Tensor, " 10"], camera: Float[Tensor, " 3"]
    ) -> None:
        """Count the first step from the data's mean; kept in checkpoints."""
        self.init.copy_(torch.cat([matrix_to_six(rotations).flatten(), betas, camera])[None])

    def forward(self, states: Float[Tensor, "B 26 H"], box: Float[Tensor, "B 3"]) -> Float[Tensor, "B 157"]:
        """The step."""
        box = box[:, None].expand(-1, _GROUPS, -1).to(states.dtype)
        hidden = torch.relu(self.hidden(torch.cat([states, box], dim=2)))
        return torch.cat(
            [self.pose(hidden[:, :24]).flatten(1), self.shape(hidden[:, 24]), self.camera(hidden[:, 25])], 1
        )


class TAR(TemporalModel):
    """The three parts and their gamma-weighted losses."""

    name = "tar"
    Config = TARConfig
    needs = frozenset({"images"})
    centre_only = True

    def __init__(self, config: TARConfig) -> None:
        super().__init__()
        self.config, self.window, state = config, config.window, config.state
        self.backbone = backbone(config.backbone)
        features = self.backbone.features
        if config.encoders == "local":
            self.whole: nn.Module = nn.Linear(features, config.width)
        else:
            self.whole = GlobalEncoder(
                features, config.window, config.width, config.layers, config.heads, config.dropout
            )
        self.to_states = nn.Linear(config.width, _GROUPS * state)
        self.heads = Heads(state)
        if config.refine:
            self.to_local = nn.Conv2d(self.backbone.local_features, config.local_width, 1)
            self.local = LocalEncoder(config.local_width, config.shrink) if config.encoders != "global" else None
            self.to_markers = nn.Conv2d(config.local_width, config.markers, 1)
            self.read = GroupedLinear(config.markers, (2 * config.radius + 1) ** 2, config.looked)
            self.gather = nn.Linear(config.markers * config.looked, config.feedback)
            self.gru = GroupedGRU(_GROUPS, config.feedback + THETA + 3, state)
            self.marker_body = marker_body(config.body, config.markers)

    def forward(self, batch: Batch) -> list[Prediction]:
        """The middle frame's initial estimate and its refinements; the last one counts."""
        if batch.images is None:
            raise ValueError("batch: has no images")
        if batch.length != self.window:
            raise ValueError(f"batch: TAR was built for {self.window} frames, got {batch.length}")
        middle = self.window // 2
        picture = FullImage.of(batch, middle)
        maps, features = self._encode(batch.images)
        whole = self.whole(features[:, middle] if self.config.encoders == "local" else features)
        states = torch.tanh(self.to_states(whole)).unflatten(1, (_GROUPS, -1))
        box = picture.box_vector()
        theta = self.heads.init + self.heads(states, box)
        thetas = [theta]
        if self.config.refine:
            thetas += self._refine(maps, states, theta.float(), picture)
        return [_read(theta, picture) for theta in (thetas if self.training else thetas[-1:])]

    def _encode(self, images: Float[Tensor, "B T 3 S S"]) -> tuple[Tensor, Tensor]:
        """Local maps of the frames around the middle (B, L, D, h, w), global features of all (B, T, F)."""
        clips, middle = len(images), self.window // 2
        reach = self.config.local // 2 if self.config.encoders != "global" else 0
        maps, last_maps = self.backbone.pyramid(images.flatten(0, 1))
        near = maps.unflatten(0, (clips, -1))[:, middle - reach : middle + reach + 1]
        return near, last_maps.mean((2, 3)).unflatten(0, (clips, -1))

    def _refine(
        self,
        maps: Float[Tensor, "B L C h w"],
        states: Float[Tensor, "B 26 H"],
        theta: Float[Tensor, "B 157"],
        picture: FullImage,
    ) -> list[Tensor]:
        """Recurrent refinement (section 3.3): project the markers, look around them, step."""
        clips = len(maps)
        near = self.to_local(maps.flatten(0, 1)).unflatten(0, (clips, -1))
        local = near[:, 0] if self.local is None else self.local(near)
        channels, box = self.to_markers(local), picture.box_vector()
        seen = functional.dropout(channels.new_ones(clips, self.config.markers, 1), self.config.marker_dropout,
                                  self.training)  # fmt: skip
        thetas = []
        for _ in range(self.config.iterations):
            theta = theta.detach()
            windows = look_up(channels, self._markers(theta, picture), self.config.radius)
            feedback = self.gather((self.read(windows) * seen).flatten(1))
            states = self.gru(states, torch.cat([feedback, theta.to(feedback.dtype), box.to(feedback.dtype)], dim=1))
            theta = theta + self.heads(states, box).float()
            thetas.append(theta)
        return thetas

    @torch.no_grad()
    def _markers(self, theta: Float[Tensor, "B 157"], picture: FullImage) -> Float[Tensor, "B K 2"]:
        """Where the markers are seen in the crop (equations 5 and 6); no gradient, as in ReFit."""
        rotations = six_to_matrix(theta[:, :144].unflatten(1, (24, 6)))
        neutral = torch.zeros(len(theta), dtype=torch.int64, device=theta.device)
        points, _ = self.marker_body(rotations, theta[:, 144:154], neutral)
        return picture.project(points, picture.translation(theta[:, 154:]))

    def loss(self, output: Output, batch: Batch, state: State) -> dict[str, Tensor]:
        """Equation 14: the sum over steps of gamma^(L - l) L_l, 2D joints being projected in the full picture."""
        outputs = output if isinstance(output, list) else [output]
        middle = batch.length // 2
        centre, picture = batch.frames(slice(middle, middle + 1)), FullImage.of(batch, middle)
        weights = replace(self.config.weights, keypoints_2d=0.0)
        total: dict[str, Tensor] = {}
        for number, one in enumerate(outputs):
            prediction = state.body.complete(one, centre)
            terms = mesh_losses(prediction, centre, weights)
            if self.config.weights.keypoints_2d:
                seen = picture.project(prediction.joints[:, 0], picture.translation(prediction.camera[:, 0]))
                value = keypoints_2d_loss(seen[:, None], centre.keypoints_2d)
                terms["keypoints_2d"] = self.config.weights.keypoints_2d * value
            factor = self.config.gamma ** (len(outputs) - 1 - number)
            total = {name: total.get(name, 0.0) + factor * value for name, value in terms.items()}
        return summed(total)


def _read(theta: Float[Tensor, "B 157"], picture: FullImage) -> Prediction:
    prediction = read_theta(theta[:, None])
    translation = picture.unturned(picture.translation(prediction.camera[:, 0]))
    return replace(prediction, transl=translation[:, None])
