"""All labels of one frame of one view that need both the geometry and the rendered passes."""

import numpy as np
from jaxtyping import Bool, Float

from synth.labels.keypoints import project_points, to_camera
from synth.labels.visibility import flesh_depth, joint_visibility
from synth.types import BodyModel, Camera, FrameLabels, Passes, SimulatedClip

Array = np.ndarray

__all__ = ["label_frame", "person_box"]


def label_frame(clip: SimulatedClip, body: BodyModel, camera: Camera, passes: Passes, t: int) -> FrameLabels:
    """Label one picture.

    Args:
        clip: The dressed body in motion.
        body: The model of its body.
        camera: The view's camera.
        passes: What the renderer returned for this view and frame.
        t: Frame of the clip.

    Returns:
        The labels; joints behind the camera have NaN pixels and are OUTSIDE.

    Raises:
        ValueError: the passes have another size than the camera's picture.
    """
    if passes.depth.shape != (camera.height, camera.width):
        raise ValueError(f"passes: expected {camera.height} x {camera.width} pixels, got {passes.depth.shape}")
    pose = camera.T_camera_world[t]
    joints_camera = to_camera(clip.joints_world[t].astype(np.float64), pose)
    keypoints_2d = project_points(joints_camera, camera.K)
    person = passes.depth > 0
    visibility = joint_visibility(
        joints_camera,
        keypoints_2d,
        to_camera(clip.body_vertices_world[t].astype(np.float64), pose),
        body,
        flesh_depth(body, tuple(clip.betas.tolist())),
        camera.K,
        passes.depth,
        passes.garments,
    )
    return FrameLabels(
        keypoints_2d=keypoints_2d,
        joints_camera=joints_camera,
        visibility=visibility,
        bbox=person_box(person),
        person=person,
    )


def person_box(person: Bool[Array, "H W"]) -> Float[Array, " 4"]:
    """Smallest box around the person's pixels: x0, y0, x1, y1 [px] of their outer edges; NaN if there are none."""
    rows, columns = np.flatnonzero(person.any(axis=1)), np.flatnonzero(person.any(axis=0))
    if len(rows) == 0:
        return np.full(4, np.nan)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)
