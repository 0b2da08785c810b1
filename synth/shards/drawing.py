"""The stored meshes drawn again: what each picture of a shard must show, computed without the renderer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from synth.geometry.triangles import fragments, taken
from synth.labels.keypoints import project_points, to_camera
from synth.shards.read import ShardReader

Array = np.ndarray

__all__ = ["Drawn", "Scene", "draw", "scene_of", "triangles_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """Body and garments of the clip as one mesh."""

    vertices_world: Float[Array, "T V 3"]
    faces: Int[Array, "F 3"]
    face_parts: UInt8[Array, " F"]
    face_garments: UInt8[Array, " F"]

    @property
    def closed(self) -> Bool[Array, " F"]:
        """Triangles of the body, whose backs are never seen; a garment's may be."""
        return self.face_garments == 0

    def in_camera(self, pose: Float[Array, "T 4 4"], t: int) -> Float[Array, "V 3"]:
        """Vertices of frame t in the frame of a camera that moves along `pose` [m]."""
        return to_camera(self.vertices_world[t], pose[t])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """What the meshes look like in one frame: the person's N pixels, by their index in the picture."""

    mask: Bool[Array, "H W"]
    pixel: Int[Array, " N"]
    depth: Float[Array, " N"]
    """[m]"""
    flow: Float[Array, "N 2"]
    """[px]"""
    normal: Float[Array, "N 3"]
    """Of the triangle, camera frame, facing the camera."""
    part: UInt8[Array, " N"]
    garment: UInt8[Array, " N"]


def triangles_of(quads: Int[Array, "F 4"]) -> tuple[Int[Array, "N 3"], Int[Array, " N"]]:
    """Cut quads (the last index is -1 for a triangle) along their first diagonal.

    Returns:
        Triangles, first those of all faces' first halves, then the second halves; and the face each belongs to.
    """
    four = np.flatnonzero(quads[:, 3] >= 0)
    triangles = np.concatenate([quads[:, :3], quads[four][:, [0, 2, 3]]])
    return triangles, np.concatenate([np.arange(len(quads)), four])


def scene_of(reader: ShardReader, body_faces: Int[Array, "F 3"], body_parts: UInt8[Array, " F"]) -> Scene:
    """Read body and garments of a clip as one mesh; the body's triangles and their parts are given."""
    vertices, faces = [reader.clip("vertices_world").astype(np.float64)], [body_faces]
    parts, garments, count = [body_parts], [np.zeros(len(body_faces), np.uint8)], reader.layout.vertices
    for index, (name, _, _) in enumerate(reader.layout.garments):
        triangles, face = triangles_of(reader.clip(f"garments/{name}/faces").astype(np.int64))
        faces.append(triangles + count)
        parts.append(reader.clip(f"garments/{name}/face_parts")[face])
        garments.append(np.full(len(triangles), index + 1, dtype=np.uint8))
        vertices.append(reader.clip(f"garments/{name}/vertices_world").astype(np.float64))
        count += vertices[-1].shape[1]
    return Scene(
        vertices_world=np.concatenate(vertices, axis=1),
        faces=np.asfortranarray(np.concatenate(faces)),  # drawing takes them column by column
        face_parts=np.concatenate(parts),
        face_garments=np.concatenate(garments),
    )


def draw(
    scene: Scene,
    now: Float[Array, "V 3"],
    then: Float[Array, "V 3"],
    K: Float[Array, "3 3"],
    width: int,
    height: int,
) -> Drawn:
    """Draw one frame.

    Args:
        scene: The meshes.
        now: Their vertices in the camera's frame of this picture [m], from `Scene.in_camera`.
        then: The same in another picture: flow is where the surface point of each pixel's centre is there.
        K: Intrinsics [px].
        width: [px]
        height: [px]
    """
    seen = fragments(now, scene.faces, K, width, height, scene.closed)
    corners = [taken(column, seen.face) for column in scene.faces.T]
    a, b, c = (taken(now, corner) for corner in corners)
    moved = sum((taken(then, k) * seen.barycentric[:, [i]] for i, k in enumerate(corners)), np.zeros((len(a), 3)))
    mask = np.zeros(height * width, dtype=bool)
    mask[seen.pixel] = True
    row, column = np.divmod(seen.pixel, width)
    return Drawn(
        mask=mask.reshape(height, width),
        pixel=seen.pixel,
        depth=seen.depth,
        flow=project_points(moved, K) - np.stack([column + 0.5, row + 0.5], axis=1),
        normal=_facing_normals(a, b, c),
        part=taken(scene.face_parts, seen.face),
        garment=taken(scene.face_garments, seen.face),
    )


def _facing_normals(a: Float[Array, "N 3"], b: Float[Array, "N 3"], c: Float[Array, "N 3"]) -> Float[Array, "N 3"]:
    """Unit normals of triangles, turned to the camera (towards -z along the ray, which for small angles is z < 0)."""
    (ux, uy, uz), (vx, vy, vz) = (np.ascontiguousarray((corner - a).T) for corner in (b, c))
    x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    along = x * a[:, 0] + y * a[:, 1] + z * a[:, 2]
    length = np.maximum(np.sqrt(x * x + y * y + z * z), 1e-30) * np.where(along > 0, -1.0, 1.0)
    return np.stack([x / length, y / length, z / length], axis=1)
