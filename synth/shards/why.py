"""Names for what is wrong: which known mistake turns the right points, poses or masks into the stored ones.

Called only after a check has failed, so that it may take its time.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int

from synth.body.joints import PAIRS
from synth.body.lbs import posed
from synth.labels.keypoints import project_points
from synth.types import BodyModel

Array = np.ndarray

__all__ = [
    "MIRROR",
    "in_camera",
    "mirror_of",
    "other_masks",
    "other_pixels",
    "other_points",
    "other_vertices",
    "pixel_error",
]

MIRROR = np.arange(24)
MIRROR[[left for left, _ in PAIRS]], MIRROR[[right for _, right in PAIRS]] = (
    [right for _, right in PAIRS],
    [left for left, _ in PAIRS],
)
"""Joint on the other side of the body; itself for the spine's."""

_UNITS = {"in mm": 1000.0, "in cm": 100.0, "in mm as m": 1e-3, "in cm as m": 1e-2}
_AXES = [
    ([0, 2, 1], np.array([1.0, 1.0, -1.0])),  # Z up to Y up
    ([0, 2, 1], np.array([1.0, -1.0, 1.0])),
    ([0, 2, 1], np.ones(3)),
    ([0, 1, 2], np.array([-1.0, 1.0, 1.0])),
    ([0, 1, 2], np.array([1.0, -1.0, 1.0])),
    ([0, 1, 2], np.array([1.0, 1.0, -1.0])),
]
_CLEAR = 0.9
"""Overlap of masks from which on a mistake is recognised."""


def mirror_of(names: tuple[str, ...]) -> Int[Array, " K"]:
    """Of each named point the one on the body's other side, itself if there is none."""
    swap = {"left": "right", "right": "left"}
    other = ["_".join(swap.get(word, word) for word in name.split("_")) for name in names]
    return np.array([names.index(name) if name in names else k for k, name in enumerate(other)])


def in_camera(points: Float[Array, "T N 3"], pose: Float[Array, "T 4 4"]) -> Float[Array, "T N 3"]:
    """Points [m] in the frame of a camera that moves along `pose`."""
    return np.einsum("tij,tnj->tni", pose[:, :3, :3], points) + pose[:, None, :3, 3]


def _near(a: Array, b: Array, tolerance: float) -> bool:
    return bool(np.abs(a - b).max(initial=0.0) <= tolerance)


def other_points(
    wanted: Float[Array, "T N 3"],
    stored: Float[Array, "T N 3"],
    poses: list[Float[Array, "T 4 4"]],
    tolerance: float,
    mirror: Int[Array, " N"] | None = None,
) -> str | None:
    """Name what turns points in the world into the stored ones; None if nothing known does.

    Args:
        wanted: What should be stored [m].
        stored: What is [m].
        poses: Cameras, in whose frames the stored points may be.
        tolerance: [m]
        mirror: Of each point the one on the body's other side.
    """
    stored = stored.astype(np.float64)
    if mirror is not None and _near(wanted[:, mirror], stored, tolerance):
        return "left-right-swapped"
    if any(_near(in_camera(wanted, pose), stored, tolerance) for pose in poses):
        return "frame-of-camera"
    if any(_near(wanted * factor, stored, tolerance * factor) for factor in _UNITS.values()):
        return "units"
    if any(_near(wanted[..., order] * sign, stored, tolerance) for order, sign in _AXES):
        return "axes"
    if _near(wanted - wanted[:, :1], stored - stored[:, :1], tolerance):
        return "origin"
    for shift in (1, -1, 2, -2):
        a, b = (wanted[shift:], stored[:-shift]) if shift > 0 else (wanted[:shift], stored[-shift:])
        if len(a) > 1 and (np.abs(a - b).max(axis=(1, 2)) <= tolerance).mean() > 0.5:
            return "frames-out-of-step"
    if 0.5 < (np.abs(wanted - stored).max(axis=(1, 2)) <= tolerance).mean() < 1:
        return "frames-out-of-step"
    return None


def other_vertices(
    body: BodyModel,
    motion: dict[str, Array],
    wanted: Float[Array, "T V 3"],
    stored: Float[Array, "T V 3"],
    poses: list[Float[Array, "T 4 4"]],
    others: Iterable[BodyModel],
    tolerance: float,
) -> str:
    """Name what is wrong with the body's vertices.

    Args:
        body: The shard's body model.
        motion: The stored parameters: betas, global_orient, body_pose, transl.
        wanted: Vertices that they give [m].
        stored: Vertices of the shard [m].
        poses: Its cameras.
        others: Models of other genders.
        tolerance: Of a recognised mistake [m].
    """
    found = other_points(wanted, stored, poses, tolerance)
    if found is not None:
        return found
    for model in others:
        if len(model.v_template) == stored.shape[1] and _near(_first_posed(model, motion), stored[:1], tolerance):
            return "wrong-gender"
    same = np.abs(wanted - stored).max(axis=(1, 2)) < tolerance
    if not same.any() and _near(_fitted_shape(body, motion, stored[:1]), stored[:1], tolerance):
        return "wrong-betas"
    swapped = motion | {"body_pose": _mirrored_pose(motion["body_pose"])}
    if _near(_first_posed(body, swapped), stored[:1], tolerance):
        return "left-right-swapped"
    return "vertices"


def _mirrored_pose(body_pose: Float[Array, "T 23 3"]) -> Float[Array, "T 23 3"]:
    return body_pose[:, MIRROR[1:] - 1]


