"""A cylinder for a body and a tube around it for a garment: the least that can be dressed."""

import numpy as np

from garments.garment import Fabric, Garment
from synth.types import DressedGarment

COTTON = Fabric(name="cotton", density=0.18, stretch=15.0, shear=5.0, bend=0.5, friction=5.0)


def tube(radius, low, high, around=24, rows=12):
    """Vertices (rows * around, 3), Z up, and quads that face outwards."""
    angle, height = np.linspace(0, 2 * np.pi, around, endpoint=False), np.linspace(low, high, rows)
    vertices = np.stack(
        [
            np.tile(radius * np.cos(angle), rows),
            np.tile(radius * np.sin(angle), rows),
            np.repeat(height, around),
        ],
        axis=1,
    )
    row, column = (index.ravel() for index in np.meshgrid(np.arange(rows - 1), np.arange(around), indexing="ij"))
    after = (column + 1) % around
    start, above = row * around, (row + 1) * around
    return vertices, np.stack([start + column, start + after, above + after, above + column], axis=1)


def triangles(quads):
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def swaying(vertices, frames, reach=0.1, turn=0.6):
    """The vertices (T, V, 3) as they sway and turn about the Z axis, starting at rest."""
    phase = np.linspace(0, 1, frames) ** 2 * 2 * np.pi if frames > 1 else np.zeros(1)
    cos, sin = np.cos(turn * np.sin(phase)), np.sin(turn * np.sin(phase))
    x, y, z = vertices.T
    return np.stack(
        [
            cos[:, None] * x - sin[:, None] * y + reach * np.sin(phase)[:, None],
            sin[:, None] * x + cos[:, None] * y,
            np.broadcast_to(z, (frames, len(z))),
        ],
        axis=2,
    )


def garment(vertices, quads, name="tube", pins=None, covers="upper", loose=False, layer=0):
    count = len(vertices)
    pins = np.zeros(count) if pins is None else pins
    return Garment(
        name=name,
        layer=layer,
        covers=covers,
        vertices=vertices,
        faces=quads,
        uv=np.zeros((len(quads), 4, 2)),
        pins=pins,
        goals=np.maximum(pins, 0.9),
        loose=loose,
        fabric=COTTON,
        source="",
        licence="",
    )


def dressed_cylinder(frames=20, offset=0.015, name="tube", layer=0, **sway):
    """A garment, its body (T, V, 3) and the body's triangles."""
    body, body_quads = tube(0.15, 0.0, 1.0, around=36, rows=30)
    vertices, quads = tube(0.15 + offset, 0.3, 0.8, around=30, rows=16)
    pins = np.clip((vertices[:, 2] - 0.72) / 0.06, 0, 1)
    worn = DressedGarment(
        garment=garment(vertices, quads, name=name, pins=pins, layer=layer),
        rest_vertices=vertices,
        lbs_weights=np.eye(24)[np.zeros(len(vertices), dtype=int)],
        skinned_world=swaying(vertices, frames, **sway),
    )
    return worn, swaying(body, frames, **sway), triangles(body_quads)
