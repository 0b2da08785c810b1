"""Garments over a moving body in headless Blender, by the cloth or the soft-body solver, frame by frame.

All garments live in one scene: each is an obstacle for those worn over it, and never the other way round.
"""

import dataclasses
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy as _bpy
import numpy as np
from jaxtyping import Float, Float32, Int

from synth.blender import session
from synth.cloth.settings import (
    ClothSettings,
    SoftBodySettings,
    SolverSettings,
    cloth_distance,
    cloth_settings,
    collider_settings,
    collider_share,
    goal_weights,
    pace,
    softbody_settings,
)
from synth.geometry.triangles import ClosestPoint
from synth.types import DressedGarment

Array = np.ndarray
OnFrame = Callable[[int, int], None]

__all__ = ["solve"]

bpy: Any = _bpy

_log = logging.getLogger(__name__)

_LOST = 20.0
"""A vertex this far from where skinning puts it [m] is gone for good; going on only costs time."""


def solve(
    dressed: tuple[DressedGarment, ...],
    body_vertices_world: Float[Array, "S V 3"],
    faces: Int[Array, "F 3"],
    fps: float,
    settings: SolverSettings,
    on_frame: OnFrame | None = None,
    log: Path | int | None = None,
) -> dict[str, Float32[Array, "S Vg 3"]]:
    """Simulate an outfit.

    Args:
        dressed: The garments, innermost first. Their first frame, clear of the body, is the cloth's rest shape.
        body_vertices_world: The body in every frame [m].
        faces: The body's triangles.
        fps: Frame rate of the frames given [Hz].
        settings: Solver and accuracy.
        on_frame: Called with (frames done, frames in all).
        log: Where Blender's own output goes; None leaves it on the terminal.

    Returns:
        Vertices of each garment by name [m]. From the frame in which a solver blew up on, all are NaN.

    Raises:
        ValueError: the garments and the body differ in their number of frames.
    """
    frames = len(body_vertices_world)
    for worn in dressed:
        if len(worn.skinned_world) != frames:
            raise ValueError(f"{worn.garment.name}: {len(worn.skinned_world)} frames, the body has {frames}")
    taken = {worn.garment.name: settings.of(worn.garment.name) for worn in dressed}
    if all(own.solver == "skinned" for own in taken.values()):
        return {worn.garment.name: worn.skinned_world.astype(np.float32) for worn in dressed}
    with session.output_to(log), tempfile.TemporaryDirectory(prefix="synth-cloth-") as place:
        folder = Path(place)
        scene = session.empty_scene()
        scene.frame_start, scene.frame_end = 1, frames
        kinds = {(own.solver, own.close) for own in taken.values() if own.solver != "skinned"}
        bodies = {kind: _body(folder, body_vertices_world, faces, *kind) for kind in sorted(kinds)}
        speed = pace(body_vertices_world, fps)
        things: list[Any] = []
        for position, worn in enumerate(dressed):
            own = taken[worn.garment.name]
            kind = own.solver, own.close
            obstacles = [bodies[kind], *things] if kind in bodies else []
            things.append(_garment(folder, worn, fps, own, obstacles, speed))
            if worn is not dressed[-1]:
                outer = taken[dressed[position + 1].garment.name]
                _make_obstacle(things[-1], worn.garment.fabric.friction, outer.solver, outer.close)
        try:
            return _step(scene, dressed, things, frames, on_frame)
        finally:
            session.empty_scene()  # or Blender looks for the folder's files whenever it evaluates the scene again


def _assign(target: Any, values: Any) -> None:
    for field in dataclasses.fields(values):
        setattr(target, field.name, getattr(values, field.name))


def _body(folder: Path, vertices: Float[Array, "S V 3"], faces: Int[Array, "F 3"], solver: str, close: bool) -> Any:
    share = collider_share(solver)
    if share < 1:
        vertices, faces = _coarser(vertices, faces, share)
    path = folder / f"body-{solver}{'-close' if close else ''}.pc2"
    session.write_pc2(path, vertices)
    body = session.mesh_object("body", vertices[0], faces)
    session.follow_file(body, path)
    _make_obstacle(body, 5.0, solver, close)
    return body


def _coarser(
    vertices: Float[Array, "S V 3"], faces: Int[Array, "F 3"], share: float
) -> tuple[Float[Array, "S P 3"], Int[Array, "Q 3"]]:
    """The body with fewer faces, the same in all frames: thinned out in the first, each vertex tied to the surface."""
    first = vertices[0].astype(np.float64)
    whole = session.mesh_object("whole", first, faces)
    whole.modifiers.new("thin", "DECIMATE").ratio = share
    whole.modifiers.new("triangles", "TRIANGULATE")
    thin = bpy.data.meshes.new_from_object(whole.evaluated_get(bpy.context.evaluated_depsgraph_get()))
    places, corners = np.empty(3 * len(thin.vertices)), np.empty(3 * len(thin.polygons), dtype=np.int32)
    thin.vertices.foreach_get("co", places)
    thin.polygons.foreach_get("vertices", corners)
    bpy.data.objects.remove(whole)
    tied = ClosestPoint(first, faces)(places.reshape(-1, 3))
    moved = sum(tied.barycentric[:, k, None] * vertices[:, faces[tied.face, k]] for k in range(3))
    return np.asarray(moved), corners.reshape(-1, 3)


