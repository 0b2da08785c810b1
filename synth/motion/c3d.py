"""Motion capture markers in C3D files, read without running anything of theirs.

Source of the format: Motion Lab Systems, "The C3D File Format User Guide" (2008). The file is made of blocks of 512
bytes: a header, parameters in named groups, then for each frame four words a point (x, y, z, residual) and the analogue
samples. Words are 16-bit integers times a scale, or floats if the scale is negative, in the order of bytes of an
Intel, a DEC or a MIPS processor.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synth.errors import SynthError

Array = np.ndarray
Parameters = dict[str, Array | list[str]]

BLOCK = 512
MAGIC = 0x50
INTEL, DEC, MIPS = 84, 85, 86
UNITS = {"mm": 1e-3, "cm": 1e-2, "dm": 1e-1, "m": 1.0, "in": 0.0254, "inch": 0.0254, "inches": 0.0254}
FARTHEST = 100.0
"""A marker farther from the origin than this [m] is no marker: the unit, or the file, is wrong."""
AXES = {"X": 0, "Y": 1, "Z": 2}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarkerMotion:
    """Captured markers: K labelled points over T frames. Metres, right-handed, Y up."""

    fps: float
    labels: tuple[str, ...]
    points: Float[Array, "T K 3"]
    """[m]; NaN where a marker was not seen."""
    source: str

    def __len__(self) -> int:
        return len(self.points)

    def frames(self, start: int, stop: int, step: int = 1) -> "MarkerMotion":
        """Cut out the frames [start, stop), keeping each step-th."""
        return MarkerMotion(
            fps=self.fps / step, labels=self.labels, points=self.points[start:stop:step], source=self.source
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    points: int
    analogue: int
    """Analogue words in a frame."""
    frames: int
    scale: float
    start: int
    """Of the frames in the file [bytes]."""
    rate: float


def read(path: Path) -> MarkerMotion:
    """Read the markers of a file.

    Labels lose the subject's name before a colon. A point without a label, or of a label met before, is left out. The
    vertical axis is the file's own Y_SCREEN (Z where it does not say).

    Args:
        path: C3D file.

    Raises:
        SynthError: the file is missing, cut off or no C3D file, or holds no labelled points; names file and field.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}", "Give an existing C3D file") from None
    try:
        processor, parameters = _parameters(content)
        header = _header(content, processor, parameters)
        words = _words(content, header, processor)
        labels = _labels(parameters, header.points)
        unit = _unit(parameters)
        up = _text(parameters, "POINT:Y_SCREEN", "+Z").upper()
    except (struct.error, IndexError, ValueError) as error:
        raise SynthError(f"{path}: not a whole C3D file ({error})", "Get it again") from None
    first = {label: k for k, label in reversed(list(enumerate(labels))) if label}
    kept = sorted(first.values())
    if not kept:
        raise SynthError(f"{path}: POINT:LABELS: no labelled points", "Label the markers in the capture software")
    points = words[:, kept, :3] * (unit if header.scale < 0 else unit * header.scale)
    lost = (words[:, kept, 3] < 0) | ~np.isfinite(points).all(-1) | (points == 0).all(-1)
    points[lost] = np.nan
    if lost.all() or np.nanmax(np.abs(points)) > FARTHEST:
        raise SynthError(f"{path}: no points within {FARTHEST:g} m of the origin", "Is POINT:UNITS right?")
    return MarkerMotion(
        fps=header.rate,
        labels=tuple(labels[k] for k in kept),
        points=_upright(points, up if up[1:] in AXES else "+Z"),
        source=path.stem,
    )


def _upright(points: Float[Array, "T K 3"], up: str) -> Float[Array, "T K 3"]:
    """Turn the axis that points up, such as "+Z", to Y; Z up comes to lie as in the CMU database's ASF files."""
    axis, sign = AXES[up[1:]], -1.0 if up[0] == "-" else 1.0
    turn = np.zeros((3, 3))
    turn[1, axis] = sign
    turn[0, (axis + 2) % 3] = 1.0
    turn[2] = np.cross(turn[0], turn[1])
    return points @ turn.T


def _parameters(content: bytes) -> tuple[int, Parameters]:
    """The processor and every parameter by "GROUP:NAME"."""
    if len(content) < 2 * BLOCK or content[1] != MAGIC:
        raise ValueError("it does not begin as one")
    at = (content[0] - 1) * BLOCK
    processor = content[at + 3]
    if processor not in (INTEL, DEC, MIPS):
        raise ValueError(f"processor type {processor}")
    order = ">" if processor == MIPS else "<"
    groups: dict[int, str] = {}
    found: list[tuple[int, str, Array | list[str]]] = []
    at += 4
    while content[at]:
        length, group = abs(struct.unpack_from("b", content, at)[0]), struct.unpack_from("b", content, at + 1)[0]
        name = content[at + 2 : at + 2 + length].decode("latin-1").upper().strip()
        at += 2 + length
        step = struct.unpack_from(order + "H", content, at)[0]
        if group < 0:
            groups[-group] = name
        else:
            found.append((group, name, _value(content, at + 2, processor)))
        if not step:
            break
        at += step
    return processor, {f"{groups.get(group, '')}:{name}": value for group, name, value in found}


