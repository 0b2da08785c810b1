"""The camera rig: cameras on a circle around the person, each turning to keep the pelvis in the centre (MVIPER 3.4)."""

import numpy as np
from jaxtyping import Float

from synth.geometry.camera import intrinsics, look_at
from synth.spec import CameraRigSpec
from synth.types import Camera

Array = np.ndarray


def evenly_around(views: int, start: float = 0.0) -> tuple[float, ...]:
    """Azimuths [rad] of `views` cameras, evenly spaced; four stand in the East, West, South and North of the person.

    Args:
        views: How many.
        start: Azimuth of the first [rad].

    Raises:
        ValueError: there is not at least one view.
    """
    if views < 1:
        raise ValueError(f"views: expected at least 1, got {views}")
    order = (0, 2, 3, 1) if views == 4 else range(views)
    return tuple(float(start + 2 * np.pi * k / views) for k in order)


def cameras(rig: CameraRigSpec, pelvis_world: Float[Array, "T 3"]) -> tuple[Camera, ...]:
    """Place the rig's cameras around a motion.

    The cameras stand still on a circle around the mean position of the pelvis; each turns so that the pelvis is in the
    centre of every frame.

    Args:
        rig: Where they stand and their lens.
        pelvis_world: Position of the pelvis in each frame [m].

    Returns:
        One camera for each azimuth.

    Raises:
        ValueError: the pelvis comes so close to a camera that it cannot be tracked.
    """
    K = intrinsics(rig.focal_mm, rig.sensor_mm, rig.width, rig.height)
    target = np.asarray(pelvis_world, dtype=np.float64)
    centre = target.mean(axis=0)
    made = []
    for azimuth in rig.azimuths:
        flat = np.cos(rig.elevation)
        direction = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(rig.elevation)])
        eye = np.broadcast_to(centre + rig.distance * direction, target.shape)
        if ((eye - target) @ direction).min() < 0.1 * rig.distance:
            raise ValueError(f"cameras: at {rig.distance:.1f} m the person walks into the camera; move the rig away")
        made.append(Camera(K=K, T_camera_world=look_at(eye, target), width=rig.width, height=rig.height))
    return tuple(made)


def extents(points_world: Float[Array, "T N 3"], pelvis_world: Float[Array, "T 3"]) -> tuple[float, float]:
    """How much room a motion takes.

    Args:
        points_world: Joints or vertices of the person [m].
        pelvis_world: Position of the pelvis [m].

    Returns:
        Largest distance of a point from the pelvis in the same frame, and of the pelvis from its mean position [m].
    """
    reach = np.linalg.norm(points_world - pelvis_world[:, None], axis=-1).max()
    travel = np.linalg.norm(pelvis_world - pelvis_world.mean(axis=0), axis=-1).max()
    return float(reach), float(travel)


def fitting_distance(extent: float, travel: float, focal_mm: float, sensor_mm: float, width: int, height: int) -> float:
    """Distance of the rig [m] at which the person fits into the shorter side of every picture.

    Args:
        extent: Largest distance of a point of the person from the pelvis [m].
        travel: Largest distance of the pelvis from its mean position [m].
        focal_mm: Focal length [mm].
        sensor_mm: Width of the sensor [mm].
        width: [px]
        height: [px]
    """
    half_angle = np.arctan(0.5 * min(width, height) / (focal_mm / sensor_mm * width))
    return float(extent / np.sin(half_angle) + travel)
