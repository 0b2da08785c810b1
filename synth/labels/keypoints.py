"""Joints and named keypoints in the world, the camera and the picture; SMPL's root in the camera's frame."""

import numpy as np
from jaxtyping import Float

from synth.body.lbs import shaped
from synth.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["keypoints_world", "project_points", "rest_pelvis", "smpl_in_camera", "to_camera"]


def keypoints_world(body: BodyModel, vertices_world: Float[Array, "T V 3"]) -> dict[str, Float[Array, "T K 3"]]:
    """Regress the body's named keypoint sets from posed vertices.

    Args:
        body: A body whose `keypoint_regressors` name the sets.
        vertices_world: Posed vertices [m].

    Returns:
        Keypoints [m], shape (T, K, 3), by the set's name; in alphabetical order.
    """
    regressors = sorted(body.keypoint_regressors.items())
    return {name: np.einsum("kv,tvc->tkc", matrix, vertices_world, optimize=True) for name, matrix in regressors}


def to_camera(points_world: Float[Array, "*N 3"], T_camera_world: Float[Array, "4 4"]) -> Float[Array, "*N 3"]:
    """Coordinates [m] of points in the camera's frame."""
    return points_world @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]


def project_points(points_camera: Float[Array, "*N 3"], K: Float[Array, "3 3"]) -> Float[Array, "*N 2"]:
    """Project points that may also lie behind the camera; those are NaN.

    Args:
        points_camera: Points in the camera's frame [m].
        K: Intrinsics [px].

    Returns:
        Pixels [px], origin at the picture's top-left corner, never rounded; NaN where z <= 0.
    """
    z = points_camera[..., 2:]
    homogeneous = points_camera @ K.T
    return homogeneous[..., :2] / np.where(z > 0, z, np.nan)


def rest_pelvis(body: BodyModel, betas: Float[Array, " B"]) -> Float[Array, " 3"]:
    """Pelvis of the shaped body in the rest pose, J0 [m]: the point that SMPL's root rotation turns about."""
    return shaped(body, betas)[1][0]


def smpl_in_camera(
    global_orient: Float[Array, "T 3"],
    transl: Float[Array, "T 3"],
    pelvis: Float[Array, " 3"],
    T_camera_world: Float[Array, "T 4 4"],
) -> tuple[Float[Array, "T 3"], Float[Array, "T 3"]]:
    """SMPL's root in the camera's frame: the same body_pose and betas with these give the mesh in that frame.

    SMPL turns the body about its pelvis J0, not about the origin: x = R_root (v - J0) + J0 + transl. With
    x_camera = R x + t it follows that R_root' = R R_root and transl' = R (J0 + transl) + t - J0.

    Args:
        global_orient: Root rotation in the world, axis-angle [rad].
        transl: Translation in the world [m].
        pelvis: J0 of the shaped body [m], from `rest_pelvis`.
        T_camera_world: Pose of the camera in each frame.

    Returns:
        global_orient (T, 3) [rad] and transl (T, 3) [m] in the camera's frame.
    """
    rotation, translation = T_camera_world[:, :3, :3], T_camera_world[:, :3, 3]
    turned = rotation @ rotvec_to_rotmat(global_orient)
    moved = np.einsum("tij,tj->ti", rotation, pelvis + transl) + translation - pelvis
    return rotmat_to_rotvec(turned), moved
