"""Small things every use of headless Blender needs: an empty scene, meshes from arrays, moving meshes, a log file."""

import contextlib
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy as _bpy
import numpy as np
from jaxtyping import Float, Float32, Int

Array = np.ndarray

__all__ = ["empty_scene", "evaluated_vertices", "follow_file", "mesh_object", "output_to", "write_pc2"]

bpy: Any = _bpy  # its stubs know little


def empty_scene(threads: int = 1) -> Any:
    """Start again from a file with nothing in it.

    Args:
        threads: Threads Blender may use; one process per clip uses the machine better than many threads.

    Returns:
        The scene.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.threads_mode = "FIXED"
    scene.render.threads = threads
    return scene


def mesh_object(name: str, vertices: Float[Array, "V 3"], faces: Int[Array, "F K"], smooth: bool = True) -> Any:
    """Make a mesh and link it to the scene.

    Args:
        name: Name of the object and its mesh.
        vertices: Vertices [m].
        faces: Triangles, or quads whose last index is -1 for a triangle.
        smooth: Shade it smooth.
    """
    corners = np.asarray(faces)
    used = corners >= 0
    counts = used.sum(axis=1)
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(vertices, dtype=np.float32).ravel())
    mesh.loops.add(int(counts.sum()))
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(corners[used], dtype=np.int32))
    mesh.polygons.add(len(corners))
    mesh.polygons.foreach_set("loop_start", np.ascontiguousarray(np.cumsum(counts) - counts, dtype=np.int32))
    mesh.polygons.foreach_set("use_smooth", np.full(len(corners), smooth))
    mesh.update(calc_edges=True)
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def write_pc2(path: Path, positions: Float[Array, "S V 3"]) -> None:
    """Write a PC2 point cache: sample k is the shape in frame k + 1."""
    positions = np.ascontiguousarray(positions, dtype="<f4")
    frames, vertices, _ = positions.shape
    with path.open("wb") as file:
        file.write(struct.pack("<12siiffi", b"POINTCACHE2\0", 1, vertices, 1.0, 1.0, frames))
        positions.tofile(file)


def follow_file(thing: Any, path: Path) -> None:
    """Let an object take its shape, frame by frame from frame 1, from a PC2 file."""
    modifier = thing.modifiers.new("follow", "MESH_CACHE")
    modifier.cache_format = "PC2"
    modifier.filepath = str(path)
    modifier.frame_start = 1
    modifier.interpolation = "LINEAR"
    modifier.forward_axis, modifier.up_axis = "POS_Y", "POS_Z"


def evaluated_vertices(thing: Any) -> Float32[Array, "V 3"]:
    """Read an object's vertices after its modifiers, in the object's frame [m]."""
    evaluated = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    flat = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", flat)
    evaluated.to_mesh_clear()
    return flat.reshape(-1, 3)


@contextlib.contextmanager
def output_to(log: Path | int | None) -> Iterator[None]:
    """Send what Blender prints (its C code too, so by file descriptor) to a file while the block runs.

    Args:
        log: A file to append to, an open file descriptor, or None to leave the output alone.
    """
    if log is None:
        yield
        return
    target = log if isinstance(log, int) else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    _flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        for descriptor in (1, 2):
            os.dup2(target, descriptor)
        yield
    finally:
        _flush()
        for descriptor, original in zip((1, 2), kept, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        if not isinstance(log, int):
            os.close(target)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
