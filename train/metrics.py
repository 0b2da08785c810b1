"""Measures of a predicted motion against the true one, in NumPy, float64, for one uncut sequence at a time.

Positions are metres going in; millimetres come out where the name says so. Velocities and accelerations are taken
inside the sequence that is given: the caller never joins two. Where papers differ the convention is in the name.
"""

import numpy as np
from jaxtyping import Float

from synth.geometry.rotations import rotmat_to_rotvec

Array = np.ndarray

__all__ = [
    "EMDB_JOINTS",
    "acceleration",
    "acceleration_error",
    "aligned",
    "auc",
    "centred",
    "global_rotations",
    "jitter",
    "joint_angle_error",
    "pck",
    "position_error",
    "running_shape_variation",
    "running_vertex_variation",
    "summed_vertex_error",
]

EMDB_JOINTS = (0, 1, 2, 4, 5, 16, 17, 18, 19)
"""Joints whose global rotation EMDB compares."""


def centred(points: Float[Array, "T K 3"], roots: tuple[int, ...]) -> Float[Array, "T K 3"]:
    """Points relative to the mean of some of them, such as both hips."""
    return points - points[:, list(roots)].mean(axis=1, keepdims=True)


def aligned(points: Float[Array, "T K 3"], wanted: Float[Array, "T K 3"]) -> Float[Array, "T K 3"]:
    """Each frame brought onto the wanted one by the best similarity (rotation, scale, translation), never a mirror.

    Source: Umeyama (1991), equations 40-42.
    """
    mean, mean_wanted = points.mean(1, keepdims=True), wanted.mean(1, keepdims=True)
    x, y = points - mean, wanted - mean_wanted
    u, s, vt = np.linalg.svd(np.swapaxes(x, 1, 2) @ y)
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    variance = (x**2).sum((1, 2))
    scale = np.divide((s * sign).sum(1), variance, out=np.ones(len(s)), where=variance > 0)
    return scale[:, None, None] * (x @ rotation) + mean_wanted


def position_error(points: Float[Array, "T K 3"], wanted: Float[Array, "T K 3"]) -> Float[Array, " T"]:
    """Mean distance of each frame's points [mm]: MPJPE for joints, MPVPE (PVE) for vertices."""
    return np.linalg.norm(points - wanted, axis=-1).mean(axis=1) * 1000.0


def summed_vertex_error(vertices: Float[Array, "T V 3"], wanted: Float[Array, "T V 3"]) -> Float[Array, " T"]:
    """Sum over a frame's vertices of their distances [m]: the column that MVIPER's table 3 prints as MPVPE."""
    return np.linalg.norm(vertices - wanted, axis=-1).sum(axis=1)


def acceleration(points: Float[Array, "T K 3"]) -> Float[Array, "S K 3"]:
    """Second differences [m/frame2], S = T - 2 (none for fewer than three frames)."""
    return points[2:] - 2 * points[1:-1] + points[:-2]


def acceleration_error(points: Float[Array, "T K 3"], wanted: Float[Array, "T K 3"]) -> Float[Array, " S"]:
    """Mean norm of the difference of accelerations [mm/frame2]; times fps^2 / 1000 it is in m/s2."""
    if len(points) < 3:
        return np.empty(0)
    return np.linalg.norm(acceleration(points) - acceleration(wanted), axis=-1).mean(axis=1) * 1000.0


def jitter(points: Float[Array, "T K 3"], fps: float) -> Float[Array, " S"]:
    """Mean norm of the third derivative of the prediction alone [m/s3]; EMDB prints a tenth of it. S = T - 3."""
    if len(points) < 4:
        return np.empty(0)
    return np.linalg.norm(np.diff(points, n=3, axis=0), axis=-1).mean(axis=1) * fps**3


def running_vertex_variation(vertices: Float[Array, "T V 3"], order: int) -> Float[Array, " S"]:
    """MVIPER's MRVPV: norm of the whole mesh's change between frames [m], S = T - 1.

    Args:
        vertices: Of the prediction.
        order: 1 for the sum of absolute values, 2 for the Euclidean norm of the 3 V numbers.
    """
    return np.linalg.norm(np.diff(vertices, axis=0).reshape(max(0, len(vertices) - 1), -1), ord=order, axis=1)


def running_shape_variation(betas: Float[Array, "T 10"], order: int) -> Float[Array, " S"]:
    """MVIPER's MRSV: norm of the change of betas between frames, order 1 or 2, S = T - 1."""
    return np.linalg.norm(np.diff(betas, axis=0), ord=order, axis=1)


def pck(points: Float[Array, "T K 3"], wanted: Float[Array, "T K 3"], threshold: float = 150.0) -> Float[Array, " T"]:
    """Percentage of points within a distance [mm]."""
    return 100.0 * (np.linalg.norm(points - wanted, axis=-1) * 1000.0 <= threshold).mean(axis=1)


def auc(points: Float[Array, "T K 3"], wanted: Float[Array, "T K 3"]) -> Float[Array, " T"]:
    """Mean PCK [%] over the thresholds 0, 5, ... 150 mm (MPI-INF-3DHP)."""
    distance = np.linalg.norm(points - wanted, axis=-1) * 1000.0
    thresholds = np.arange(0.0, 151.0, 5.0)
    return 100.0 * (distance[..., None] <= thresholds).mean(axis=(1, 2))


def global_rotations(rotations: Float[Array, "T 24 3 3"], parents: tuple[int, ...]) -> Float[Array, "T 24 3 3"]:
    """Rotations of the joints in the camera's frame, out of those relative to their parents."""
    world = [rotations[:, 0]]
    for joint in range(1, rotations.shape[1]):
        world.append(world[parents[joint]] @ rotations[:, joint])
    return np.stack(world, axis=1)


def joint_angle_error(
    rotations: Float[Array, "T 24 3 3"], wanted: Float[Array, "T 24 3 3"], parents: tuple[int, ...]
) -> Float[Array, " T"]:
    """EMDB's MPJAE: mean geodesic distance of the global rotations of nine joints [degrees]."""
    chosen = list(EMDB_JOINTS)
    a, b = (global_rotations(r, parents)[:, chosen] for r in (rotations, wanted))
    return np.degrees(np.linalg.norm(rotmat_to_rotvec(np.swapaxes(a, -1, -2) @ b), axis=-1)).mean(axis=1)
