"""Between Blender's objects and Raiment's arrays. Blender's Z is up; a garment's Y is (SMPL's frame)."""

from typing import Any

import bpy
import numpy as np

PINS, GOALS = "pins", "goals"
"""Vertex groups of a garment."""
REGION = "region"
"""Attribute of a garment's vertices: the body part (1-24) that each covers, 0 where nobody said."""
OFF_SCALE = 0.25
"""Texture coordinates further from true scale than this are scaled to it on export."""


def to_blender(points: np.ndarray) -> np.ndarray:
    """Points (N, 3), Y up, as points with Z up."""
    return np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)


def from_blender(points: np.ndarray) -> np.ndarray:
    """Points (N, 3), Z up, as points with Y up."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


def add_mesh(name: str, points: np.ndarray, faces: np.ndarray, uv: np.ndarray | None = None) -> Any:
    """Make an object of triangles or quads (last index -1 for a triangle), with texture coordinates if given."""
    polygons = [[i for i in face if i >= 0] for face in faces.tolist()]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(points.tolist(), [], polygons)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(polygons), dtype=bool))
    if uv is not None:
        flat = np.concatenate([corners[: len(face)] for corners, face in zip(uv, polygons, strict=True)])
        mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", flat.astype(np.float32).ravel())
    mesh.update()
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def add_garment(garment: Any, vertices: np.ndarray) -> Any:
    """Make an object of a garment, with its marks."""
    thing = add_mesh(garment.name, to_blender(vertices), garment.faces, garment.uv)
    for name, weights in ((PINS, garment.pins), (GOALS, garment.goals)):
        group = thing.vertex_groups.new(name=name)
        for vertex in np.flatnonzero(weights > 0).tolist():
            group.add([vertex], float(weights[vertex]), "REPLACE")
    thing.data.attributes.new(REGION, "INT", "POINT").data.foreach_set("value", garment.region.astype(np.int32))
    marks = thing.raiment
    marks.kind, marks.layer, marks.covers, marks.loose = "GARMENT", garment.layer, garment.covers, garment.loose
    marks.fabric, marks.source, marks.licence = garment.fabric.name, garment.source, garment.licence
    return thing


def garment_of(thing: Any, name: str) -> Any:
    """Make a garment of a drawn object.

    Raises:
        ValueError: it cannot be one; the message says what to do.
    """
    from garments import catalog
    from garments.garment import Garment

    thing.update_from_editmode()
    mesh = thing.data
    if len(mesh.polygons) == 0:
        raise ValueError("the mesh has no faces")
    if max(len(polygon.vertices) for polygon in mesh.polygons) > 4:
        raise ValueError("the mesh has faces of more than four corners: dissolve or triangulate them")
    if mesh.uv_layers.active is None:
        raise ValueError("the mesh has no texture coordinates: mark seams and unwrap it")
    points = np.empty((len(mesh.vertices), 3))
    mesh.vertices.foreach_get("co", points.ravel())
    placed = points @ np.array(thing.matrix_world)[:3, :3].T + np.array(thing.matrix_world)[:3, 3]
    faces, uv = _faces(mesh)
    marks = thing.raiment
    pins = weights(thing, PINS)
    region = regions(thing)
    if (region == 0).any():
        region = np.where(region > 0, region, parts_beneath(from_blender(placed)))
    return Garment(
        name=name,
        layer=marks.layer,
        covers=marks.covers,
        vertices=from_blender(placed),
        faces=faces,
        uv=_true_scale(from_blender(placed), faces, uv),
        pins=pins,
        goals=np.maximum(weights(thing, GOALS, 0.9), pins),
        loose=marks.loose,
        fabric=catalog.fabrics()[marks.fabric],
        source=marks.source,
        licence=marks.licence,
        region=region.astype(np.int8),
    )


def _faces(mesh: Any) -> tuple[np.ndarray, np.ndarray]:
    """Corners (F, 4), -1 beyond a triangle's, and their texture coordinates (F, 4, 2)."""
    flat = np.empty(2 * len(mesh.loops), dtype=np.float32)
    mesh.uv_layers.active.data.foreach_get("uv", flat)
    faces, uv = np.full((len(mesh.polygons), 4), -1), np.zeros((len(mesh.polygons), 4, 2))
    for k, polygon in enumerate(mesh.polygons):
        count = len(polygon.vertices)
        faces[k, :count] = polygon.vertices
        uv[k, :count] = flat.reshape(-1, 2)[polygon.loop_start : polygon.loop_start + count]
    return faces, uv


def _true_scale(points: np.ndarray, faces: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Texture coordinates in metres: Blender's own fill the unit square."""
    cloth = np.linalg.norm(points[faces[:, 0]] - points[faces[:, 1]], axis=1).sum()
    cloth += np.linalg.norm(points[faces[:, 1]] - points[faces[:, 2]], axis=1).sum()
    flat = np.linalg.norm(uv[:, 0] - uv[:, 1], axis=1).sum() + np.linalg.norm(uv[:, 1] - uv[:, 2], axis=1).sum()
    if flat <= 0:
        raise ValueError("the texture coordinates are all one point: unwrap the mesh")
    ratio = cloth / flat
    return uv * ratio if abs(ratio - 1) > OFF_SCALE else uv


def weights(thing: Any, name: str, without: float = 0.0) -> np.ndarray:
    """A vertex group's weights (V,), or a constant where there is no such group."""
    group = thing.vertex_groups.get(name)
    if group is None:
        return np.full(len(thing.data.vertices), without)
    result = np.zeros(len(thing.data.vertices))
    for vertex in thing.data.vertices:
        for member in vertex.groups:
            if member.group == group.index:
                result[vertex.index] = member.weight
    return result


def regions(thing: Any) -> np.ndarray:
    """The body part (1-24) marked on each vertex (V,), 0 where none is."""
    result = np.zeros(len(thing.data.vertices), dtype=np.int32)
    attribute = thing.data.attributes.get(REGION)
    if attribute is not None and attribute.domain == "POINT" and attribute.data_type == "INT":
        attribute.data.foreach_get("value", result)
    return np.clip(result, 0, 24)


def mark_region(thing: Any, vertices: list[int], part: int) -> None:
    """Note the body part that these vertices cover."""
    marked = regions(thing)
    marked[vertices] = part
    attribute = thing.data.attributes.get(REGION) or thing.data.attributes.new(REGION, "INT", "POINT")
    attribute.data.foreach_set("value", marked)


def parts_beneath(points: np.ndarray) -> np.ndarray:
    """The part (1-24) of the body garments are drawn on that is closest to each point (N, 3), Y up."""
    from synth.body.model import load_named
    from synth.body.shape import rest_surface
    from synth.geometry.triangles import ClosestPoint

    body = load_named("free", "neutral")
    surface = rest_surface(body, np.zeros(body.shapedirs.shape[2]))
    return body.face_parts[ClosestPoint(surface, body.faces)(points).face]
