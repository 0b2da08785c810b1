"""Pose blend shapes of the free body: what linear blending loses in volume, put back.

SMPL learns its pose blend shapes from scans. None are free, so here dual-quaternion skinning (Kavan et al. 2007), which
keeps the volume of bent and twisted limbs, plays the teacher: for each joint, poses in its range of motion are skinned
both ways, and a part of the difference, taken back to the rest pose, is regressed on SMPL's nine features R - I of that
joint. Only a part, because dual quaternions bulge where linear blending collapses: a bent knee would become a ball.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from synth.body.joints import JOINT_NAMES, PAIRS, PARENTS
from synth.geometry.rotations import rotmat_to_quat_wxyz, rotvec_to_rotmat

Array = np.ndarray

__all__ = ["pose_blend_shapes"]

_AMOUNT = {"knee": 0.4, "elbow": 0.4}
_USUAL_AMOUNT = 0.7
"""Part of the difference that is kept; chosen by looking at squats, raised arms and bent elbows."""
_POSES = 64
_DAMPING = 0.02
"""Keeps the way back to rest bounded where blended transforms collapse."""
_RIDGE = 1e-3
_RANGE: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "hip": ((-2.0, 0.6), (-0.7, 0.7), (-0.8, 0.8)),
    "knee": ((0.0, 2.3), (-0.15, 0.15), (-0.15, 0.15)),
    "ankle": ((-0.7, 0.7), (-0.4, 0.4), (-0.4, 0.4)),
    "foot": ((-0.6, 0.6), (-0.2, 0.2), (-0.2, 0.2)),
    "spine": ((-0.5, 0.5), (-0.5, 0.5), (-0.4, 0.4)),
    "neck": ((-0.5, 0.5), (-0.7, 0.7), (-0.4, 0.4)),
    "head": ((-0.5, 0.5), (-0.7, 0.7), (-0.4, 0.4)),
    "collar": ((-0.3, 0.3), (-0.4, 0.4), (-0.4, 0.4)),
    "shoulder": ((-1.0, 1.0), (-1.5, 1.5), (-1.6, 1.6)),
    "elbow": ((-1.2, 1.2), (-2.3, 0.0), (-0.3, 0.3)),
    "wrist": ((-1.0, 1.0), (-0.5, 0.5), (-1.2, 1.2)),
    "hand": ((-0.5, 0.5), (-0.3, 0.3), (-0.8, 0.8)),
}
"""Ranges [rad] of the left joints' axis-angle components; chosen from everyday movement. Right ones are mirrored."""


def pose_blend_shapes(
    rng: np.random.Generator,
    vertices: Float[Array, "V 3"],
    joints: Float[Array, "24 3"],
    weights: Float[Array, "V 24"],
    partner: Int[Array, " V"],
) -> Float[Array, "V 3 207"]:
    """Fit pose blend shapes to a template [m]; feature 9 (j - 1) + k is element k of R - I of joint j, row major.

    Left joints are fitted, right ones mirror them (`partner`: each vertex's mirror image), middle ones are symmetrised.
    """
    posedirs = np.zeros((len(vertices), 3, 23, 9))
    mirrored = dict(PAIRS)
    for j in sorted(set(range(1, 24)) - set(mirrored.values())):
        shapes = _of_joint(rng, j, vertices - joints[j], weights)
        image = shapes[partner] * _MIRROR
        posedirs[:, :, j - 1] = shapes if j in mirrored else (shapes + image) / 2
        if j in mirrored:
            posedirs[:, :, mirrored[j] - 1] = image
    posedirs[np.abs(posedirs) < 2e-5] = 0.0
    return posedirs.reshape(len(vertices), 3, 207)


_SIGN = np.array([-1.0, 1.0, 1.0])
_MIRROR = _SIGN[:, None] * np.outer(_SIGN, _SIGN).ravel()
"""Sign changes of offset component c and feature (a, b) in the mirror X -> -X."""


def _of_joint(rng: np.random.Generator, j: int, offset: Array, weights: Array) -> Float[Array, "V 3 9"]:
    """The nine blend shapes of one joint; `offset` is relative to it."""
    share = weights[:, _subtree(j)].sum(axis=1)
    # Vertices that move with one side only are rigid: both ways of skinning agree.
    bent = np.flatnonzero((share > 1e-4) & (share < 1 - 1e-4))
    kind = JOINT_NAMES[j].removeprefix("left_").rstrip("123")
    low, high = np.array(_RANGE[kind]).T
    rotations = rotvec_to_rotmat(rng.uniform(low, high, (_POSES, 3)))
    lost = np.stack([_lost(offset[bent], share[bent], R).ravel() for R in rotations])
    feature = (rotations - np.eye(3)).reshape(_POSES, 9)
    solution = np.linalg.solve(feature.T @ feature + _RIDGE * _POSES * np.eye(9), feature.T @ lost)
    shapes = np.zeros((len(offset), 3, 9))
    shapes[bent] = _AMOUNT.get(kind, _USUAL_AMOUNT) * np.moveaxis(solution.reshape(9, len(bent), 3), 0, -1)
    return shapes


def _subtree(joint: int) -> list[int]:
    found = [joint]
    for j in range(joint + 1, 24):
        if PARENTS[j] in found:
            found.append(j)
    return found


def _lost(offset: Float[Array, "K 3"], share: Float[Array, " K"], R: Float[Array, "3 3"]) -> Float[Array, "K 3"]:
    """Dual-quaternion minus linear skinning of a bend at the origin, taken back to the rest pose.

    With one joint turned about itself the two dual quaternions have no translation, so blending them is blending the
    identity with R's quaternion.
    """
    quat = share[:, None] * rotmat_to_quat_wxyz(R) + (1 - share)[:, None] * np.array([1.0, 0.0, 0.0, 0.0])
    smooth = Rotation.from_quat(quat[:, [1, 2, 3, 0]]).apply(offset)
    linear = share[:, None, None] * R + (1 - share)[:, None, None] * np.eye(3)
    difference = (smooth - (linear @ offset[..., None])[..., 0])[..., None]
    transposed = np.swapaxes(linear, -1, -2)
    back = np.linalg.solve(transposed @ linear + _DAMPING * np.eye(3), transposed @ difference)
    return back[..., 0]
