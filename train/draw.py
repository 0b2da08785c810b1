"""Pictures of predictions: the mesh drawn over the frame."""

import numpy as np
from jaxtyping import Float, Int, UInt8

from synth.geometry.triangles import rasterize, vertex_normals
from train.batch import Batch, Prediction
from train.crops import from_normalised

Array = np.ndarray

__all__ = ["overlay", "progress_picture"]

_FOCAL = 5000.0
"""Of the far camera that stands for a weak-perspective one [px]."""

_COLOUR = np.array([150.0, 190.0, 235.0])


def overlay(
    image: UInt8[Array, "H W 3"],
    vertices_camera: Float[Array, "V 3"],
    faces: Int[Array, "F 3"],
    K: Float[Array, "3 3"],
    opacity: float = 0.8,
) -> UInt8[Array, "H W 3"]:
    """Draw a mesh over a frame, lit from the camera.

    Args:
        image: The frame.
        vertices_camera: Vertices in the camera's frame [m].
        faces: Triangles.
        K: Intrinsics [px].
        opacity: Of the mesh.
    """
    height, width = image.shape[:2]
    _, face, weights = rasterize(vertices_camera, faces, K, width, height)
    seen = face >= 0
    normals = vertex_normals(vertices_camera, faces)[faces[face[seen]]]
    normal = (normals * weights[seen][..., None]).sum(axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-9)
    drawn = image.astype(np.float64)
    shade = 0.35 + 0.65 * np.abs(normal[:, 2:])
    drawn[seen] = opacity * shade * _COLOUR + (1 - opacity) * drawn[seen]
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


def progress_picture(
    batch: Batch, prediction: Prediction, faces: Int[Array, "F 3"], count: int = 4, size: int = 128
) -> UInt8[Array, "H W 3"]:
    """The middle frames of some clips, and beside each the predicted mesh with the labels' keypoints.

    Args:
        batch: What was seen; without pictures the background is grey.
        prediction: On the CPU, with vertices.
        faces: Of the body.
        count: Clips at most.
        size: Side of a picture if the batch has none [px].
    """
    assert prediction.vertices is not None
    middle, rows = batch.length // 2, []
    for clip in range(min(count, len(batch))):
        if batch.images is None:
            crop = np.full((size, size, 3), 90, np.uint8)
        else:
            crop = from_normalised(batch.images[clip, middle : middle + 1].float().cpu().numpy())[0]
        frame = min(middle, prediction.vertices.shape[1] - 1)
        scale, x, y = prediction.camera[clip, frame].double().tolist()
        depth = 2 * _FOCAL / (max(scale, 0.05) * len(crop))
        mesh = prediction.vertices[clip, frame].double().numpy() + np.array([x, y, depth])
        K = np.array([[_FOCAL, 0, len(crop) / 2], [0, _FOCAL, len(crop) / 2], [0, 0, 1]])
        drawn = overlay(crop, mesh, faces, K)
        for u, v, seen in batch.keypoints_2d[clip, middle].float().cpu().numpy():
            column, row = int((u + 1) / 2 * len(crop)), int((v + 1) / 2 * len(crop))
            if seen > 0 and 0 <= row < len(crop) and 0 <= column < len(crop):
                drawn[max(0, row - 1) : row + 1, max(0, column - 1) : column + 1] = (0, 255, 0)
        rows.append(np.concatenate([crop, drawn], axis=1))
    return np.concatenate(rows)
