"""Losses that models share. All are means over what is known, zero where nothing is, and in single precision.

Published weights (300, 300, 60, 0.06) belong to mean squared errors, 3D joints being compared relative to the mid-hip
and poses as rotation matrices, as in VIBE's code; the papers' formulas write norms.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synth.body.joints import JOINT_NAMES
from train.batch import Batch, Prediction

__all__ = [
    "Weights",
    "joints_3d_loss",
    "keypoints_2d_loss",
    "masked_mean",
    "mesh_losses",
    "pose_loss",
    "project_weak",
    "shape_loss",
    "shape_smoothness",
    "summed",
]

_HIPS = [JOINT_NAMES.index("left_hip"), JOINT_NAMES.index("right_hip")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Factors of the losses that compare a mesh with its labels; 0 turns one off."""

    keypoints_2d: float = 300.0
    joints_3d: float = 300.0
    pose: float = 60.0
    shape: float = 0.06


def project_weak(points: Float[Tensor, "B T K 3"], camera: Float[Tensor, "B T 3"]) -> Float[Tensor, "B T K 2"]:
    """Weak-perspective projection into the crop.

    Args:
        points: Relative to the pelvis, camera axes [m].
        camera: (s, tx, ty) of `train.batch.Prediction`.

    Returns:
        Crop coordinates, -1 to 1 inside the crop.
    """
    return camera[..., None, :1] * (points[..., :2] + camera[..., None, 1:])


def keypoints_2d_loss(projected: Float[Tensor, "B T K 2"], keypoints: Float[Tensor, "B T K 3"]) -> Float[Tensor, ""]:
    """Mean squared distance per coordinate, weighted by confidence, over all joints, known or not (VIBE)."""
    return (keypoints[..., 2:] * (projected.float() - keypoints[..., :2]) ** 2).mean()


def joints_3d_loss(
    joints: Float[Tensor, "B T 24 3"], wanted: Float[Tensor, "B T 24 3"], valid: Bool[Tensor, "B T 24"]
) -> Float[Tensor, ""]:
    """Mean squared distance per coordinate [m2], both centred between the hips; frames without hips do not count."""
    valid = valid & valid[..., _HIPS].all(-1, keepdim=True)
    joints = joints - joints[..., _HIPS, :].mean(-2, keepdim=True)
    wanted = wanted - wanted[..., _HIPS, :].mean(-2, keepdim=True)
    return masked_mean((joints - wanted) ** 2, valid)


def pose_loss(
    rotations: Float[Tensor, "B T 24 3 3"], wanted: Float[Tensor, "B T 24 3 3"], valid: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Mean squared difference of the rotation matrices' elements."""
    return masked_mean((rotations - wanted) ** 2, valid)


def shape_loss(
    betas: Float[Tensor, "B T 10"], wanted: Float[Tensor, "B T 10"], valid: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Mean squared difference of the betas."""
    return masked_mean((betas - wanted) ** 2, valid)


def shape_smoothness(betas: Float[Tensor, "B T 10"]) -> Float[Tensor, ""]:
    """Mean norm of the difference of betas between successive frames (MVIPER, section 4.2); 0 for a single frame."""
    if betas.shape[1] < 2:
        return betas.sum() * 0.0
    difference = betas[:, 1:] - betas[:, :-1]
    return torch.sqrt((difference**2).sum(-1) + 1e-12).mean()


def mesh_losses(prediction: Prediction, batch: Batch, weights: Weights) -> dict[str, Tensor]:
    """Compare a prediction, completed with joints by the body layer, with its labels.

    Returns:
        "keypoints_2d", "joints_3d", "pose" and "shape", each already weighted; those of weight 0 left out.

    Raises:
        ValueError: the prediction has no joints.
    """
    if prediction.joints is None:
        raise ValueError("prediction: has no joints; complete it by the body layer first")
    terms: dict[str, Tensor] = {}
    if weights.keypoints_2d:
        projected = project_weak(prediction.joints, prediction.camera)
        terms["keypoints_2d"] = weights.keypoints_2d * keypoints_2d_loss(projected, batch.keypoints_2d)
    if weights.joints_3d:
        value = joints_3d_loss(prediction.joints, batch.joints_3d, batch.joints_valid)
        terms["joints_3d"] = weights.joints_3d * value
    if weights.pose:
        terms["pose"] = weights.pose * pose_loss(prediction.rotations, batch.rotations, batch.smpl_valid)
    if weights.shape:
        terms["shape"] = weights.shape * shape_loss(prediction.betas, batch.betas, batch.smpl_valid)
    return terms


def summed(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the "total"."""
    return terms | {"total": torch.stack(list(terms.values())).sum()}


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over what is valid; a zero with a gradient where none is."""
    weight = valid.to(values.dtype).reshape(*valid.shape, *([1] * (values.ndim - valid.ndim)))
    each = values[(0,) * valid.ndim].numel()
    return (values * weight).sum() / (weight.sum() * each).clamp_min(1.0)
