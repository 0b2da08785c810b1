"""Rotations in torch, batched and differentiable: 6D, matrices, axis-angle."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = [
    "geodesic",
    "matrix_to_rotvec",
    "matrix_to_six",
    "mean_rotation",
    "rotvec_to_matrix",
    "six_to_matrix",
    "upright",
]


def upright() -> Float[Tensor, "24 3 3"]:
    """The rest pose with the head up, seen from the front by a camera whose y points down."""
    rotations = torch.eye(3).repeat(24, 1, 1)
    rotations[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    return rotations


def six_to_matrix(six: Float[Tensor, "*N 6"]) -> Float[Tensor, "*N 3 3"]:
    """Gram-Schmidt on the first two columns, which the six numbers hold row by row (SPIN's order).

    Source: Zhou et al., "On the Continuity of Rotation Representations" (2019), equation 15.
    """
    columns = six.unflatten(-1, (3, 2))
    first = functional.normalize(columns[..., 0], dim=-1)
    second = columns[..., 1] - (first * columns[..., 1]).sum(-1, keepdim=True) * first
    second = functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def matrix_to_six(matrix: Float[Tensor, "*N 3 3"]) -> Float[Tensor, "*N 6"]:
    """The first two columns, row by row."""
    return matrix[..., :2].flatten(-2)


def rotvec_to_matrix(rotvec: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3 3"]:
    """Rodrigues' formula, exact also near zero."""
    angle = torch.sqrt((rotvec * rotvec).sum(-1, keepdim=True).clamp_min(1e-24))
    x, y, z = (rotvec / angle).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    angle = angle[..., None]
    eye = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return eye + torch.sin(angle) * cross + (1 - torch.cos(angle)) * (cross @ cross)


def matrix_to_rotvec(matrix: Float[Tensor, "*N 3 3"]) -> Float[Tensor, "*N 3"]:
    """Axis-angle of at most pi, through the quaternion's largest component, so that no angle is ill-conditioned."""
    m = matrix.flatten(-2)
    a, e, i = m[..., 0], m[..., 4], m[..., 8]
    # Four forms of the same quaternion (w, x, y, z), each scaled by one component; the largest is the safe one.
    squares = torch.stack([1 + a + e + i, 1 + a - e - i, 1 - a + e - i, 1 - a - e + i], dim=-1)
    wx, wy, wz = m[..., 7] - m[..., 5], m[..., 2] - m[..., 6], m[..., 3] - m[..., 1]
    xy, xz, yz = m[..., 1] + m[..., 3], m[..., 2] + m[..., 6], m[..., 5] + m[..., 7]
    forms = torch.stack(
        [
            torch.stack([squares[..., 0], wx, wy, wz], dim=-1),
            torch.stack([wx, squares[..., 1], xy, xz], dim=-1),
            torch.stack([wy, xy, squares[..., 2], yz], dim=-1),
            torch.stack([wz, xz, yz, squares[..., 3]], dim=-1),
        ],
        dim=-2,
    )
    best = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternion = functional.normalize(forms.gather(-2, best)[..., 0, :], dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, v = quaternion[..., 0], quaternion[..., 1:]
    sine = torch.sqrt((v * v).sum(-1).clamp_min(1e-24))
    factor = torch.where(sine > 1e-6, 2 * torch.atan2(sine, w) / sine, 2.0 / w.clamp_min(1e-3))
    return v * factor[..., None]


def geodesic(a: Float[Tensor, "*N 3 3"], b: Float[Tensor, "*N 3 3"]) -> Float[Tensor, "*N"]:
    """Angle between rotations [rad]. Not for losses: its slope at zero is infinite."""
    return matrix_to_rotvec(a.transpose(-1, -2) @ b).norm(dim=-1)


def mean_rotation(matrices: Float[Tensor, "N *K 3 3"]) -> Float[Tensor, "*K 3 3"]:
    """Chordal mean over the first axis: the rotation nearest to the mean matrix."""
    u, _, vt = torch.linalg.svd(matrices.double().mean(0))
    sign = torch.det(u @ vt)
    u = torch.cat([u[..., :2], u[..., 2:] * sign[..., None, None]], dim=-1)
    return (u @ vt).to(matrices.dtype)
