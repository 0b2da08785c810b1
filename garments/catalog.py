"""The garments there are: folders with a `garment.toml` (what it is) and a `rest.npz` (its mesh), and the fabrics.

Besides the project's own, those in the folders that the environment variable RAIMENT_GARMENTS names (separated like
those of PATH): garments of one's own are listed, fitted and worn like any other.
"""

import hashlib
import io
import itertools
import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from garments.garment import Fabric, Garment

__all__ = ["DATA", "OWN", "CatalogError", "digest", "fabrics", "load", "names", "save"]

DATA = Path(__file__).resolve().parent / "data"
"""Folder of the garments that come with the project."""

OWN = "RAIMENT_GARMENTS"
"""Environment variable that names more folders of garments."""

_ARRAYS = ("vertices", "faces", "uv", "pins", "goals")
_MARKS = {"region": np.int8, "seams": np.int64}
"""Arrays that a garment's file may lack."""


class CatalogError(ValueError):
    """A garment or fabric that is unknown, or whose files are bad; the message names it."""


def names(folder: Path | str | None = None) -> tuple[str, ...]:
    """Names of the garments in a folder (by default the project's and one's own), sorted.

    Raises:
        CatalogError: two garments have one name.
    """
    found = sorted(path.parent.name for place in _folders(folder) for path in place.glob("*/garment.toml"))
    if twice := [name for name, following in itertools.pairwise(found) if name == following]:
        raise CatalogError(f"garment {twice[0]}: {OWN} holds another of that name; rename its folder")
    return tuple(found)


def _folders(folder: Path | str | None) -> tuple[Path, ...]:
    if folder is not None:
        return (Path(folder),)
    own = [Path(place) for place in os.environ.get(OWN, "").split(os.pathsep) if place]
    return (DATA, *own)


@cache
def fabrics() -> dict[str, Fabric]:
    """The fabric presets by name."""
    return {name: Fabric(name=name, **values) for name, values in _toml(DATA / "fabrics.toml").items()}


def load(name: str, folder: Path | str | None = None) -> Garment:
    """Read a garment.

    Args:
        name: Its folder's name.
        folder: Where that folder is, by default among the project's or one's own.

    Raises:
        CatalogError: unknown name, unknown fabric, or bad files.
    """
    place = _place(name, folder)
    table = _toml(place / "garment.toml")
    try:
        with np.load(place / "rest.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in _ARRAYS}
            marks = {key: file[key].astype(kind) for key, kind in _MARKS.items() if key in file.files}
        return Garment(
            name=name,
            layer=table["layer"],
            covers=table["covers"],
            vertices=arrays["vertices"].astype(np.float64),
            faces=arrays["faces"].astype(np.int64),
            uv=arrays["uv"].astype(np.float64),
            pins=arrays["pins"].astype(np.float64),
            goals=arrays["goals"].astype(np.float64),
            loose=table["loose"],
            fabric=fabrics()[table["fabric"]],
            source=table["source"],
            licence=table["licence"],
            sizes={size: float(wider) for size, wider in table.get("sizes", {}).items() if size.isupper()}
            or {"M": 0.0},
            **marks,
        )
    except KeyError as error:
        raise CatalogError(f"garment {name}: {error} is missing in {place} or no known fabric") from None
    except (OSError, ValueError, IndexError) as error:
        raise CatalogError(f"garment {name}: {place / 'rest.npz'}: {error}") from None


def digest(name: str, folder: Path | str | None = None) -> str:
    """SHA-256 of a garment's files.

    Raises:
        CatalogError: unknown name.
    """
    place = _place(name, folder)
    total = hashlib.sha256()
    for file in ("garment.toml", "rest.npz"):
        content = (place / file).read_bytes()
        total.update(f"{file} {len(content)}\n".encode() + content)
    return total.hexdigest()


def save(garment: Garment, folder: Path | str | None = None, parameters: Mapping[str, Any] | None = None) -> Path:
    """Write a garment's folder; the same garment gives the same bytes.

    Args:
        garment: The garment. Coordinates are kept in single precision.
        folder: Where its folder goes, by default among the project's.
        parameters: What it was built from, kept for the record.

    Returns:
        The garment's folder.
    """
    place = Path(folder or DATA) / garment.name
    place.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    np.savez_compressed(
        packed,
        vertices=garment.vertices.astype("<f4"),
        faces=garment.faces.astype("<i4"),
        uv=garment.uv.astype("<f4"),
        pins=garment.pins.astype("<f4"),
        goals=garment.goals.astype("<f4"),
        region=garment.region.astype("|i1"),
        seams=garment.seams.astype("<i4"),
    )
    _replace(place / "rest.npz", packed.getvalue())
    _replace(place / "garment.toml", _described(garment, parameters or {}).encode())
    return place


def _described(garment: Garment, parameters: Mapping[str, Any]) -> str:
    """The garment's table."""
    edges = np.linalg.norm(np.diff(garment.vertices[garment.edges], axis=1)[:, 0], axis=1)
    lines = [
        f'covers = "{garment.covers}"  # "upper", "lower", "full", "head" or "feet"',
        f"layer = {garment.layer}  # a higher layer is worn over a lower one",
        f"loose = {str(garment.loose).lower()}  # may swing away from the body",
        f'fabric = "{garment.fabric.name}"  # what it is made of unless the clip says otherwise',
        f'source = "{garment.source}"',
        f'licence = "{garment.licence}"',
        f"pinned = {int((garment.pins > 0).sum())}  # vertices held to the body; rest.npz says how firmly",
        "",
        "[sizes]  # how much wider on every side [m]",
        *(f"{size} = {wider!r}" for size, wider in garment.sizes.items()),
        "",
        "[mesh]",
        f"vertices = {len(garment.vertices)}",
        f"faces = {len(garment.faces)}",
        f"edge_mm = {1000 * edges.mean():.2f}",
        f"seams = {len(garment.seams)}",
        f"area_m2 = {_area(garment):.3f}",
        "",
        "[parameters]",
        *(f"{key} = {_written(value)}" for key, value in parameters.items() if value is not None),
    ]
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)


def _area(garment: Garment) -> float:
    """Area of the cloth [m2]."""
    a, b, c = (garment.vertices[garment.triangles[:, i]] for i in range(3))
    return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())


def _place(name: str, folder: Path | str | None) -> Path:
    """Folder of a garment. A name is never a path."""
    known = names(folder)
    if name not in known:
        raise CatalogError(f"garment {name!r}: not known; there are {', '.join(known) or 'none'}")
    return next(place / name for place in _folders(folder) if (place / name / "garment.toml").exists())


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: {error}") from None


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
