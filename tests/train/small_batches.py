"""Batches without shards: people that move smoothly, features that tell their pose, pictures of noise that do not."""

from dataclasses import replace

import numpy as np
import torch

from train.batch import Batch, TemporalModel, last
from train.body import BodyLayer
from train.losses import project_weak
from train.rotations import matrix_to_six, rotvec_to_matrix

FEATURES = 64


def small_batch(
    body: BodyLayer, clips: int = 3, frames: int = 9, size: int = 0, seed: int = 0, occluded: bool = False
) -> Batch:
    """Labels and frozen features; with `size`, pictures, part masks and the flow of a still camera as well."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 2 * np.pi, frames)
    phase = rng.uniform(0, 2 * np.pi, (clips, 1, 24, 3))
    rotvec = rng.normal(0, 0.25, (clips, 1, 24, 3)) + 0.15 * np.sin(time[None, :, None, None] + phase)
    rotvec[:, :, 0] += np.array([np.pi, 0.0, 0.0])
    rotations = rotvec_to_matrix(torch.tensor(rotvec, dtype=torch.float32))
    betas = torch.tensor(rng.normal(0, 0.8, (clips, 1, 10)), dtype=torch.float32).repeat(1, frames, 1)
    gender = torch.zeros(clips, dtype=torch.int64)
    joints = body.joints(rotations.flatten(0, 1), betas.flatten(0, 1), gender.repeat_interleave(frames))
    joints = joints.unflatten(0, (clips, frames))
    camera = torch.tensor([0.9, 0.02, 0.1]).repeat(clips, frames, 1)
    xy = project_weak(joints, camera)
    theta = torch.cat([matrix_to_six(rotations).flatten(2), betas, camera], dim=-1)
    spread = torch.tensor(rng.normal(0, 0.3, (157, FEATURES)), dtype=torch.float32)
    features = torch.tanh(theta @ spread)
    batch = Batch(
        keypoints_2d=torch.cat([xy, torch.ones_like(xy[..., :1])], dim=-1),
        joints_3d=joints,
        joints_valid=torch.ones(clips, frames, 24, dtype=torch.bool),
        rotations=rotations,
        betas=betas,
        smpl_valid=torch.ones(clips, frames, dtype=torch.bool),
        pelvis=torch.tensor([0.0, 0.0, 4.0]).repeat(clips, frames, 1),
        box=torch.tensor([160.0, 120.0, 120.0]).repeat(clips, frames, 1),
        image_size=torch.tensor([320.0, 240.0]).repeat(clips, 1),
        K=torch.tensor([[300.0, 0.0, 160.0], [0.0, 300.0, 120.0], [0.0, 0.0, 1.0]]).repeat(clips, 1, 1),
        box_rotation=torch.zeros(clips),
        flipped=torch.zeros(clips, dtype=torch.bool),
        fps=torch.full((clips,), 30.0),
        gender=gender,
        features=features,
        features_occluded=features + 0.1 * torch.tensor(rng.normal(size=features.shape), dtype=torch.float32)
        if occluded
        else None,
    )
    if not size:
        return batch
    valid = torch.ones(clips, frames, dtype=torch.bool)
    valid[:, -1] = False
    parts = torch.zeros(clips, frames, size, size, dtype=torch.uint8)
    parts[..., size // 8 : -size // 8, size // 4 : -size // 4] = 1
    images = torch.tensor(rng.normal(size=(clips, frames, 3, size, size)), dtype=torch.float32)
    return replace(batch, images=images, parts=parts, flow=torch.zeros(clips, frames, 2, size, size), flow_valid=valid)


def error_mm(model: TemporalModel, batch: Batch, body: BodyLayer) -> float:
    """PA-MPJPE of the training clips."""
    with torch.no_grad():
        joints = body.complete(last(model.eval()(batch)), batch).joints
    assert joints is not None
    wanted = batch.joints_3d
    if model.centre_only:
        wanted = wanted[:, batch.length // 2, None]
    return 1000 * procrustes(joints.flatten(0, 1), wanted.flatten(0, 1))


def procrustes(points: torch.Tensor, wanted: torch.Tensor) -> float:
    """Mean distance after the best similarity of each frame (Umeyama 1991)."""
    p, q = points - points.mean(1, keepdim=True), wanted - wanted.mean(1, keepdim=True)
    u, s, vt = torch.linalg.svd(p.transpose(1, 2) @ q)
    sign = torch.ones_like(s)
    sign[:, 2] = torch.det(u @ vt)
    scale = (s * sign).sum(1) / (p**2).sum((1, 2))
    aligned = scale[:, None, None] * p @ (u * sign[:, None]) @ vt
    return (aligned - q).norm(dim=2).mean().item()
