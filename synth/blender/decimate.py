"""Reduce a mesh's vertices with Blender's Decimate modifier, keeping left and right alike and the UV map."""

import bpy
import numpy as np
from jaxtyping import Float, Int

from synth.errors import SynthError

Array = np.ndarray

__all__ = ["decimate"]


def decimate(
    vertices: Float[Array, "S 3"],
    faces: Int[Array, "F 4"],
    uv: Float[Array, "F 4 2"],
    weight: Float[Array, " S"],
    target: int,
) -> tuple[Float[Array, "V 3"], Int[Array, "Fd 3"], Float[Array, "Fd 3 2"]]:
    """Collapse edges until at most `target` vertices are left.

    Args:
        vertices: Mesh symmetric about X = 0.
        faces: Quads, the last index -1 for a triangle.
        uv: Texture coordinates of each corner.
        weight: How much to thin out around each vertex, 0-1.
        target: Number of vertices wanted.

    Returns:
        Vertices, triangles and the texture coordinates of their corners.

    Raises:
        SynthError: Blender left no mesh of that size.
    """
    scene_object = _mesh_object(vertices, faces, uv, weight)
    low, high = 0.05, 1.0
    try:
        for _ in range(14):
            middle = (low + high) / 2
            low, high = (middle, high) if len(_reduced(scene_object, middle).vertices) <= target else (low, middle)
        mesh = _reduced(scene_object, low)
        if len(mesh.vertices) > target or len(mesh.vertices) < target // 2:
            raise SynthError(f"Decimation to {target} vertices failed: got {len(mesh.vertices)}")
        return _arrays(mesh)
    finally:
        bpy.data.objects.remove(scene_object, do_unlink=True)


def _mesh_object(vertices: Array, faces: Array, uv: Array, weight: Array) -> bpy.types.Object:
    polygons = [face[:3] if face[3] < 0 else face for face in faces.tolist()]
    corners = np.concatenate([c[: len(p)] for c, p in zip(uv, polygons, strict=True)])
    mesh = bpy.data.meshes.new("decimate")
    mesh.from_pydata(vertices.tolist(), [], polygons)
    mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", corners.astype(np.float32).ravel())
    mesh.update()
    scene_object = bpy.data.objects.new("decimate", mesh)
    bpy.context.collection.objects.link(scene_object)
    group = scene_object.vertex_groups.new(name="weight")
    for index, value in enumerate(weight.tolist()):
        group.add([index], value, "REPLACE")
    return scene_object


def _reduced(scene_object: bpy.types.Object, ratio: float) -> bpy.types.Mesh:
    scene_object.modifiers.clear()
    modifier = scene_object.modifiers.new("decimate", "DECIMATE")
    modifier.decimate_type, modifier.ratio = "COLLAPSE", ratio
    modifier.use_symmetry, modifier.symmetry_axis = True, "X"
    modifier.use_collapse_triangulate, modifier.vertex_group = True, "weight"
    graph = bpy.context.evaluated_depsgraph_get()
    return bpy.data.meshes.new_from_object(scene_object.evaluated_get(graph))


def _arrays(mesh: bpy.types.Mesh) -> tuple[Array, Array, Array]:
    vertices = np.empty((len(mesh.vertices), 3), dtype=np.float32)
    mesh.vertices.foreach_get("co", vertices.ravel())
    faces = np.empty((len(mesh.polygons), 3), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", faces.ravel())
    uv = np.empty((len(faces), 3, 2), dtype=np.float32)
    mesh.uv_layers.active.data.foreach_get("uv", uv.ravel())
    return vertices.astype(np.float64), faces.astype(np.int64), uv.astype(np.float64)
