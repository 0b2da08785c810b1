"""Pinhole cameras: OpenCV axes (x right, y down, z forward), pixels from the image's top-left corner, float64.

The first pixel's centre is (0.5, 0.5) and the principal point is (W/2, H/2), which is where Cycles' rays start.
"""

import numpy as np
from jaxtyping import Float

from synth.types import Camera

Array = np.ndarray

__all__ = ["camera_position", "intrinsics", "look_at", "pixel_centres", "project", "unproject", "world_to_camera"]


def intrinsics(focal_mm: float, sensor_mm: float, width: int, height: int) -> Float[Array, "3 3"]:
    """Intrinsics of a lens in front of a sensor with square pixels.

    Args:
        focal_mm: Focal length [mm].
        sensor_mm: Width of the sensor [mm]; it spans the image's width.
        width: [px]
        height: [px]

    Returns:
        K [px]; the principal point is the centre of the image.

    Raises:
        ValueError: a length is not positive.
    """
    if min(focal_mm, sensor_mm, width, height) <= 0:
        raise ValueError(f"intrinsics: expected positive lengths, got {(focal_mm, sensor_mm, width, height)}")
    focal = focal_mm / sensor_mm * width
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def look_at(
    eye_world: Float[Array, "*N 3"],
    target_world: Float[Array, "*N 3"],
    up_world: tuple[float, float, float] = (0.0, 0.0, 1.0),
) -> Float[Array, "*N 4 4"]:
    """Pose of a camera at `eye_world` with `target_world` in the centre of its picture and no roll.

    Args:
        eye_world: Where the camera stands [m].
        target_world: What it looks at [m].
        up_world: Direction that is up in the picture.

    Returns:
        T_camera_world, x_camera = T_camera_world @ x_world; the rotation's determinant is +1.

    Raises:
        ValueError: eye and target coincide, or the line of sight is parallel to `up_world`.
    """
    eye = np.asarray(eye_world, dtype=np.float64)
    forward = np.asarray(target_world, dtype=np.float64) - eye
    distance = np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, np.asarray(up_world, dtype=np.float64))
    length = np.linalg.norm(right, axis=-1, keepdims=True)
    if not (length > 1e-9 * np.maximum(distance, 1e-300)).all():
        raise ValueError("look_at: eye and target coincide, or the camera looks along its own up direction")
    forward, right = forward / distance, right / length
    rotation = np.stack([right, np.cross(forward, right), forward], axis=-2)
    pose = np.zeros((*eye.shape[:-1], 4, 4))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation, eye)
    pose[..., 3, 3] = 1.0
    return pose


def camera_position(camera: Camera) -> Float[Array, "T 3"]:
    """Where the camera stands in each frame, world frame [m]."""
    rotation, translation = camera.T_camera_world[:, :3, :3], camera.T_camera_world[:, :3, 3]
    return -np.einsum("tji,tj->ti", rotation, translation)


def world_to_camera(points_world: Float[Array, "*N 3"], camera: Camera, frame: int) -> Float[Array, "*N 3"]:
    """Coordinates [m] of points in the camera's frame at frame `frame`."""
    pose = camera.T_camera_world[frame].astype(np.float64)
    return np.asarray(points_world, dtype=np.float64) @ pose[:3, :3].T + pose[:3, 3]


def project(points_world: Float[Array, "*N 3"], camera: Camera, frame: int) -> Float[Array, "*N 2"]:
    """Project points into the image.

    Source: Hartley and Zisserman, chapter 6.

    Args:
        points_world: Points [m].
        camera: The camera.
        frame: Which frame of its motion.

    Returns:
        Pixel coordinates [px], also outside the image; origin at the top-left corner, y down.

    Raises:
        ValueError: a point has z <= 0 in the camera's frame (or is NaN).
    """
    points_camera = world_to_camera(points_world, camera, frame)
    depth = points_camera[..., 2:]
    if not (depth > 0).all():
        raise ValueError(f"project: {int((~(depth > 0)).sum())} points are not in front of the camera (frame {frame})")
    homogeneous = points_camera @ camera.K.astype(np.float64).T
    return homogeneous[..., :2] / depth


def pixel_centres(camera: Camera) -> Float[Array, "H W 2"]:
    """Coordinates of the pixels' centres [px]: (0.5, 0.5) for the first."""
    x, y = np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5
    return np.stack(np.meshgrid(x, y), axis=-1)


def unproject(depth: Float[Array, "H W"], camera: Camera, frame: int) -> Float[Array, "H W 3"]:
    """World position of what each pixel's centre sees.

    Args:
        depth: Planar depth [m]; 0 where there is no surface.
        camera: The camera.
        frame: Which frame of its motion.

    Returns:
        Points in the world frame [m]; NaN where there is no surface.

    Raises:
        ValueError: the depth map has another size than the camera's image.
    """
    if depth.shape != (camera.height, camera.width):
        raise ValueError(f"depth: expected {(camera.height, camera.width)}, got {depth.shape}")
    pose = camera.T_camera_world[frame].astype(np.float64)
    z = np.where(depth > 0, depth, np.nan).astype(np.float64)[..., None]
    rays = np.concatenate([pixel_centres(camera), np.ones((*depth.shape, 1))], axis=-1) @ np.linalg.inv(camera.K).T
    return (rays * z - pose[:3, 3]) @ pose[:3, :3]
