"""What passes between the loader, the models, the losses and the metrics: one batch in, one prediction out.

Axes: B clips, T frames, S pixels of a crop's side, F width of a global feature. Frames follow `synth.types`: camera x
right, y down, z forward. Crop coordinates run from -1 (left, top edge) to 1 (right, bottom edge).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from synth.errors import SynthError
from synth.spec import from_plain

__all__ = ["CLIP_FIELDS", "GENDERS", "Batch", "Output", "Prediction", "State", "TemporalModel", "last"]

GENDERS = ("neutral", "male", "female")
"""`Batch.gender` points into this."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """B windows of T frames: what the network sees and what it should say.

    Labels that a source does not have are zeros with their mask off, so that sources can be mixed.
    """

    keypoints_2d: Float[Tensor, "B T 24 3"]
    """SMPL's joints in the crop (x, y in [-1, 1] inside it) and confidence: 0 unknown or invisible, 1 seen."""
    joints_3d: Float[Tensor, "B T 24 3"]
    """SMPL's joints relative to the pelvis, camera axes [m]."""
    joints_valid: Bool[Tensor, "B T 24"]
    """Which of `joints_3d` are known; real data often knows the limbs only."""
    rotations: Float[Tensor, "B T 24 3 3"]
    """Root rotation in the camera's frame, then joints 1-23 relative to their parents (rotation matrices)."""
    betas: Float[Tensor, "B T 10"]
    """Shape, in standard deviations; the same in all frames of a window."""
    smpl_valid: Bool[Tensor, "B T"]
    """Whether `rotations`, `betas` and `pelvis` are known."""
    pelvis: Float[Tensor, "B T 3"]
    """Joint 0 in the camera's frame of the full image [m]; an augmented crop's rotation does not turn it."""
    box: Float[Tensor, "B T 3"]
    """Square that the crop was cut from: centre x, centre y, side, in pixels of the full image."""
    image_size: Float[Tensor, "B 2"]
    """Width, height of the full image [px]."""
    K: Float[Tensor, "B 3 3"]
    """Intrinsics of the full image [px]. Augmented crops keep them: see `box_rotation`, `flipped` and `box`."""
    box_rotation: Float[Tensor, " B"]
    """Rotation about the optical axis, from x towards y, by which the crop was turned about its centre, and with it
    `keypoints_2d`, `joints_3d` and the root of `rotations` [rad]; 0 without augmentation."""
    flipped: Bool[Tensor, " B"]
    """Whether picture and labels were mirrored (box and K then belong to the mirrored full image)."""
    fps: Float[Tensor, " B"]
    gender: Int[Tensor, " B"]
    """Index in `GENDERS` of the body model that the labels belong to."""
    images: Float[Tensor, "B T 3 S S"] | None = None
    """Crops, ImageNet mean and deviation taken out."""
    features: Float[Tensor, "B T F"] | None = None
    """Global (pooled) features of a frozen encoder."""
    features_occluded: Float[Tensor, "B T F"] | None = None
    """The same of crops in which something was hidden (SPS-Net's self-supervised loss)."""
    feature_maps: Float[Tensor, "B T F h w"] | None = None
    """Last map of a frozen encoder, before pooling."""
    flow: Float[Tensor, "B T 2 S S"] | None = None
    """Forward flow t -> t+1 in crop coordinates: where a crop pixel's surface point lies in the NEXT crop, minus where
    it lies in this one (both in [-1, 1] units), so that the two crops' different boxes are part of it. Where it is not
    known it leads out of the next crop."""
    flow_valid: Bool[Tensor, "B T"] | None = None
    """Whether a frame's flow is meaningful; never for the last frame of a window."""
    parts: UInt8[Tensor, "B T S S"] | None = None
    """Body part (1-24) seen or under the cloth seen, 0 for the background: `parts > 0` is the person's mask."""
    parts_valid: Bool[Tensor, "B T"] | None = None
    """Whether a frame's `parts` are known; None: all are."""
    occluded_valid: Bool[Tensor, "B T"] | None = None
    """Whether a frame's `features_occluded` are known; None: all are."""
    clip_id: tuple[str, ...] = ()
    view: tuple[int, ...] = ()
    start: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Number of frames, T."""
        return self.rotations.shape[1]

    def __len__(self) -> int:
        return self.rotations.shape[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The batch on another device."""
        return self._mapped(lambda _, value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory (DataLoader calls this)."""
        return self._mapped(lambda _, value: value.pin_memory())

    def frames(self, chosen: slice) -> "Batch":
        """Some of the frames, all clips."""
        return self._mapped(lambda name, value: value if name in CLIP_FIELDS else value[:, chosen])

    def clips(self, chosen: slice) -> "Batch":
        """Some of the clips, all frames."""
        names = {name: getattr(self, name)[chosen] for name in ("clip_id", "view", "start")}
        return replace(self._mapped(lambda _, value: value[chosen]), **names)

    def _mapped(self, change: Any) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{n: change(n, v) for n, v in values.items() if isinstance(v, Tensor)})


CLIP_FIELDS = ("image_size", "K", "box_rotation", "flipped", "fps", "gender")
"""Tensors without an axis of time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """What a model says about a batch. T is the batch's, or 1 for models that speak of the centre frame only.

    `joints` and `vertices` are filled by the body layer (`train.body.BodyLayer.complete`), not by the model.
    """

    rotations: Float[Tensor, "B T 24 3 3"]
    """Root rotation in the camera's frame, then joints 1-23 relative to their parents."""
    betas: Float[Tensor, "B T 10"]
    camera: Float[Tensor, "B T 3"]
    """Weak-perspective camera of the crop (s, tx, ty): crop coordinates = s (x + tx), s (y + ty), with x, y [m]
    relative to the pelvis."""
    transl: Float[Tensor, "B T 3"] | None = None
    """Pelvis in the full image's camera frame [m], of models that predict it."""
    joints: Float[Tensor, "B T 24 3"] | None = None
    """Relative to the pelvis, camera axes [m]."""
    vertices: Float[Tensor, "B T V 3"] | None = None
    """Relative to the pelvis, camera axes [m]."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What belongs to one model only, such as mask probabilities; `extra["theta"]` (B, T, 157) where the 6D form is
    kept: pose 144, betas 10, camera 3."""


Output = Prediction | list[Prediction]
"""A prediction, or iterates of which the last one counts."""


def last(output: Output) -> Prediction:
    """The prediction that counts."""
    return output[-1] if isinstance(output, list) else output


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """What a loss may need beside prediction and batch."""

    step: int
    """Optimiser steps done."""
    body: Any
    """`train.body.BodyLayer` on the batch's device."""
    motions: Float[Tensor, "M T 24 3 3"] | None = None
    """Rotations of recorded motions that a discriminator takes for real; their roots are not the camera's. None: the
    labels of the batch."""


class TemporalModel(nn.Module, ABC):
    """A network from frames to a moving mesh. One file in `train/models/` each, entered in `train.models.MODELS`.

    A model's options are a frozen dataclass `Config` with defaults as published; `from_config` reads plain values.
    """

    name: ClassVar[str]
    Config: ClassVar[Any]
    needs: frozenset[str] = frozenset({"features"})
    """Optional fields of `Batch` without which it cannot run, such as {"images"}; a model whose needs follow from its
    options sets this on the instance."""
    labels: frozenset[str] = frozenset()
    """Optional fields its loss needs in training only, such as {"flow", "parts"}."""
    centre_only: ClassVar[bool] = False
    """Whether it speaks of frame T // 2 only (prediction and compared labels then have T = 1)."""
    window: int = 16
    """T it is trained with."""
    history: int = 0
    """Frames before the first one that counts which evaluation shows in every window but a view's first."""
    receptive_field: int | None = None
    """Frames that one output depends on; None: the whole window."""
    adversary: nn.Module | None
    """Discriminator with an optimiser of its own; None when unused."""
    roots_matter: ClassVar[bool] = False
    """Whether the discriminator sees root rotations, which recorded motions do not have in the camera's frame."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config = config
        self.adversary = None  # not on the class: a class attribute would hide the registered module

    @classmethod
    def from_config(cls, options: Mapping[str, Any] | None = None) -> "TemporalModel":
        """Build from plain values (JSON, command line), everything else at its default.

        Raises:
            SynthError: an option is unknown or of the wrong type.
        """
        try:
            return cls(from_plain(cls.Config, dict(options or {}), cls.name))
        except ValueError as error:
            raise SynthError(f"{cls.name}: {error}", f"See `train info {cls.name}`") from error

    def start_from(self, state: Mapping[str, Tensor]) -> list[str]:
        """Copy the encoder and the regressor of a trained frame model; the rest keeps its fresh weights.

        Args:
            state: State dict of an `hmr` model, or of any with the same parts.

        Returns:
            Names of what was copied.

        Raises:
            SynthError: nothing fits, or a part is of another size.
        """
        own = self.state_dict()
        shared = {n: v for n, v in state.items() if n in own and n.startswith(("backbone.", "regressor."))}
        hint = "Train `hmr` with the same backbone and hidden width"
        if not shared or any(n not in shared for n in own if n.startswith("backbone.")):
            raise SynthError(f"{self.name}: the other model has not its encoder or regressor", hint)
        if wrong := [n for n, v in shared.items() if v.shape != own[n].shape]:
            raise SynthError(f"{self.name}: {wrong[0]!r} is of another size in the other model", hint)
        self.load_state_dict(shared, strict=False)
        return sorted(shared)

    @abstractmethod
    def forward(self, batch: Batch) -> Output:
        """Predict. Labels in the batch must not be looked at."""

    @abstractmethod
    def loss(self, output: Output, batch: Batch, state: State) -> dict[str, Tensor]:
        """Named scalars; "total" is what is minimised."""

    def adversary_loss(self, output: Output, batch: Batch, state: State) -> Tensor:
        """What the discriminator minimises, on detached predictions. Called only where `adversary` is set."""
        raise NotImplementedError(f"{self.name} has no discriminator")

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Groups for the optimiser: all trainable parameters but the discriminator's, at one rate unless overridden."""
        own = set() if self.adversary is None else set(self.adversary.parameters())
        return [{"params": [p for p in self.parameters() if p.requires_grad and p not in own], "lr": lr}]

    def trainable(self) -> int:
        """Number of trainable parameters, discriminator left out."""
        return count(p for group in self.parameter_groups(0.0) for p in group["params"])


def count(parameters: Iterable[Tensor]) -> int:
    """Number of values in some tensors."""
    return sum(p.numel() for p in parameters)
