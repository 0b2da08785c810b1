"""Rotations: axis-angle vectors, matrices and quaternions, batched over all leading axes, in float64.

A rotation vector's direction is the axis, its length the angle [rad]. Quaternions are unit, order w, x, y, z.
"""

import numpy as np
from jaxtyping import Float

Array = np.ndarray

__all__ = [
    "canonical_rotvec",
    "quat_wxyz_to_rotvec",
    "rotmat_to_quat_wxyz",
    "rotmat_to_rotvec",
    "rotvec_to_rotmat",
    "slerp",
]


def rotvec_to_rotmat(rotvec: Float[Array, "*B 3"]) -> Float[Array, "*B 3 3"]:
    """Turn axis-angle vectors [rad] into rotation matrices.

    Source: Rodrigues' formula, R = I + sin(a)/a K + (1 - cos(a))/a^2 K^2, K being the vector's cross-product matrix.
    Both factors are written as sinc, so that angle zero needs no special case.
    """
    rotvec = np.asarray(rotvec, dtype=np.float64)
    angle = np.linalg.norm(rotvec, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(rotvec, -1, 0)
    zero = np.zeros_like(x)
    K = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*rotvec.shape[:-1], 3, 3)
    return np.eye(3) + np.sinc(angle / np.pi) * K + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (K @ K)


def rotmat_to_quat_wxyz(rotmat: Float[Array, "*B 3 3"]) -> Float[Array, "*B 4"]:
    """Turn rotation matrices into unit quaternions with w >= 0.

    Source: Shepperd (1978): of four equivalent formulas take the one whose divisor is largest, so that no angle is
    ill-conditioned, near pi included.
    """
    rotmat = np.asarray(rotmat, dtype=np.float64)
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = np.moveaxis(rotmat.reshape(*rotmat.shape[:-2], 9), -1, 0)
    # Each row is the quaternion times 4 times one of its own components.
    rows = [
        [1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01],
        [m21 - m12, 1 + m00 - m11 - m22, m01 + m10, m02 + m20],
        [m02 - m20, m01 + m10, 1 - m00 + m11 - m22, m12 + m21],
        [m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22],
    ]
    products = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    largest = np.argmax(np.diagonal(products, axis1=-2, axis2=-1), axis=-1)
    quat = np.take_along_axis(products, largest[..., None, None], axis=-2)[..., 0, :]
    quat = quat / np.linalg.norm(quat, axis=-1, keepdims=True)
    return np.where(quat[..., :1] < 0, -quat, quat)


def quat_wxyz_to_rotvec(quat_wxyz: Float[Array, "*B 4"]) -> Float[Array, "*B 3"]:
    """Turn unit quaternions into axis-angle vectors [rad], canonical (see `canonical_rotvec`)."""
    quat = np.where(quat_wxyz[..., :1] < 0, -quat_wxyz, quat_wxyz).astype(np.float64)
    sine = np.linalg.norm(quat[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quat[..., :1])
    # angle / sine -> 2 / w as the sine vanishes.
    factor = np.divide(angle, sine, out=2 / np.maximum(quat[..., :1], 0.5), where=sine > 1e-12)
    return canonical_rotvec(quat[..., 1:] * factor)


def rotmat_to_rotvec(rotmat: Float[Array, "*B 3 3"]) -> Float[Array, "*B 3"]:
    """Turn rotation matrices into axis-angle vectors [rad], canonical (see `canonical_rotvec`)."""
    return quat_wxyz_to_rotvec(rotmat_to_quat_wxyz(rotmat))


def canonical_rotvec(rotvec: Float[Array, "*B 3"]) -> Float[Array, "*B 3"]:
    """Give each rotation its one canonical vector: the angle in [0, pi]; at pi the first nonzero component positive.

    Axis-angle vectors of one rotation differ by multiples of 2 pi along the axis. Recorded motion holds such jumps;
    comparing or interpolating vectors makes sense only after they are taken out.
    """
    rotvec = np.asarray(rotvec, dtype=np.float64)
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    # In (-pi, pi]; a turn that is already short is left untouched, to the bit.
    turns = np.ceil((angle - np.pi) / (2 * np.pi) - 1e-15)
    wrapped = angle - 2 * np.pi * turns
    scale = np.divide(wrapped, angle, out=np.ones_like(angle), where=turns > 0)
    result = rotvec * scale
    nonzero = np.abs(result) > 1e-9
    first = np.take_along_axis(result, np.argmax(nonzero, axis=-1)[..., None], axis=-1)
    at_pi = np.abs(np.abs(wrapped) - np.pi) < 1e-12
    return np.where(at_pi & (first < 0), -result, result)


def slerp(
    start: Float[Array, "*B 3"], stop: Float[Array, "*B 3"], weight: Float[Array, "*W"] | float
) -> Float[Array, "*C 3"]:
    """Interpolate rotations along the shortest arc at constant speed.

    Args:
        start: Rotations at weight 0, axis-angle [rad].
        stop: Rotations at weight 1, axis-angle [rad], same shape as `start`.
        weight: Position between the two; broadcasts against the leading axes. Outside [0, 1] it extrapolates.

    Returns:
        Canonical axis-angle vectors [rad], leading axes broadcast together.

    Raises:
        ValueError: `start` and `stop` differ in shape.
    """
    start, stop = np.asarray(start, dtype=np.float64), np.asarray(stop, dtype=np.float64)
    if start.shape != stop.shape:
        raise ValueError(f"stop: expected {start.shape}, got {stop.shape}")
    first = rotvec_to_rotmat(start)
    arc = rotmat_to_rotvec(np.swapaxes(first, -1, -2) @ rotvec_to_rotmat(stop))
    part = np.asarray(weight, dtype=np.float64)[..., None] * arc
    return rotmat_to_rotvec(first @ rotvec_to_rotmat(part))
