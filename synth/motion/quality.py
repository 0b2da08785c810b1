"""How well a fit went: distances, feet that slide, feet in the floor."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.signal import savgol_filter

from synth.body.joints import JOINT_NAMES
from synth.body.lbs import joint_transforms, shaped, skin
from synth.geometry.rotations import rotvec_to_rotmat
from synth.motion.contact import resting_points, soles
from synth.motion.resample import resample
from synth.types import BodyModel, Motion

if TYPE_CHECKING:
    from synth.motion.mosh import Fit

Array = np.ndarray

TREMBLING = 0.1
"""Time over which a joint's way is taken to be smooth [s]."""


def measured(fit: "Fit", body: BodyModel) -> dict[str, float]:
    """Numbers of a fit: millimetres and millimetres a second.

    Returns:
        `residual_mm` (mean distance of captured points), `residual_95_mm`, `contact_mm` and `contact_95_mm` (distance
        of resting feet from the floor), `sinking_mm` (deepest), `skating_mm_s` (see `skating`), `jitter_mm` (see
        `jitter`).
    """
    resting = np.abs(fit.lowest[fit.resting > 0])
    residual = fit.residual[~np.isnan(fit.residual)]
    numbers = {
        "residual_mm": residual.mean(),
        "residual_95_mm": np.percentile(residual, 95),
        "contact_mm": resting.mean() if resting.size else 0.0,
        "contact_95_mm": np.percentile(resting, 95) if resting.size else 0.0,
        "sinking_mm": max(0.0, -fit.lowest.min()),
        "skating_mm_s": skating(fit.motion, body, fit.betas, fit.resting),
        "jitter_mm": jitter(fit.motion, body, fit.betas),
    }
    return {name: round(1e3 * float(value), 2) for name, value in numbers.items()}


def resting_feet(motion: Motion, body: BodyModel, betas: Float[Array, " B"]) -> Float[Array, "T 2"]:
    """1 where the left or right foot rests: its ankle or toe is low and slow (see `synth.motion.contact`).

    Args:
        motion: World Z up.
        body: Who wears it.
        betas: Shape.
    """
    transforms = joint_transforms(body, betas, motion.global_orient, motion.body_pose, motion.transl)
    rest = shaped(body, betas)[1]
    feet = [[JOINT_NAMES.index(f"{side}_{joint}") for joint in ("ankle", "foot")] for side in ("left", "right")]
    joints = (transforms[..., :3, :3] @ rest[..., None])[..., 0] + transforms[..., :3, 3]
    return np.stack([resting_points(joints[:, foot][..., [0, 2, 1]], motion.fps) for foot in feet], axis=1)


def skating_at(
    motion: Motion, body: BodyModel, betas: Float[Array, " B"], rates: Sequence[float]
) -> dict[float, float]:
    """How fast resting feet slide at other rates [m/s]; the feet that rest are those of the motion as it is.

    Args:
        motion: World Z up, its frames numbered from 0.
        body: Who wears it.
        betas: Shape.
        rates: [Hz]
    """
    resting, found = resting_feet(motion, body, betas), {}
    for rate in rates:
        made = resample(motion, rate)
        nearest = np.round(made.source_frames - motion.source_frames[0]).astype(int)
        found[rate] = skating(made, body, betas, resting[nearest])
    return found


def skating(motion: Motion, body: BodyModel, betas: Float[Array, " B"], resting: Float[Array, "T 2"]) -> float:
    """Mean horizontal speed of resting feet [m/s]: of the point of each sole that moves least, since feet roll.

    Args:
        motion: World Z up.
        body: Who wears it.
        betas: Shape.
        resting: 1 where the left or right foot rests.
    """
    if len(motion) < 2:
        return 0.0
    transforms = joint_transforms(body, betas, motion.global_orient, motion.body_pose, motion.transl)
    speeds = []
    for foot, sole in enumerate(soles(body)):
        points = skin((sole.points + sole.shapedirs @ betas)[None], sole.weights, transforms)
        speed = np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1).min(axis=1) * motion.fps
        speeds.append(speed[(resting[1:, foot] > 0) & (resting[:-1, foot] > 0)])
    held = np.concatenate(speeds)
    return float(held.mean()) if len(held) else 0.0


def jitter(motion: Motion, body: BodyModel, betas: Float[Array, " B"]) -> float:
    """How much the joints tremble: their root mean square distance from local cubic fits over 0.1 s [m].

    Args:
        motion: As it is to be judged.
        body: Who wears it.
        betas: Shape.
    """
    window = 2 * round(TREMBLING * motion.fps / 2) + 1
    if window < 5 or len(motion) < window:
        return 0.0
    transforms = joint_transforms(body, betas, motion.global_orient, motion.body_pose, motion.transl)
    rest = shaped(body, betas)[1]
    joints = (transforms[..., :3, :3] @ rest[..., None])[..., 0] + transforms[..., :3, 3]
    rough = joints - savgol_filter(joints, window, 3, axis=0)
    return float(np.sqrt((rough**2).sum(-1).mean()))


def skin_points(motion: Motion, body: BodyModel, betas: Float[Array, " B"], vertices: Array) -> Float[Array, "T P 3"]:
    """Some vertices of the posed skin [m]; the rest of the body is not computed."""
    transforms = joint_transforms(body, betas, motion.global_orient, motion.body_pose, motion.transl)
    feature = (rotvec_to_rotmat(motion.body_pose) - np.eye(3)).reshape(len(motion), -1)
    directions = body.posedirs[vertices].reshape(-1, feature.shape[1])
    rest = body.v_template[vertices] + body.shapedirs[vertices] @ betas
    points = rest + (feature @ directions.T).reshape(len(motion), len(vertices), 3)
    return skin(points, body.lbs_weights[vertices], transforms)