def _value(content: bytes, at: int, processor: int) -> Array | list[str]:
    """One parameter's numbers in a row, or its strings."""
    kind, dimensions = struct.unpack_from("bB", content, at)
    shape = list(content[at + 2 : at + 2 + dimensions])
    at += 2 + dimensions
    count = int(np.prod(shape)) if shape else 1
    if at + count * abs(kind) > len(content):
        raise ValueError("it ends within the parameters")
    if kind == -1:
        width = shape[0] if shape else 1
        text = content[at : at + count].decode("latin-1")
        return [text[k * width : (k + 1) * width].strip(" \0") for k in range(count // width if width else 0)]
    if kind == 4:
        return _floats(content[at : at + 4 * count], processor)
    order = ">" if processor == MIPS else "<"
    types = {1: "B", 2: order + "i2"}
    return np.frombuffer(content, types.get(kind, "B"), count, at).astype(np.float64)


def _header(content: bytes, processor: int, parameters: Parameters) -> _Header:
    order = ">" if processor == MIPS else "<"
    points, analogue, first, last = struct.unpack_from(order + "4H", content, 2)
    scale, rate = (float(_floats(content[at : at + 4], processor)[0]) for at in (12, 20))
    start = (struct.unpack_from(order + "H", content, 16)[0] - 1) * BLOCK
    frames = last - first + 1
    # Counters of 16 bits: longer recordings keep theirs as two words in the group TRIAL.
    ends = [parameters.get(f"TRIAL:ACTUAL_{name}_FIELD") for name in ("START", "END")]
    if all(isinstance(end, np.ndarray) and len(end) == 2 for end in ends):
        begin, stop = (int(end[0]) + 65536 * int(end[1]) for end in ends if isinstance(end, np.ndarray))
        frames = stop - begin + 1 if stop - begin + 1 > frames else frames
    if points < 1 or frames < 1 or start < BLOCK or scale == 0 or not 0 < rate < 10_000:
        raise ValueError(f"header: {points} points, {frames} frames at {rate:g} Hz from byte {start}, scale {scale:g}")
    return _Header(points=points, analogue=analogue, frames=frames, scale=scale, start=start, rate=rate)


def _words(content: bytes, header: _Header, processor: int) -> Float[Array, "T K 4"]:
    """The points' four words in each frame; the fourth is negative where a point was not seen."""
    width = 4 * header.points + header.analogue
    size = 4 if header.scale < 0 else 2
    wanted = width * header.frames * size
    raw = content[header.start : header.start + wanted]
    if len(raw) < wanted:
        raise ValueError(f"{header.frames} frames announced, {len(raw) // (width * size)} there")
    if header.scale < 0:
        words = _floats(raw, processor)
    else:
        words = np.frombuffer(raw, ">i2" if processor == MIPS else "<i2").astype(np.float64)
    return words.reshape(header.frames, width)[:, : 4 * header.points].reshape(header.frames, header.points, 4)


def _floats(raw: bytes, processor: int) -> Float[Array, " N"]:
    """Single-precision numbers; a DEC's have their halves swapped and four times the value."""
    if processor == DEC:
        halves = np.frombuffer(raw, "<u2").reshape(-1, 2)[:, ::-1].astype("<u2")
        return np.ascontiguousarray(halves).view("<f4")[:, 0].astype(np.float64) / 4.0
    return np.frombuffer(raw, ">f4" if processor == MIPS else "<f4").astype(np.float64)


def _labels(parameters: Parameters, count: int) -> list[str]:
    """One label a point, without subject; empty for none. More than 255 go on in LABELS2 and so forth."""
    labels: list[str] = []
    for name in ("LABELS", "LABELS2", "LABELS3"):
        value = parameters.get(f"POINT:{name}")
        labels += value if isinstance(value, list) else []
    labels = [label.rpartition(":")[2].strip() for label in labels[:count]]
    labels = ["" if label.startswith("*") else label for label in labels]
    return labels + [""] * (count - len(labels))


def _unit(parameters: Parameters) -> float:
    name = _text(parameters, "POINT:UNITS", "mm").lower()
    if name not in UNITS:
        raise ValueError(f"POINT:UNITS: {name!r} is none of {', '.join(UNITS)}")
    return UNITS[name]


def _text(parameters: Parameters, name: str, default: str) -> str:
    value = parameters.get(name)
    return value[0] if isinstance(value, list) and value and value[0] else default
