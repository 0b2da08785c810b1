"""Simulated clips on disk: one .npz without pickle, whole or not there at all, under the spec's `simulation_id`."""

import dataclasses
import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from garments.garment import Fabric, Garment
from synth.errors import SynthError
from synth.files import replacing
from synth.spec import ClipSpec
from synth.types import BodyModel, DressedGarment, Motion, Quality, SimulatedClip

__all__ = ["Meshes", "load", "read_meshes", "save"]

Array = np.ndarray

_log = logging.getLogger(__name__)

_FORMAT = 2
_MOTION = ("global_orient", "body_pose", "transl", "source_frames")
_MESH = ("vertices", "faces", "uv", "pins", "goals", "region", "seams")
_DRESSED = ("rest_vertices", "lbs_weights", "skinned_world")
_MEASURES = tuple(field.name for field in dataclasses.fields(Quality) if field.name != "reasons")


def save(path: Path, spec: ClipSpec, clip: SimulatedClip) -> None:
    """Write a clip; a reader sees the old file or the new one, never half.

    Args:
        path: The file; its folder is made if need be.
        spec: What the clip was made from.
        clip: The clip.
    """
    header: dict[str, Any] = {
        "format": _FORMAT,
        "simulation_id": spec.simulation_id,
        "fps": clip.motion.fps,
        "source": clip.motion.source,
        "garments": [_plain(worn.garment) for worn in clip.garments],
        "solvers": dict(clip.solvers),
        "tries": clip.tries,
        "reasons": {name: quality.reasons for name, quality in clip.quality.items()},
    }
    arrays = {name: getattr(clip.motion, name) for name in _MOTION}
    arrays |= {name: getattr(clip, name) for name in ("betas", "body_vertices_world", "joints_world")}
    for k, worn in enumerate(clip.garments):
        name = worn.garment.name
        arrays |= {f"{k}.mesh.{field}": getattr(worn.garment, field) for field in _MESH}
        arrays |= {f"{k}.{field}": getattr(worn, field) for field in _DRESSED}
        arrays |= {f"{k}.quality.{field}": getattr(clip.quality[name], field) for field in _MEASURES}
        arrays[f"{k}.vertices_world"] = clip.garment_vertices_world[name]
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)


def load(path: Path, spec: ClipSpec, body: BodyModel) -> SimulatedClip | None:
    """Read a clip back.

    Args:
        path: The file.
        spec: What the clip is wanted for.
        body: The spec's body.

    Returns:
        The clip, or None if there is no usable file: a damaged one or one of another spec is to be made again.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        clip = _clip(json.loads(str(arrays.pop("header"))), arrays, spec)
        if clip.body_vertices_world.shape[1] != len(body.v_template):
            raise ValueError("it is of another body")
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        IndexError,
        zipfile.BadZipFile,
    ) as error:
        _log.warning("%s: the cached simulation is not usable (%s): it is made again", path, error)
        return None
    return clip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meshes:
    """The moving meshes of a cached clip."""

    body_vertices_world: Float[Array, "T V 3"]
    garments: tuple[tuple[Garment, Array], ...]
    """Each garment and its vertices (T, Vg, 3), innermost first [m]."""


def read_meshes(path: Path) -> Meshes:
    """Read a cached clip for looking at, whatever spec it was made from.

    Raises:
        SynthError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays["header"]))
        garments = tuple(
            (_garment(plain, arrays, k), arrays[f"{k}.vertices_world"]) for k, plain in enumerate(header["garments"])
        )
        return Meshes(body_vertices_world=arrays["body_vertices_world"], garments=garments)
    except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise SynthError(f"{path}: not a simulated clip ({error})", "Take a file of a run's simulation cache") from None


def _garment(plain: dict[str, Any], arrays: dict[str, np.ndarray], k: int) -> Garment:
    parts: dict[str, Any] = plain | {field: arrays[f"{k}.mesh.{field}"] for field in _MESH}
    parts["fabric"] = Fabric(**plain["fabric"])
    return Garment(**parts)


def _plain(garment: Garment) -> dict[str, Any]:
    plain = {f.name: getattr(garment, f.name) for f in dataclasses.fields(garment) if f.name not in _MESH}
    return plain | {"fabric": dataclasses.asdict(garment.fabric)}


def _clip(header: dict[str, Any], arrays: dict[str, np.ndarray], spec: ClipSpec) -> SimulatedClip:
    if header["format"] != _FORMAT or header["simulation_id"] != spec.simulation_id:
        raise ValueError("it is of another spec or version")
    garments, vertices, quality = [], {}, {}
    for k, plain in enumerate(header["garments"]):
        garment = _garment(plain, arrays, k)
        garments.append(DressedGarment(garment=garment, **{field: arrays[f"{k}.{field}"] for field in _DRESSED}))
        vertices[garment.name] = arrays[f"{k}.vertices_world"]
        measures = {field: arrays[f"{k}.quality.{field}"] for field in _MEASURES}
        quality[garment.name] = Quality(**measures, reasons=tuple(header["reasons"][garment.name]))
    return SimulatedClip(
        betas=arrays["betas"],
        motion=Motion(fps=header["fps"], source=header["source"], **{name: arrays[name] for name in _MOTION}),
        body_vertices_world=arrays["body_vertices_world"],
        joints_world=arrays["joints_world"],
        garments=tuple(garments),
        garment_vertices_world=vertices,
        quality=quality,
        solvers={str(name): str(solver) for name, solver in header["solvers"].items()},
        tries=int(header["tries"]),
    )
