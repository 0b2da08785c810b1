"""What several readers compute: boxes, pixel conventions, SMPL's root in the camera's frame."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from synth.body.lbs import joint_transforms, shaped
from synth.body.model import load_named
from synth.errors import SynthError
from synth.geometry.rotations import rotmat_to_rotvec
from synth.labels.keypoints import project_points, smpl_in_camera

Array = np.ndarray

__all__ = ["FROM_MATLAB", "FROM_ZERO", "box_around", "project_frames", "rotvecs", "square", "to_camera", "with_body"]

FROM_ZERO = 0.5
"""Added to pixel coordinates that give the first pixel's centre as 0."""
FROM_MATLAB = -0.5
"""Added to pixel coordinates that give the first pixel's centre as 1."""


def box_around(points: Float[Array, "T K 2"]) -> Float[Array, "T 4"]:
    """Boxes x0, y0, x1, y1 around the known points of each frame; NaN where fewer than two are known."""
    known = np.isfinite(points).all(axis=2)
    low = np.where(known[..., None], points, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known[..., None], points, -np.inf).max(axis=1, initial=-np.inf)
    return np.where((known.sum(axis=1) >= 2)[:, None], np.concatenate([low, high], axis=1), np.nan)


def square(center: Float[Array, "T 2"], side: Float[Array, " T"]) -> Float[Array, "T 4"]:
    """Square boxes x0, y0, x1, y1 of a given centre and side [px]."""
    half = side[:, None] / 2
    return np.concatenate([center - half, center + half], axis=1)


def project_frames(points_camera: Float[Array, "T K 3"], K: Float[Array, "T 3 3"]) -> Float[Array, "T K 2"]:
    """Pixels [px] of points in each frame's camera; NaN behind it."""
    frames = [project_points(points, intrinsics) for points, intrinsics in zip(points_camera, K, strict=True)]
    return np.stack(frames)


def rotvecs(rotmats: Float[Array, "*N 3 3"]) -> Float[Array, "*N 3"]:
    """Axis-angle [rad] of rotation matrices, NaN for those that are no rotations (to 1 %)."""
    safe = np.where(np.isfinite(rotmats), rotmats, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(safe @ np.swapaxes(safe, -1, -2) - np.eye(3)).max(axis=(-1, -2))
        good = (off < 0.01) & (np.linalg.det(safe) > 0)
    turned = rotmat_to_rotvec(np.where(good[..., None, None], safe, np.eye(3)))
    return np.where(good[..., None], turned, np.nan)


def to_camera(
    global_orient: Float[Array, "T 3"],
    transl: Float[Array, "T 3"],
    pelvis: Float[Array, "T 3"],
    T_camera_world: Float[Array, "T 4 4"],
) -> tuple[Float[Array, "T 3"], Float[Array, "T 3"]]:
    """SMPL's root rotation and translation in the camera's frame.

    Args:
        global_orient: In the world, axis-angle [rad].
        transl: In the world [m].
        pelvis: Rest position of the pelvis, J0 [m]; NaN where it is not known, which makes the translation NaN.
        T_camera_world: Pose of the camera.

    Returns:
        global_orient (T, 3) [rad] and transl (T, 3) [m]; NaN where camera or pose is.
    """
    known = np.isfinite(T_camera_world).all(axis=(1, 2)) & np.isfinite(global_orient).all(axis=1)
    pose = np.where(known[:, None], global_orient, 0.0)
    camera = np.where(known[:, None, None], T_camera_world, np.eye(4))
    # each frame may have a pelvis of its own, which smpl_in_camera's is not made for
    turned, moved = smpl_in_camera(pose, transl + pelvis, np.zeros(3), camera)
    return np.where(known[:, None], turned, np.nan), np.where(known[:, None], moved - pelvis, np.nan)


def with_body(
    bodies: Path,
    gender: str,
    betas: Float[Array, " 10"],
    global_orient: Float[Array, "T 3"],
    body_pose: Float[Array, "T 23 3"],
    transl: Float[Array, "T 3"],
) -> tuple[Float[Array, " 3"], Float[Array, "T 24 3"]]:
    """What takes a licensed body: the rest position of the pelvis and the 24 joints.

    Args:
        bodies: Folder of SMPL models, or a model file.
        gender: "neutral", "male" or "female".
        betas: Shape.
        global_orient: Root rotation, axis-angle [rad].
        body_pose: Axis-angle [rad].
        transl: Translation [m].

    Returns:
        J0 (3,) [m] and the joints (T, 24, 3) [m] in the frame of `global_orient`, NaN where the pose is.

    Raises:
        SynthError: there is no such body, or it is not SMPL.
    """
    body = load_named(str(bodies), gender)
    if body.name == "free":
        raise SynthError(f"{bodies}: the data's shapes belong to SMPL, not to the free body", "Give SMPL's folder")
    known = np.isfinite(np.concatenate([global_orient, body_pose.reshape(-1, 69), transl], axis=1)).all(axis=1)
    pose, turn, move = (np.where(np.isfinite(part), part, 0.0) for part in (body_pose, global_orient, transl))
    _, rest = shaped(body, betas)
    transforms = joint_transforms(body, betas, turn, pose, move)
    joints = np.einsum("tjab,jb->tja", transforms[..., :3, :3], rest) + transforms[..., :3, 3]
    return rest[0], np.where(known[:, None, None], joints, np.nan)