def _make_obstacle(thing: Any, friction: float, solver: str, close: bool) -> None:
    thing.modifiers.new("obstacle", "COLLISION")
    _assign(thing.collision, collider_settings(friction, solver, close))


def _garment(
    folder: Path, worn: DressedGarment, fps: float, settings: SolverSettings, obstacles: list[Any], speed: float
) -> Any:
    """Make a garment that starts skinned, and let the solver take it from there."""
    garment, start = worn.garment, worn.skinned_world[0]
    path = folder / f"{garment.name}.pc2"
    session.write_pc2(path, worn.skinned_world)
    thing = session.mesh_object(garment.name, start, garment.faces)
    # The skinned motion comes before the solver: it is where pinned vertices are held and where goals pull to.
    session.follow_file(thing, path)
    corners = start[garment.triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = float(np.linalg.norm(normal, axis=1).sum()) / 2
    around = bpy.data.collections.new(f"around {garment.name}")
    for obstacle in obstacles:
        around.objects.link(obstacle)
    if settings.solver == "cloth":
        numbers = cloth_settings(garment, area, fps, settings, speed)
        cache = _add_cloth(thing, worn, numbers, settings, around)
    elif settings.solver == "softbody":
        cache = _add_softbody(thing, worn, softbody_settings(garment, area, fps, settings, speed), settings, around)
    else:
        return thing
    cache.frame_start, cache.frame_end = 1, len(worn.skinned_world)
    return thing


def _weight_group(thing: Any, weights: Float[Array, " Vg"]) -> str:
    group = thing.vertex_groups.new(name="held")
    for vertex in np.flatnonzero(weights > 0).tolist():
        group.add([vertex], float(weights[vertex]), "REPLACE")
    return group.name


def _add_cloth(thing: Any, worn: DressedGarment, numbers: ClothSettings, settings: SolverSettings, around: Any) -> Any:
    """The cloth solver; returns its cache."""
    modifier = thing.modifiers.new("cloth", "CLOTH")
    _assign(modifier.settings, numbers)
    if worn.garment.pins.max() > 0:
        modifier.settings.vertex_group_mass = _weight_group(thing, worn.garment.pins)
    collisions = modifier.collision_settings
    collisions.use_collision = True
    collisions.collection = around
    collisions.collision_quality = settings.collisions
    collisions.distance_min = cloth_distance(close=settings.close)
    collisions.use_self_collision = settings.self_collision
    collisions.self_distance_min = 0.004
    return modifier.point_cache


def _add_softbody(
    thing: Any, worn: DressedGarment, numbers: SoftBodySettings, settings: SolverSettings, around: Any
) -> Any:
    """The soft-body solver; returns its cache."""
    modifier = thing.modifiers.new("softbody", "SOFT_BODY")
    _assign(modifier.settings, numbers)
    weights = goal_weights(worn.garment)
    modifier.settings.use_goal = bool(weights.max() > 0)
    if weights.max() > 0:
        modifier.settings.vertex_group_goal = _weight_group(thing, weights)
    modifier.settings.use_edges = True
    modifier.settings.collision_collection = around
    modifier.settings.use_self_collision = settings.self_collision
    return modifier.point_cache


def _step(
    scene: Any, dressed: tuple[DressedGarment, ...], things: list[Any], frames: int, on_frame: OnFrame | None
) -> dict[str, Float32[Array, "S Vg 3"]]:
    """Advance one frame at a time: the solvers' caches accept no jumps."""
    result = {
        worn.garment.name: np.full((frames, len(worn.garment.vertices), 3), np.nan, dtype=np.float32)
        for worn in dressed
    }
    for frame in range(frames):
        scene.frame_set(frame + 1)
        for worn, thing in zip(dressed, things, strict=True):
            vertices = session.evaluated_vertices(thing)
            strayed = np.abs(vertices - worn.skinned_world[frame]).max()
            if not strayed < _LOST:
                _log.warning("%s: the solver blew up in frame %d", worn.garment.name, frame)
                for name in result:
                    result[name][frame:] = np.nan
                return result
            result[worn.garment.name][frame] = vertices
        if on_frame is not None:
            on_frame(frame + 1, frames)
    return result