def _first_posed(body: BodyModel, motion: dict[str, Array]) -> Float[Array, "1 V 3"]:
    pose = {name: motion[name][:1] for name in ("global_orient", "body_pose", "transl")}
    return posed(body, motion["betas"], **pose)[0]


def _fitted_shape(body: BodyModel, motion: dict[str, Array], stored: Float[Array, "1 V 3"]) -> Float[Array, "1 V 3"]:
    """Vertices of the shape that comes closest to the stored ones in the first frame, posed alike (linear in betas)."""
    pose = {name: motion[name][:1] for name in ("global_orient", "body_pose", "transl")}
    count = len(motion["betas"])
    base = posed(body, np.zeros(count), **pose)[0]
    columns = [(posed(body, row, **pose)[0] - base).ravel() for row in np.eye(count)]
    betas = np.linalg.lstsq(np.stack(columns, axis=1), (stored - base).ravel(), rcond=None)[0]
    return posed(body, betas, **pose)[0]


def pixel_error(wanted: Float[Array, "T N 2"], stored: Float[Array, "T N 2"]) -> float:
    """Largest distance [px]; infinite where only one of the two is NaN."""
    gap = np.linalg.norm(wanted - stored, axis=-1)
    one_sided = np.isnan(wanted).any(axis=-1) != np.isnan(stored).any(axis=-1)
    return float(np.max(np.where(one_sided, np.inf, np.nan_to_num(gap)), initial=0.0))


def other_pixels(
    joints: Float[Array, "T 24 3"],
    cameras: list[tuple[Float[Array, "T 4 4"], Float[Array, "3 3"]]],
    view: int,
    stored: Float[Array, "T 24 2"],
    limit: float,
) -> tuple[str, bool]:
    """Name the difference between projected and stored joints, and say whether the camera can still be trusted."""
    pose, K = cameras[view]
    wanted = project_points(in_camera(joints, pose), K)
    if pixel_error(wanted[:, MIRROR], stored) < limit:
        return "left-right-swapped", True
    gap = stored - wanted
    offset = np.nanmedian(gap, axis=(0, 1)) if np.isfinite(gap).all(axis=-1).any() else np.full(2, np.inf)
    if np.abs(offset).max() < 1.5 and pixel_error(wanted + offset, stored) < limit:
        return "half-pixel-shift" if np.isclose(np.abs(offset), 0.5, atol=0.05).any() else "pixel-shift", True
    transposed = pose.copy()
    transposed[:, :3, :3] = pose[:, :3, :3].transpose(0, 2, 1)
    turned = {
        "rotation-transposed": transposed,
        "camera-inverted": np.linalg.inv(pose),
        "camera-axes": np.diag([1.0, -1.0, -1.0, 1.0]) @ pose,
    }
    for name, other_pose in turned.items():
        if pixel_error(project_points(in_camera(joints, other_pose), K), stored) < limit:
            return name, False
    for other, (other_pose, other_K) in enumerate(cameras):
        if other != view and pixel_error(project_points(in_camera(joints, other_pose), other_K), stored) < limit:
            return "views-swapped", False
    if pixel_error(wanted[..., ::-1], stored) < limit:
        return "x-y-swapped", True
    if _out_of_step(joints, pose, K, stored, limit):
        return "frames-out-of-step", True
    return "reprojection", True


def _out_of_step(
    joints: Float[Array, "T 24 3"],
    pose: Float[Array, "T 4 4"],
    K: Float[Array, "3 3"],
    stored: Float[Array, "T 24 2"],
    limit: float,
) -> bool:
    """Whether the stored joints, where they differ, are a neighbouring frame's, or seen by the camera of one."""
    frames = np.arange(len(joints))
    for shift in (1, -1):
        other = np.clip(frames + shift, 0, len(joints) - 1)
        for there in (in_camera(joints[other], pose[other]), in_camera(joints, pose[other])):
            errors = [
                np.nan_to_num(np.linalg.norm(project_points(points, K) - stored, axis=-1)).max(axis=1)
                for points in (in_camera(joints, pose), there)
            ]
            here, beside = (error < limit for error in errors)
            if (beside & ~here).any() and (here | beside).mean() > 0.5 and (here | beside)[~here].mean() > 0.5:
                return True
    return False


def other_masks(own: list[Bool[Array, "H W"]], view: int, known: dict[int, list[Bool[Array, "H W"]]]) -> str | None:
    """Whether masks of one view's frames are those of another view or of a neighbouring frame; None if neither.

    Args:
        own: Where a map of the view says something, in every frame.
        view: Its number.
        known: The person's masks in every frame, by view.
    """
    frames = range(len(own))
    for other, masks in known.items():
        if other != view and np.mean([_overlap(own[t], masks[t]) for t in frames]) > _CLEAR:
            return "views-swapped"
    wrong = [t for t in frames if (own[t] != known[view][t]).any()]
    for shift in (1, -1, 2, -2):
        beside = [t for t in wrong if 0 <= t + shift < len(own) and (own[t] == known[view][t + shift]).all()]
        if wrong and len(beside) >= 0.5 * len(wrong):
            return "frames-out-of-step"
    if np.mean([_overlap(own[t][:, ::-1], known[view][t]) for t in frames]) > _CLEAR:
        return "mirrored-picture"
    return None


def _overlap(a: Bool[Array, "H W"], b: Bool[Array, "H W"]) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0
