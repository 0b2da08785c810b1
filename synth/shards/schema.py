"""Names, types, scales and chunks of everything in a shard: the one source of truth for writing, reading and checking.

A shard is one HDF5 file. Its attribute `layout` (JSON of a `Layout`) fixes how many frames, views, vertices and
garments there are; from it follows the whole list of datasets (`expected`), each with its shape and type.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from synth.errors import SynthError

Array = np.ndarray

__all__ = [
    "ATTRIBUTES",
    "CONVENTIONS",
    "LATER",
    "SCHEMA_VERSION",
    "Dataset",
    "Expected",
    "Layout",
    "decode",
    "encode",
    "expected",
]

SCHEMA_VERSION = 1

CONVENTIONS = """\
World: right-handed, Z up, metres, radians. SMPL's own rest frame: Y up, facing +Z, left hand on +X.
Camera: x right, y down, z forward; x_camera = T_camera_world @ x_world; the rotation's determinant is +1; K in pixels.
Pixels: origin at the picture's top-left corner, the first pixel's centre is (0.5, 0.5); 2D points are never rounded.
SMPL: x = R(global_orient) (v - J0) + J0 + transl, J0 being the shaped body's rest pelvis; the pelvis is at J0 + transl.
views/k/smpl_camera holds global_orient and transl for the camera's frame; body_pose and betas stay the same.
Depth: planar z of the pixel's centre, 0 where there is no surface. Normals: camera frame, facing the camera (z < 0).
Flow: forward, t -> t+1, (dx, dy), image axes; flow_valid is 0 for frames without a next one.
Parts: SMPL joint index + 1, 0 for the background; under cloth the part beneath it.
Garments: 0 for skin and background, else 1 + position in the layout's list of garments (innermost first).
Visibility: 0 visible, 1 outside the picture, 2 hidden by the body, 3 hidden by cloth.
Box: x0, y0, x1, y1 of the outer edges of the person's pixels, NaN where the person is not seen.
Joints: SMPL's 24, in SMPL's order. Physical value = stored value x the dataset's attribute `scale`."""

ATTRIBUTES = {
    "schema_version": "number of this schema",
    "clip_id": "16 hexadecimal digits, digest of the spec",
    "spec": "synth.spec.ClipSpec as canonical JSON",
    "config": "the resolved configuration of the run as JSON",
    "commit": "commit of the code that made the shard",
    "bpy_version": "version of Blender's module",
    "device": "kind of device that rendered it",
    "body_model": "JSON: name, gender and sha256 of the body model",
    "conventions": "frames, units and signs, in words",
    "fps": "frames per second",
    "layout": "JSON: counts from which the shape of every dataset follows",
    "cloth": "JSON: the solver that moved each garment, and simulations until the quality gate let the clip pass",
}
LATER = {"cloth": "{}"}
"""Attributes that the first shards lack, and what they mean there."""

