"""Writes bodies and garments as Wavefront OBJ, which every 3D program reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from garments.garment import Garment
from synth.files import replacing

Array = np.ndarray

__all__ = ["write_obj"]


def write_obj(
    path: Path,
    body: Float[Array, "V 3"],
    faces: Int[Array, "F 3"],
    garments: Sequence[tuple[Garment, Float[Array, "_ 3"]]],
) -> None:
    """Write a body and what it wears as one file, an object each; whole or not at all.

    Args:
        path: The file.
        body: The body's vertices [m].
        faces: Its triangles.
        garments: Garments and their vertices on this body [m]; quads stay quads, texture coordinates are kept.
    """
    lines = ["o body", *_places("v", body), *("f " + " ".join(str(i + 1) for i in face) for face in faces.tolist())]
    vertex, texture = len(body), 0
    for garment, vertices in garments:
        lines += [f"o {garment.name}", *_places("v", vertices), *_places("vt", garment.uv.reshape(-1, 2))]
        for k, face in enumerate(garment.faces.tolist()):
            used = [(i, j) for j, i in enumerate(face) if i >= 0]
            lines.append("f " + " ".join(f"{vertex + i + 1}/{texture + 4 * k + j + 1}" for i, j in used))
        vertex, texture = vertex + len(vertices), texture + 4 * len(garment.faces)
    with replacing(path) as part:
        part.write_text("\n".join(lines) + "\n")


def _places(kind: str, points: Array) -> list[str]:
    return [f"{kind} " + " ".join(f"{value:.6f}" for value in point) for point in points.tolist()]
