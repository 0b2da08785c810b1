"""The frames before the action: the body stands in the A-pose, dressed, then moves into the first pose.

Cloth starts where it was made to fit and needs time to follow. The number of frames follows from how far the fastest
vertex has to go: at about 7 cm a frame (at 30 Hz) garments stay on and smooth.
"""

import math

import numpy as np
from jaxtyping import Float

from synth.body import lbs
from synth.body.shape import rest_pose
from synth.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat, slerp
from synth.types import BodyModel, Motion

__all__ = ["with_lead_in"]

Array = np.ndarray

_HOLD = 0.1
"""Time in the A-pose [s]."""
_STRIDE = 0.07
"""Fastest vertex's way between two frames at 30 Hz [m]."""
_PEAK = 1.5
"""Top speed of the eased path over its mean speed."""
_LEAST = 10
_RATE = 30.0


def with_lead_in(motion: Motion, body: BodyModel, betas: Float[Array, " B"]) -> tuple[Motion, int]:
    """Put a lead-in before a motion.

    Args:
        motion: The motion, world frame (Z up).
        body: The body that performs it.
        betas: Its shape.

    Returns:
        The longer motion (the new frames have source frame NaN) and how many frames were added.

    Raises:
        ValueError: the motion has no frames.
    """
    if len(motion) == 0:
        raise ValueError(f"{motion.source}: a motion of 0 frames has no first pose")
    start_pose = np.concatenate([_heading(motion.global_orient[0])[None], rest_pose()])
    start_place = _standing(motion, body, betas, start_pose)
    way = _largest_way(motion, body, betas, start_pose, start_place)
    at_30 = max(_LEAST, math.ceil(_PEAK * way / _STRIDE))
    count, hold = math.ceil(at_30 * motion.fps / _RATE), max(1, round(_HOLD * motion.fps))
    time = np.concatenate([np.zeros(hold), np.arange(1, count) / count])
    share = time * time * (3 - 2 * time)
    poses = slerp(
        np.broadcast_to(start_pose, (len(share), 24, 3)),
        np.broadcast_to(motion.full_pose[0], (len(share), 24, 3)),
        share[:, None],
    )
    places = start_place + share[:, None] * (motion.transl[0] - start_place)
    added = len(share)
    return (
        Motion(
            fps=motion.fps,
            global_orient=np.concatenate([poses[:, 0], motion.global_orient]),
            body_pose=np.concatenate([poses[:, 1:], motion.body_pose]),
            transl=np.concatenate([places, motion.transl]),
            source=motion.source,
            source_frames=np.concatenate([np.full(added, np.nan), motion.source_frames]),
        ),
        added,
    )


def _heading(global_orient: Float[Array, " 3"]) -> Float[Array, " 3"]:
    """Upright in the world, facing where the body faces; one lying down faces where its head points away from."""
    turned = rotvec_to_rotmat(global_orient)
    facing, up = turned[:2, 2], turned[:2, 1]
    if np.linalg.norm(facing) < 0.2:
        facing = -up * np.sign(turned[2, 2])
    yaw = math.atan2(facing[0], -facing[1])
    # SMPL's Y becomes the world's Z, its Z the world's -Y.
    upright = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0.0], [math.sin(yaw), math.cos(yaw), 0.0], [0.0, 0.0, 1.0]])
    return rotmat_to_rotvec(turn @ upright)


def _posed(body: BodyModel, betas: Array, pose: Float[Array, "24 3"], transl: Float[Array, " 3"]) -> Array:
    """Vertices in one pose [m]."""
    return lbs.posed(body, betas, pose[None, 0], pose[None, 1:], transl[None])[0][0]


def _standing(motion: Motion, body: BodyModel, betas: Array, start_pose: Float[Array, "24 3"]) -> Float[Array, " 3"]:
    """Translation that puts the pelvis above the first frame's, the feet as low as the first frame's lowest point."""
    first = _posed(body, betas, motion.full_pose[0], motion.transl[0])
    start = _posed(body, betas, start_pose, motion.transl[0])
    return motion.transl[0] + [0.0, 0.0, first[:, 2].min() - start[:, 2].min()]


def _largest_way(motion: Motion, body: BodyModel, betas: Array, start_pose: Array, start_place: Array) -> float:
    """Longest way that a vertex has to the first frame [m]."""
    first = _posed(body, betas, motion.full_pose[0], motion.transl[0])
    return float(np.linalg.norm(first - _posed(body, betas, start_pose, start_place), axis=1).max())