_LIMITS = {
    "frames": 10**6,
    "views": 1024,
    "height": 16384,
    "width": 16384,
    "vertices": 10**6,
    "faces": 10**7,
    "betas": 1000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The counts that fix the shape of every dataset."""

    frames: int
    views: int
    height: int
    width: int
    vertices: int
    """Of the body."""
    faces: int
    """Of the body."""
    betas: int
    garments: tuple[tuple[str, int, int], ...]
    """Name, vertices and faces of each garment, innermost first."""
    keypoint_sets: tuple[tuple[str, int], ...]
    """Name and size of each keypoint set."""

    def to_json(self) -> str:
        """One line of canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str, where: str) -> "Layout":
        """Read what `to_json` wrote, trusting nothing.

        Raises:
            SynthError: not such a JSON, or a count is out of all reason.
        """
        try:
            plain = json.loads(text)
            garments = tuple((_name(n), _count(v, 10**6), _count(f, 10**7)) for n, v, f in plain.pop("garments"))
            sets = tuple((_name(n), _count(k, 10**4)) for n, k in plain.pop("keypoint_sets"))
            counts = {name: _count(plain.pop(name), limit) for name, limit in _LIMITS.items()}
            if plain:
                raise ValueError(f"unknown field {next(iter(plain))!r}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SynthError(f"{where}: attribute 'layout' is not a shard's layout ({error})", _AGAIN) from None
        return Layout(garments=garments, keypoint_sets=sets, **counts)


_AGAIN = "Delete the file and run the same `synth render` command again"


def _count(value: Any, limit: int) -> int:
    if type(value) is not int or not 0 <= value <= limit:
        raise ValueError(f"expected a count up to {limit}, got {value!r}")
    return value


def _name(value: Any) -> str:
    if type(value) is not str or not value or "/" in value or value.startswith(".") or not value.isprintable():
        raise ValueError(f"expected a plain name, got {value!r}")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One array of the schema. Capital letters and names in `shape` are counts of the layout."""

    dtype: str
    shape: tuple[str | int, ...]
    unit: str
    about: str
    scale: float = 1.0
    """Physical value over stored value, for quantised maps."""
    store: str = "plain"
    """"plain"; "frames": compressed, one chunk a frame; "mesh": the same, rounded to 2^-16 m; "once": one chunk."""
    nan: bool = False
    """Whether NaN is a legal value."""


def _dataset(dtype: str, shape: str, unit: str, about: str, **more: Any) -> Dataset:
    dims = tuple(int(word) if word.isdigit() else word for word in shape.split())
    return Dataset(dtype=dtype, shape=dims, unit=unit, about=about, **more)


CLIP = {
    "smpl/global_orient": _dataset("<f8", "T 3", "rad", "root rotation in the world, axis-angle"),
    "smpl/body_pose": _dataset(
        "<f8", "T 23 3", "rad", "rotations of joints 1-23 relative to their parents, axis-angle"
    ),
    "smpl/betas": _dataset("<f8", "B", "1", "shape, in standard deviations"),
    "smpl/transl": _dataset("<f8", "T 3", "m", "translation in the world; the pelvis is at transl + J0(betas)"),
    "source_frames": _dataset("<f8", "T", "1", "frame numbers in the source, NaN for frames that were made", nan=True),
    "joints_world": _dataset("<f8", "T 24 3", "m", "SMPL's joints"),
    "vertices_world": _dataset("<f4", "T V 3", "m", "the body's vertices", store="mesh"),
    "faces": _dataset("<i4", "F 3", "1", "the body's triangles, counter-clockwise from outside", store="once"),
    "face_parts": _dataset("|u1", "F", "1", "part (1-24) of each triangle of the body", store="once"),
}
KEYPOINTS = _dataset("<f8", "T K 3", "m", "named keypoints regressed from the body's vertices")
GARMENT = {
    "vertices_world": _dataset("<f4", "T Vg 3", "m", "the garment's vertices", store="mesh"),
    "faces": _dataset("<i4", "Fg 4", "1", "quads; the last index is -1 for a triangle", store="once"),
    "face_parts": _dataset("|u1", "Fg", "1", "part of the body (1-24) beneath each face", store="once"),
}
QUALITY = {
    "penetration": _dataset("<f8", "T", "1", "share of vertices more than 1 mm inside the body"),
    "deep_penetration": _dataset("<f8", "T", "1", "share of vertices more than 5 mm inside the body"),
    "poke_through": _dataset("<f8", "T", "1", "share of the covered body's vertices in front of the garment"),
    "strain": _dataset("<f8", "T", "1", "mean absolute strain of the edges"),
    "coverage": _dataset("<f8", "T", "1", "share of the body covered at rest that still is"),
    "drift": _dataset("<f8", "T", "m", "distance of the centroid from where skinning puts it"),
    "speed_ratio": _dataset("<f8", "T", "1", "fastest garment vertex over fastest body vertex"),
}
VIEW = {
    "K": _dataset("<f8", "3 3", "px", "intrinsics"),
    "T_camera_world": _dataset("<f8", "T 4 4", "m", "x_camera = T_camera_world @ x_world"),
    "rgb": _dataset(
        "|u1", "bytes", "1", "JPEG files one after the other; frame t is rgb[rgb_offsets[t]:rgb_offsets[t + 1]]"
    ),
    "rgb_offsets": _dataset("<i8", "T+1", "1", "where each frame's JPEG begins"),
    "depth": _dataset("<u2", "T H W", "m", "planar depth, 0 where there is no surface", scale=1e-3, store="frames"),
    "flow": _dataset("<i2", "T H W 2", "px", "forward optical flow (dx, dy)", scale=1 / 64, store="frames"),
    "flow_valid": _dataset("|u1", "T", "1", "1 where the frame's flow is meaningful"),
    "normal": _dataset("|i1", "T H W 3", "1", "unit normal in the camera's frame", scale=1 / 127, store="frames"),
    "parts": _dataset("|u1", "T H W", "1", "body part (1-24), 0 for the background", store="frames"),
    "garments": _dataset("|u1", "T H W", "1", "1 + garment, 0 for skin and background", store="frames"),
    "keypoints_2d": _dataset("<f8", "T 24 2", "px", "SMPL's joints in the picture, NaN behind the camera", nan=True),
    "joints_camera": _dataset("<f8", "T 24 3", "m", "SMPL's joints in the camera's frame"),
    "visibility": _dataset("|u1", "T 24", "1", "0 visible, 1 outside, 2 hidden by the body, 3 hidden by cloth"),
    "bbox": _dataset("<f8", "T 4", "px", "x0, y0, x1, y1 of the person's pixels", nan=True),
    "smpl_camera/global_orient": _dataset("<f8", "T 3", "rad", "SMPL's root rotation in the camera's frame"),
    "smpl_camera/transl": _dataset("<f8", "T 3", "m", "SMPL's translation in the camera's frame"),
}
CHECKSUMS = ("checksums/name", "checksums/sha256")
"""Two string columns: the path of each dataset (and "attributes"), and the SHA-256 of its decoded content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One dataset of a given shard; -1 in the shape: any length."""

    kind: Dataset
    shape: tuple[int, ...]

    @property
    def chunk(self) -> tuple[int, ...] | None:
        """Shape of a chunk, None for contiguous storage."""
        if 0 in self.shape or self.kind.store == "plain":
            return None
        return self.shape if self.kind.store == "once" else (1, *self.shape[1:])


def expected(layout: Layout) -> dict[str, Expected]:
    """Every dataset of a shard with this layout, by its path."""
    counts = {"T": layout.frames, "T+1": layout.frames + 1, "H": layout.height, "W": layout.width, "bytes": -1}
    counts |= {"V": layout.vertices, "F": layout.faces, "B": layout.betas}
    paths = {name: _concrete(kind, counts) for name, kind in CLIP.items()}
    for name, size in layout.keypoint_sets:
        paths[f"keypoints_world/{name}"] = _concrete(KEYPOINTS, counts | {"K": size})
    for garment, vertices, faces in layout.garments:
        own = counts | {"Vg": vertices, "Fg": faces}
        paths |= {f"garments/{garment}/{name}": _concrete(kind, own) for name, kind in GARMENT.items()}
        paths |= {f"quality/{garment}/{name}": _concrete(kind, own) for name, kind in QUALITY.items()}
    for view in range(layout.views):
        paths |= {f"views/{view}/{name}": _concrete(kind, counts) for name, kind in VIEW.items()}
    return paths


def _concrete(kind: Dataset, counts: dict[str, int]) -> Expected:
    return Expected(kind=kind, shape=tuple(n if isinstance(n, int) else counts[n] for n in kind.shape))


def encode(kind: Dataset, values: Any, where: str) -> Array:
    """Bring physical values into their stored form: quantised, rounded, little-endian.

    Args:
        kind: The dataset.
        values: Physical values in the dataset's unit.
        where: What it is, for the message.

    Returns:
        The array to store.

    Raises:
        SynthError: a value does not fit the stored type's range, or is not finite where it must be.
    """
    values, dtype = np.asarray(values), np.dtype(kind.dtype)
    if values.dtype.kind == "f" and not kind.nan and not np.isfinite(values).all():
        raise SynthError(f"{where}: {int((~np.isfinite(values)).sum())} values are not finite")
    if dtype.kind == "f":
        return (np.rint(values * 65536.0) / 65536.0 if kind.store == "mesh" else values).astype(dtype)
    if values.dtype.kind == "f":
        values = np.rint(values.astype(np.float64) / kind.scale)
    limits = np.iinfo(dtype)
    if values.size and not (limits.min <= values.min() and values.max() <= limits.max):
        largest = max(abs(float(values.min())), abs(float(values.max()))) * kind.scale
        raise SynthError(f"{where}: {largest:g} {kind.unit} does not fit into {dtype.name} x {kind.scale:g}")
    return values.astype(dtype)


def decode(kind: Dataset, stored: Array) -> Array:
    """Bring stored values into physical units: float32 for quantised maps, unchanged otherwise."""
    return stored if kind.scale == 1.0 else stored.astype(np.float32) * np.float32(kind.scale)
