"""Quick pictures of dressed bodies, drawn without Blender: a turntable, and a moving garment on one sheet.

Cloth carries a checked pattern of 4 cm squares taken from its texture coordinates: stretched cloth shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from garments.garment import Garment
from synth.geometry.triangles import rasterize, vertex_normals

__all__ = ["Layer", "bare", "clothed", "moving", "picture", "sheet", "turntable", "upright"]

Array = np.ndarray

_SQUARE = 0.04
_SKIN = (0.80, 0.62, 0.53)
_CLOTH = ((0.25, 0.42, 0.66), (0.72, 0.32, 0.28), (0.52, 0.50, 0.46))
_LIGHT = np.array([0.4, 0.5, 0.77])
_PAPER = 235
_AWAY = 20.0
"""Distance of the camera [m]; far, so that proportions are true."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """A surface to be drawn."""

    vertices: Float[Array, "V 3"]
    """[m], Y up."""
    triangles: Int[Array, "F 3"]
    colour: tuple[float, float, float]
    uv: Float[Array, "F 3 2"] | None = None
    """Texture coordinates of the corners [m]: draws checks."""


def bare(vertices: Float[Array, "V 3"], faces: Int[Array, "F 3"]) -> Layer:
    """A body [m]."""
    return Layer(vertices=vertices, triangles=faces, colour=_SKIN)


def clothed(garment: Garment, vertices: Float[Array, "Vg 3"], position: int = 0) -> Layer:
    """A garment [m]; its position in the outfit gives its colour."""
    quads = garment.faces[:, 3] >= 0
    uv = np.concatenate([garment.uv[:, :3], garment.uv[quads][:, [0, 2, 3]]])
    colour = _CLOTH[position % len(_CLOTH)]
    return Layer(vertices=vertices, triangles=garment.triangles, colour=colour, uv=uv)


def upright(vertices_world: Float[Array, "... 3"]) -> Float[Array, "... 3"]:
    """From the world's axes (Z up) to those drawn here (Y up)."""
    x, y, z = np.moveaxis(np.asarray(vertices_world, dtype=np.float64), -1, 0)
    return np.stack([x, z, -y], axis=-1)


def picture(
    layers: Sequence[Layer], turn: float, centre: Float[Array, " 3"], span: float, size: tuple[int, int]
) -> UInt8[Array, "H W 3"]:
    """Draw layers.

    Args:
        layers: What is seen.
        turn: From the front towards the body's left [rad].
        centre: Middle of the picture [m].
        span: Height of what fits into it [m].
        size: Width and height [px].
    """
    width, height = size
    cos, sin = np.cos(turn), np.sin(turn)
    facing = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    starts = np.cumsum([0, *(len(layer.vertices) for layer in layers)])
    points = np.concatenate([(layer.vertices - centre) @ facing.T for layer in layers])
    faces = np.concatenate([layer.triangles + start for layer, start in zip(layers, starts, strict=False)])
    focal = height / span * _AWAY
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    camera = points * [1, -1, -1] + [0, 0, _AWAY]
    _, face, barycentric = rasterize(camera, faces, K, width, height)
    seen = face >= 0
    colours = np.concatenate([_dyed(layer) for layer in layers])
    image = np.full((height, width, 3), float(_PAPER))
    image[seen] = 255 * _shaded(points, faces, face[seen], barycentric[seen], colours)
    return image.clip(0, 255).astype(np.uint8)


def _dyed(layer: Layer) -> Float[Array, "F 3"]:
    """Colour of each triangle; checks are as fine as the triangles."""
    colours = np.tile(np.array(layer.colour), (len(layer.triangles), 1))
    if layer.uv is not None:
        squares = np.floor(layer.uv.mean(axis=1) / _SQUARE).astype(int).sum(axis=1) % 2
        colours[squares == 1] *= 0.82
    return colours


def _shaded(points: Array, faces: Array, face: Array, barycentric: Array, colours: Array) -> Array:
    """Lambert's law with a little light everywhere; inner sides are darker."""
    smooth = vertex_normals(points, faces)
    normal = np.einsum("nk,nki->ni", barycentric, smooth[faces[face]])
    a, b, c = (points[faces[face, k]] for k in range(3))
    inside = np.cross(b - a, c - a)[:, 2] < 0
    normal[normal[:, 2] < 0] *= -1
    light = 0.35 + 0.65 * np.clip(normal @ _LIGHT, 0, 1)
    return colours[face] * (light * np.where(inside, 0.5, 1.0))[:, None]


def turntable(layers: Sequence[Layer], views: int = 8, size: tuple[int, int] = (240, 420)) -> Image.Image:
    """The same thing from so many sides, in one row."""
    points = np.concatenate([layer.vertices for layer in layers])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    span = 1.06 * float(np.ptp(points[:, 1]))
    span = max(span, 1.1 * float(np.ptp(points[:, 0])) * size[1] / size[0])
    return sheet([picture(layers, 2 * np.pi * k / views, centre, span, size) for k in range(views)], views)


def moving(
    frames: Sequence[Sequence[Layer]], turns: Sequence[float] = (0.5, 3.6), size: tuple[int, int] = (220, 300)
) -> Image.Image:
    """A motion: a row for each side it is seen from [rad], a column for each frame."""
    rows = []
    for turn in turns:
        for layers in frames:
            body = layers[0].vertices
            centre = (body.min(axis=0) + body.max(axis=0)) / 2
            rows.append(picture(layers, turn, centre, 2.0, size))
    return sheet(rows, len(frames))


def sheet(pictures: Sequence[UInt8[Array, "H W 3"]], columns: int) -> Image.Image:
    """Pictures of one size, row by row."""
    rows = [np.concatenate(pictures[k : k + columns], axis=1) for k in range(0, len(pictures), columns)]
    return Image.fromarray(np.concatenate(rows, axis=0))
