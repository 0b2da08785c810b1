"""What poses people take: a Gaussian learned from fitted motion, and how far each joint turns.

The Gaussian is over the first two columns of the rotation matrices of joints 1-21 (126 numbers), which have no jumps.
Limits are on the turn about each axis of the body's rest frame; since limbs lie along the axes in the T-pose, they
bound the twist of shoulders, forearms, thighs and shins. They are rounded up from ranges of motion of the American
Academy of Orthopaedic Surgeons (1965), shared between the joints of SMPL's spine.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synth.assets import asset
from synth.body.joints import JOINT_NAMES
from synth.errors import SynthError
from synth.files import replacing
from synth.geometry.rotations import rotvec_to_rotmat

Array = np.ndarray

PRIOR = "motions/pose_prior.npz"
JOINTS = slice(0, 21)
"""Joints 1-21 among the 23 of a body pose; SMPL's hands are not captured."""
WIDTH = 126
SHRINKAGE = 0.05
"""Standard deviation added to every direction: what was learned from little data must not forbid the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    softness: float = np.deg2rad(5.0)
    """Beyond a limit by this, a fit pays one [rad]."""


LIMITS = _Limits()

_RANGES: dict[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    "hip": ((-130, 45), (-60, 60), (-45, 75)),
    "knee": ((-8, 155), (-25, 25), (-15, 15)),
    "ankle": ((-40, 60), (-40, 40), (-35, 35)),
    "foot": ((-60, 45), (-15, 15), (-15, 15)),
    "spine1": ((-25, 55), (-30, 30), (-30, 30)),
    "spine2": ((-25, 45), (-30, 30), (-30, 30)),
    "spine3": ((-25, 45), (-30, 30), (-30, 30)),
    "neck": ((-45, 50), (-60, 60), (-40, 40)),
    "head": ((-45, 50), (-50, 50), (-40, 40)),
    "collar": ((-25, 25), (-35, 35), (-30, 45)),
    "shoulder": ((-110, 110), (-150, 70), (-115, 110)),
    "elbow": ((-100, 100), (-160, 10), (-30, 30)),
    "wrist": ((-40, 40), (-50, 50), (-80, 85)),
    "hand": ((-10, 10), (-10, 10), (-10, 10)),
}
"""Turn of the left joint about x, y and z [degrees]; the right one mirrors y and z."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PosePrior:
    """A Gaussian over body poses."""

    mean: Float[Array, " 126"]
    whitening: Float[Array, "126 126"]
    """`(feature - mean) @ whitening` has unit variance in every direction; its squared norm is the cost."""


def features(body_pose: Float[Array, "T 23 3"]) -> Float[Array, "T 126"]:
    """First two columns of the rotations of joints 1-21, one column after the other."""
    rotations = rotvec_to_rotmat(body_pose[:, JOINTS])
    return np.swapaxes(rotations[..., :2], -1, -2).reshape(len(body_pose), WIDTH)


def mirrored(body_pose: Float[Array, "T 23 3"]) -> Float[Array, "T 23 3"]:
    """The pose seen in a mirror across the body's middle plane: sides change places, turns about y and z their sign."""
    swap = [
        JOINT_NAMES.index(name.replace("left", "*").replace("right", "left").replace("*", "right")) - 1
        for name in JOINT_NAMES[1:]
    ]
    return body_pose[:, swap] * [1.0, -1.0, -1.0]


def learn(body_poses: Iterable[Float[Array, "T 23 3"]]) -> PosePrior:
    """Learn the Gaussian; each motion counts the same whatever its length, and so does its mirror image.

    Args:
        body_poses: One array a motion, axis-angle [rad].

    Raises:
        ValueError: there is none.
    """
    moments = []
    for pose in body_poses:
        found = np.concatenate([features(pose), features(mirrored(pose))])
        moments.append((found.mean(axis=0), found.T @ found / len(found)))
    if not moments:
        raise ValueError("body_poses: expected at least one motion")
    mean = np.mean([m for m, _ in moments], axis=0)
    covariance = np.mean([c for _, c in moments], axis=0) - np.outer(mean, mean)
    values, vectors = np.linalg.eigh(covariance + SHRINKAGE**2 * np.eye(WIDTH))
    return PosePrior(mean=mean, whitening=(vectors / np.sqrt(values)) @ vectors.T)


def save(path: Path, prior: PosePrior) -> None:
    """Write a prior, all or nothing."""
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, mean=prior.mean.astype(np.float32), whitening=prior.whitening.astype(np.float32))


@cache
def load(path: Path | None = None) -> PosePrior:
    """Read a prior; the project's own by default.

    Raises:
        SynthError: the file is missing or no prior.
    """
    path = asset(PRIOR) if path is None else path
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mean, whitening = (arrays[name].astype(np.float64) for name in ("mean", "whitening"))
    except (OSError, ValueError, KeyError) as error:
        raise SynthError(f"{path}: not a pose prior ({error})", "Learn it with `synth motion prior`") from None
    if mean.shape != (WIDTH,) or whitening.shape != (WIDTH, WIDTH):
        raise SynthError(f"{path}: expected ({WIDTH},) and ({WIDTH}, {WIDTH}), got {mean.shape}, {whitening.shape}")
    return PosePrior(mean=mean, whitening=whitening)


def axis_turns(rotations: Float[Array, "*B 3 3"]) -> Float[Array, "*B 3"]:
    """Turn about each axis [rad]: twice the arctangent of the Gibbs vector; about a bone's own axis it is the twist."""
    axial = np.stack([rotations[..., k, j] - rotations[..., j, k] for j, k in ((1, 2), (2, 0), (0, 1))], axis=-1)
    return 2.0 * np.arctan2(axial, 1.0 + np.trace(rotations, axis1=-2, axis2=-1)[..., None] + 1e-4)


def limit_bounds() -> tuple[Float[Array, "23 3"], Float[Array, "23 3"]]:
    """Lowest and highest turn of joints 1-23 about each axis [rad]."""
    lower, upper = np.empty((23, 3)), np.empty((23, 3))
    for k, name in enumerate(JOINT_NAMES[1:]):
        bounds = np.deg2rad(np.array(_RANGES[name.removeprefix("left_").removeprefix("right_")], dtype=float))
        if name.startswith("right_"):
            bounds[1:] = -bounds[1:, ::-1]
        lower[k], upper[k] = bounds[:, 0], bounds[:, 1]
    return lower, upper
