"""Acclaim's ASF (skeleton) and AMC (motion), the files of the CMU motion capture database.

Source of the format: Lander, "Working with motion capture file formats" (1998). A bone's rotation is L = C M C^-1, C
being its axes at rest and M the turn that the AMC gives about them; a bone starts where its parent ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synth.errors import SynthError
from synth.motion.skeleton import SkeletonMotion, euler

Array = np.ndarray

INCH = 0.0254
CMU_FPS = 120.0
ROOT_ORDER = ("tx", "ty", "tz", "rx", "ry", "rz")


@dataclass(slots=True, kw_only=True)
class Bone:
    """One bone of an ASF skeleton."""

    direction: Float[Array, " 3"] | None = None
    length: float | None = None
    axis: Float[Array, " 3"] = field(default_factory=lambda: np.zeros(3))
    order: str = "xyz"
    dof: str = ""


@dataclass(slots=True, kw_only=True)
class Skeleton:
    """An ASF file."""

    path: Path
    bones: dict[str, Bone] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    """Bone -> parent, parents before their children."""
    unit: float = INCH / 0.45
    """Metres in a unit of length."""
    angle: float = np.pi / 180
    """Radians in a unit of angle."""
    root_order: tuple[str, ...] = ROOT_ORDER
    root_axis: str = "xyz"
    root_orientation: Float[Array, " 3"] = field(default_factory=lambda: np.zeros(3))


def read(asf: Path, amc: Path, fps: float = CMU_FPS) -> SkeletonMotion:
    """Read a motion of a skeleton.

    Args:
        asf: Skeleton.
        amc: Motion.
        fps: Rate [Hz]; the files do not say.

    Returns:
        Points are the bones' ends, besides "root".

    Raises:
        SynthError: a file is missing or malformed; names file and line.
    """
    skeleton = read_asf(asf)
    return pose(skeleton, read_amc(amc, skeleton), fps, amc.stem)


def read_asf(path: Path) -> Skeleton:
    """Read a skeleton.

    Raises:
        SynthError: the file is missing or malformed; names file and line.
    """
    skeleton = Skeleton(path=path)
    section, name, bone, number = "", "", Bone(), 0
    for number, words in _lines(path):
        if words[0].startswith(":"):
            section = words[0][1:].lower()
            continue
        try:
            if section == "units":
                _unit(skeleton, words)
            elif section == "root":
                _root(skeleton, words)
            elif section == "bonedata" and words[0] == "begin":
                name, bone = "", Bone()
            elif section == "bonedata" and words[0] == "end":
                _keep(skeleton, name, bone)
            elif section == "bonedata" and words[0] == "name":
                name = words[1]
            elif section == "bonedata":
                _bone(bone, words, skeleton.angle)
            elif section == "hierarchy" and words[0] not in ("begin", "end"):
                _children(skeleton, words)
        except (ValueError, IndexError) as error:
            raise SynthError(f"{path}, line {number}: {error}", "Get the skeleton file again") from None
    if not skeleton.bones or len(skeleton.parents) != len(skeleton.bones):
        lost = sorted(skeleton.bones.keys() - skeleton.parents.keys())
        raise SynthError(f"{path}, line {number}: bones without a place in the hierarchy: {lost or 'no bones at all'}")
    return skeleton


def read_amc(path: Path, skeleton: Skeleton) -> dict[str, Float[Array, "T D"]]:
    """Read the numbers of a motion, in the file's units.

    Args:
        path: AMC file.
        skeleton: Whose bones it moves.

    Returns:
        By bone: one column for each of its degrees of freedom, in their order.

    Raises:
        SynthError: the file is missing or malformed; names file and line.
    """
    expected = {"root": len(skeleton.root_order)} | {n: len(b.dof) for n, b in skeleton.bones.items() if b.dof}
    frames: list[dict[str, list[float]]] = []
    number, last = 0, 0
    for number, words in _lines(path):
        if words[0].startswith(":"):
            continue
        where = f"{path}, line {number}"
        if len(words) == 1 and words[0].isdigit():
            _whole(frames, expected, where, last)
            last = int(words[0])
            frames.append({})
        elif not frames:
            raise SynthError(f"{where}: expected a frame number, got {words[0]!r}", "Is this an AMC file?")
        elif len(words) - 1 != expected.get(words[0], -1):
            wanted = f"{expected[words[0]]} numbers" if words[0] in expected else "a bone of the skeleton that moves"
            raise SynthError(f"{where}: {words[0]}: expected {wanted}", f"Does it belong to {skeleton.path.name}?")
        else:
            frames[-1][words[0]] = _numbers(words[1:], where)
    _whole(frames, expected, f"{path}, line {number}", last)
    if not frames:
        raise SynthError(f"{path}: holds no frames")
    return {name: np.array([frame[name] for frame in frames]) for name in expected}


def pose(skeleton: Skeleton, values: dict[str, Float[Array, "T D"]], fps: float, source: str) -> SkeletonMotion:
    """Forward kinematics.

    Args:
        skeleton: Bones.
        values: From `read_amc`.
        fps: [Hz]
        source: To note in the motion.
    """
    columns = {name: values["root"][:, k] for k, name in enumerate(skeleton.root_order)}
    turn = np.stack([columns["r" + axis] for axis in skeleton.root_axis], axis=1) * skeleton.angle
    at_rest = euler(skeleton.root_axis, skeleton.root_orientation * skeleton.angle)
    rotations = {"root": at_rest @ euler(skeleton.root_axis, turn) @ at_rest.T}
    points = {"root": np.stack([columns["t" + axis] for axis in "xyz"], axis=1) * skeleton.unit}
    rest = {"root": np.zeros(3)}
    for name, parent in skeleton.parents.items():
        bone = skeleton.bones[name]
        assert bone.direction is not None
        assert bone.length is not None
        rotations[name] = rotations[parent]
        if bone.dof:
            axes = euler(bone.order, bone.axis)
            rotations[name] = rotations[parent] @ axes @ euler(bone.dof, values[name] * skeleton.angle) @ axes.T
        offset = bone.direction * bone.length * skeleton.unit
        points[name] = points[parent] + rotations[name] @ offset
        rest[name] = rest[parent] + offset
    return SkeletonMotion(
        convention="asf",
        fps=fps,
        names=tuple(points),
        points=np.stack(list(points.values()), axis=1),
        rotations=np.stack(list(rotations.values()), axis=1),
        rest=np.stack(list(rest.values())),
        source=source,
    )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbered lines in words, without comments and empty lines."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}", "Give an existing file") from None
    for number, line in enumerate(text.splitlines(), 1):
        if (words := line.split()) and not words[0].startswith("#"):
            yield number, words


def _numbers(words: list[str], where: str) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise SynthError(f"{where}: {error}") from None
    if not np.isfinite(numbers).all():
        raise SynthError(f"{where}: a number is not finite")
    return numbers


def _whole(frames: list[dict[str, list[float]]], expected: dict[str, int], where: str, last: int) -> None:
    if frames and (missing := expected.keys() - frames[-1].keys()):
        raise SynthError(f"{where}: frame {last} lacks {sorted(missing)[0]!r}", "The file may be cut off")


def _unit(skeleton: Skeleton, words: list[str]) -> None:
    if words[0] == "length":
        skeleton.unit = INCH / float(words[1])
    elif words[0] == "angle":
        if words[1] not in ("deg", "rad"):
            raise _unclear(words)
        skeleton.angle = np.pi / 180 if words[1] == "deg" else 1.0


def _root(skeleton: Skeleton, words: list[str]) -> None:
    if words[0] == "order":
        skeleton.root_order = tuple(word.lower() for word in words[1:])
        if sorted(skeleton.root_order) != sorted(ROOT_ORDER):
            raise _unclear(words)
    elif words[0] == "axis":
        skeleton.root_axis = _axes(words[1])
    elif words[0] == "orientation":
        skeleton.root_orientation = np.array([float(word) for word in words[1:4]])


def _bone(bone: Bone, words: list[str], angle: float) -> None:
    if words[0] == "direction":
        bone.direction = np.array([float(word) for word in words[1:4]])
        bone.direction /= np.linalg.norm(bone.direction)
    elif words[0] == "length":
        bone.length = float(words[1])
    elif words[0] == "axis":
        bone.axis, bone.order = np.array([float(word) for word in words[1:4]]) * angle, _axes(words[4])
    elif words[0] == "dof":
        if not all(word.lower() in ("rx", "ry", "rz") for word in words[1:]):
            raise _unclear(words)
        bone.dof = "".join(word.lower()[1] for word in words[1:])


def _keep(skeleton: Skeleton, name: str, bone: Bone) -> None:
    if not name or bone.direction is None or bone.length is None:
        raise ValueError(f"bone {name!r} lacks its name, direction or length")
    skeleton.bones[name] = bone


def _children(skeleton: Skeleton, words: list[str]) -> None:
    parent = words[0]
    if parent != "root" and parent not in skeleton.parents:
        raise ValueError(f"hierarchy: {parent!r} has no parent yet")
    for child in words[1:]:
        if child not in skeleton.bones or child in skeleton.parents:
            raise ValueError(f"hierarchy: {child!r} is unknown or has two parents")
        skeleton.parents[child] = parent


def _axes(word: str) -> str:
    axes = word.lower()
    if sorted(axes) != ["x", "y", "z"]:
        raise _unclear([word])
    return axes


def _unclear(words: list[str]) -> ValueError:
    return ValueError(f"cannot make sense of {' '.join(words)!r}")
