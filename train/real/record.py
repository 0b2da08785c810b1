"""What a reader hands out: one person's consecutive frames with the labels there are, and masks for those there aren't.

Where a mask is off the value is NaN, never zero: a label that does not exist cannot train anything unnoticed. `labels`
gives the same as filled arrays beside their masks, ready to be stacked.

Frames and units are `synth.types`': pixels with the origin at the picture's top-left corner and the first pixel's
centre at (0.5, 0.5); metres; the camera's axes x right, y down, z forward. Readers convert on reading.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from train.joints import convert, joint_set

Array = np.ndarray

__all__ = ["OCCLUDED", "ImageRef", "Record", "labels"]

OCCLUDED = 0.5
"""Confidence of a keypoint that is annotated although it is hidden; 1 is annotated and seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """Where a picture is; `train.real.pictures.read_picture` reads it."""

    path: Path
    frame: int | None = None
    """Number of the frame, from 0, if the file is a video."""
    span: tuple[int, int] | None = None
    """Offset and length [bytes] of an encoded picture inside a larger file."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """One person over T frames at a constant rate, or in one picture (T = 1, `fps` None).

    Everything but the name may be missing: leave it out, or set single values to NaN. What was left out is all NaN
    afterwards, so that every array has its T frames (the axes _T, _K, _J may be 0 only in what is passed in).
    """

    source: str
    """Name of the data set, as in `train.real.SOURCES`."""
    name: str
    """Unique in the source."""
    images: tuple[ImageRef, ...] = ()
    """T of them, or none (motion capture without pictures)."""
    image_size: tuple[int, int] | None = None
    """Width, height [px]; None if only the picture itself tells."""
    fps: float | None = None
    """[Hz]; None for a single picture, and for a video whose rate is not known (`still` tells which)."""
    frame_ids: Int[Array, " T"]
    """Frame numbers in the source."""
    subject: str = ""
    action: str = ""
    gender: str = "neutral"
    """Of the body model that `betas` belong to."""
    split: str = ""
    facing: str = ""
    """Side of the person that the camera sees, where the data set tells: "front", "back", "left" or "right"."""

    bbox: Float[Array, "_T 4"] = field(default_factory=lambda: np.empty((0, 4)))
    """x0, y0, x1, y1 [px]; NaN where unknown."""
    keypoints_set: str = "smpl24"
    keypoints_2d: Float[Array, "_T _K 2"] = field(default_factory=lambda: np.empty((0, 0, 2)))
    """[px], NaN where unknown."""
    confidence: Float[Array, "_T _K"] = field(default_factory=lambda: np.empty((0, 0)))
    """Of each keypoint, in [0, 1]; 0 where unknown."""
    joints_set: str = "smpl24"
    joints_3d: Float[Array, "_T _J 3"] = field(default_factory=lambda: np.empty((0, 0, 3)))
    """Camera axes [m], NaN where unknown; in the camera's frame if `joints_absolute`, else only up to a translation."""
    joints_absolute: bool = True
    smpl_frame: str = "camera"
    """"camera", or "world" (Z up) for motions without a camera: which frame root and translation are in."""
    global_orient: Float[Array, "_T 3"] = field(default_factory=lambda: np.empty((0, 3)))
    """Axis-angle [rad]."""
    body_pose: Float[Array, "_T 23 3"] = field(default_factory=lambda: np.empty((0, 23, 3)))
    """Axis-angle of joints 1-23 relative to their parents [rad]."""
    betas: Float[Array, "_T 10"] = field(default_factory=lambda: np.empty((0, 10)))
    transl: Float[Array, "_T 3"] = field(default_factory=lambda: np.empty((0, 3)))
    """SMPL's translation [m]: the pelvis is at transl + J0(betas). NaN where it cannot be known without the body."""
    K: Float[Array, "_T 3 3"] = field(default_factory=lambda: np.empty((0, 3, 3)))
    """Intrinsics [px]."""
    T_camera_world: Float[Array, "_T 4 4"] = field(default_factory=lambda: np.empty((0, 4, 4)))
    """x_camera = T_camera_world @ x_world [m]."""
    features: Float[Array, "_T F"] = field(default_factory=lambda: np.empty((0, 0)))
    """Image features that came with the data (VIBE's databases); F = 0 otherwise."""

    def __post_init__(self) -> None:
        frames = len(self.frame_ids)
        if not frames:
            raise ValueError(f"{self.name}: no frames")
        if len(self.images) not in (0, frames):
            raise ValueError(f"{self.name}: images: expected {frames}, got {len(self.images)}")
        shapes = _SHAPES | {
            "keypoints_2d": (len(joint_set(self.keypoints_set)), 2),
            "confidence": (len(joint_set(self.keypoints_set)),),
            "joints_3d": (len(joint_set(self.joints_set)), 3),
        }
        for name, shape in shapes.items():
            object.__setattr__(self, name, _laid_out(self.name, name, getattr(self, name), (frames, *shape)))
        known = np.isfinite(self.keypoints_2d).all(axis=-1) & (self.confidence > 0)
        object.__setattr__(self, "keypoints_2d", np.where(known[..., None], self.keypoints_2d, np.nan))
        object.__setattr__(self, "confidence", np.where(known, self.confidence, 0.0))
        for spec in fields(self):
            value = getattr(self, spec.name)
            if isinstance(value, np.ndarray):
                value = value.view()
                value.flags.writeable = False
                object.__setattr__(self, spec.name, value)

    def __len__(self) -> int:
        return len(self.frame_ids)

    @property
    def still(self) -> bool:
        """Whether it is a single picture, to be made a clip by repetition."""
        return len(self) == 1

    @property
    def bbox_valid(self) -> Bool[Array, " T"]:
        """Frames whose box is known."""
        return np.isfinite(self.bbox).all(axis=1)

    @property
    def keypoints_valid(self) -> Bool[Array, "T K"]:
        """Keypoints that are known."""
        return self.confidence > 0

    @property
    def joints_valid(self) -> Bool[Array, "T J"]:
        """3D joints that are known."""
        return np.isfinite(self.joints_3d).all(axis=2)

    @property
    def pose_valid(self) -> Bool[Array, " T"]:
        """Frames whose root and body pose are known."""
        return np.isfinite(self.global_orient).all(axis=1) & np.isfinite(self.body_pose).all(axis=(1, 2))

    @property
    def betas_valid(self) -> Bool[Array, " T"]:
        """Frames whose shape is known."""
        return np.isfinite(self.betas).all(axis=1)

    @property
    def transl_valid(self) -> Bool[Array, " T"]:
        """Frames whose translation is known."""
        return np.isfinite(self.transl).all(axis=1)

    @property
    def K_valid(self) -> Bool[Array, " T"]:
        """Frames whose intrinsics are known."""
        return np.isfinite(self.K).all(axis=(1, 2))


