"""Hair and shoes: made like garments, but never simulated. They follow the skin of head and feet."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from garments import catalog
from garments.garment import Garment
from synth.body import lbs
from synth.body.shape import rest_pose
from synth.cloth.dress import dress
from synth.cloth.figure import Figure
from synth.cloth.hair import HEAD_PART, HairStyle, hair, strand_uv
from synth.cloth.shoes import ShoeStyle, shoe_uv, shoes
from synth.errors import SynthError
from synth.geometry.triangles import ClosestPoint
from synth.spec import GarmentSpec
from synth.types import BodyModel, Quality, SimulatedClip

__all__ = ["ITEMS", "made", "with_items"]

Array = np.ndarray

ITEMS: dict[str, HairStyle | ShoeStyle] = {
    "hair_short": HairStyle(line=(0.30, 0.38, 0.46, 0.50, 0.66, 0.78, 0.84, 0.86), thick=0.010, top=0.014),
    "hair_bob": HairStyle(
        line=(0.02, 0.0, 0.0, 0.0, 0.10, 0.62, 0.84, 0.87), thick=0.016, fall=-0.05, parting=0.006, clump=0.003
    ),
    "hair_long": HairStyle(
        line=(-0.12, -0.13, -0.12, -0.10, 0.05, 0.60, 0.84, 0.87),
        thick=0.016,
        fall=-0.05,
        parting=0.006,
        ragged=0.002,
        across=40,
    ),
    "hair_bun": HairStyle(
        line=(0.36, 0.42, 0.50, 0.56, 0.68, 0.78, 0.84, 0.87), thick=0.007, bun=0.038, clump=0.0015, ragged=0.003
    ),
    "hair_curly": HairStyle(
        line=(0.28, 0.36, 0.46, 0.56, 0.68, 0.78, 0.85, 0.87), thick=0.040, top=0.010, curls=0.006, clump=0.0015
    ),
    "sneakers": ShoeStyle(opening=0.012, thick=0.007, sole=0.024),
    "flats": ShoeStyle(opening=-0.008, slope=0.1, thick=0.005, sole=0.012, welt=0.002, rows=22),
    "boots": ShoeStyle(opening=0.11, thick=0.007, sole=0.026, rows=36),
}
"""The hair and shoes there are patterns for, and their measures."""

_FABRIC = {HairStyle: "silk", ShoeStyle: "leather"}


def made(name: str, body: BodyModel) -> tuple[Garment, dict[str, Any]]:
    """Make hair or shoes.

    Args:
        name: One of ITEMS.
        body: The body they are made on: the free neutral one.

    Returns:
        The item as a garment that covers "head" or "feet", and its parameters.

    Raises:
        SynthError: no pattern of that name.
    """
    if name not in ITEMS:
        raise SynthError(f"garment {name!r}: no pattern of that name", f"Patterns: {', '.join(ITEMS)}")
    style = ITEMS[name]
    origin, betas = np.zeros((1, 3)), np.zeros(body.shapedirs.shape[2])
    vertices, joints = lbs.posed(body, betas, origin, rest_pose()[None], origin)
    figure = Figure(vertices=vertices[0], faces=body.faces, face_parts=body.face_parts, joints=joints[0])
    placed, faces, uv, covers = _mesh(figure, style)
    below = ClosestPoint(vertices[0], body.faces)(placed, exact=True)
    garment = Garment(
        name=name,
        layer=0,
        covers=covers,
        vertices=placed,
        faces=faces,
        uv=uv,
        pins=np.ones(len(placed)),
        goals=np.ones(len(placed)),
        loose=False,
        fabric=catalog.fabrics()[_FABRIC[type(style)]],
        source="made for this project around its own free body",
        licence="CC0-1.0",
        region=body.face_parts[below.face].astype(np.int8),
    )
    return garment, dataclasses.asdict(style)


def _mesh(figure: Figure, style: HairStyle | ShoeStyle) -> tuple[Array, Int[Array, "F 4"], Array, str]:
    """Vertices, quads, texture coordinates, and what it covers."""
    if isinstance(style, ShoeStyle):
        placed, pattern = shoes(figure, style)
        faces = np.array(pattern.faces)
        return placed, faces, shoe_uv(placed, faces, style), "feet"
    placed, pattern = hair(figure, style)
    faces = np.array(pattern.faces)
    skull = figure.vertices[np.unique(figure.faces[figure.face_parts == HEAD_PART])]
    return placed, faces, strand_uv(placed, faces, 0.5 * (skull.min(axis=0) + skull.max(axis=0))), "head"


def with_items(clip: SimulatedClip, items: tuple[GarmentSpec, ...], body: BodyModel) -> SimulatedClip:
    """Put the clip's hair and shoes on; they come after the garments.

    Of their quality only what they have inside the body is measured: what follows the skin neither slips nor tears.

    Args:
        clip: The simulated clip.
        items: What is put on.
        body: The clip's body.
    """
    if not items:
        return clip
    worn = dress(body, clip.betas, items, clip.motion)
    skins = [ClosestPoint(vertices, body.faces) for vertices in clip.body_vertices_world]
    moved = {item.garment.name: item.skinned_world for item in worn}
    return dataclasses.replace(
        clip,
        garments=(*clip.garments, *worn),
        garment_vertices_world={**clip.garment_vertices_world, **moved},
        quality={**clip.quality, **{name: _measured(vertices, skins) for name, vertices in moved.items()}},
        solvers={**clip.solvers, **dict.fromkeys(moved, "skinned")},
    )


def _measured(vertices_world: Float[Array, "T Vg 3"], skins: list[ClosestPoint]) -> Quality:
    """How much of an item is inside the body in each frame."""
    distance = np.stack([skin(points).distance for skin, points in zip(skins, vertices_world, strict=True)])
    none = np.zeros(len(distance))
    measured = {field.name: none for field in dataclasses.fields(Quality) if field.name != "reasons"}
    measured |= {
        "penetration": (distance < -0.001).mean(axis=1),
        "deep_penetration": (distance < -0.005).mean(axis=1),
        "depth": np.maximum(-distance.min(axis=1), 0.0),
        "coverage": none + 1.0,
    }
    return Quality(**measured, reasons=())
