"""Pictures of predictions: the mesh drawn over the frame."""

import numpy as np
from jaxtyping import Float, Int, UInt8

from synth.geometry.triangles import rasterize, vertex_normals

Array = np.ndarray

__all__ = ["overlay"]

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