_SHAPES: dict[str, tuple[int, ...]] = {
    "bbox": (4,),
    "global_orient": (3,),
    "body_pose": (23, 3),
    "betas": (10,),
    "transl": (3,),
    "K": (3, 3),
    "T_camera_world": (4, 4),
}


def _laid_out(record: str, name: str, value: Array, shape: tuple[int, ...]) -> Array:
    """The label itself, or all NaN (all 0 for the confidence) if it was left out."""
    if value.size == 0:
        return np.full(shape, 0.0 if name == "confidence" else np.nan)
    if value.shape != shape:
        raise ValueError(f"{record}: {name}: expected {shape}, got {value.shape}")
    return value.astype(np.float64)


def labels(record: Record, start: int = 0, length: int | None = None, joints: str = "smpl24") -> dict[str, Array]:
    """Labels of a window as filled arrays and masks: 0 where a mask is off, no NaN anywhere.

    A single picture is repeated `length` times.

    Args:
        record: What was read.
        start: First frame; 0 for a single picture.
        length: Frames of the window, T; all from `start` if None.
        joints: Joint set that keypoints and 3D joints are given in (P points).

    Returns:
        float64 arrays and boolean masks by name: "bbox" (T, 4) [px] with "bbox_valid" (T,); "keypoints_2d" (T, P, 2)
        [px], "confidence" (T, P); "joints_3d" (T, P, 3) [m] with "joints_valid" (T, P); "global_orient" (T, 3),
        "body_pose" (T, 23, 3) with "pose_valid" (T,); "betas" (T, 10) with "betas_valid"; "transl" (T, 3) with
        "transl_valid"; "K" (T, 3, 3) with "K_valid".

    Raises:
        ValueError: the record has no such frames.
    """
    length = len(record) - start if length is None else length
    frames = np.zeros(length, dtype=int) if record.still else np.arange(start, start + length)
    if length < 1 or start < 0 or frames[-1] >= len(record):
        raise ValueError(f"{record.name}: no frames [{start}, {start + length}) in {len(record)}")
    points, seen = convert(record.keypoints_2d, record.keypoints_valid, record.keypoints_set, joints)
    sureness, _ = convert(record.confidence[..., None], record.keypoints_valid, record.keypoints_set, joints)
    joints_3d, joints_valid = convert(record.joints_3d, record.joints_valid, record.joints_set, joints)
    everything = {
        "bbox": (record.bbox, record.bbox_valid),
        "keypoints_2d": (points, seen),
        "confidence": (sureness[..., 0], seen),
        "joints_3d": (joints_3d, joints_valid),
        "global_orient": (record.global_orient, record.pose_valid),
        "body_pose": (record.body_pose, record.pose_valid),
        "betas": (record.betas, record.betas_valid),
        "transl": (record.transl, record.transl_valid),
        "K": (record.K, record.K_valid),
    }
    filled = {}
    for name, (value, valid) in everything.items():
        mask = valid.reshape(valid.shape + (1,) * (value.ndim - valid.ndim))
        filled[name] = np.where(mask, value, 0.0)[frames]
    masks = {"bbox": "bbox", "joints_3d": "joints", "body_pose": "pose", "betas": "betas", "transl": "transl", "K": "K"}
    return filled | {f"{mask}_valid": everything[name][1][frames] for name, mask in masks.items()}
