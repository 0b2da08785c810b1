"""Biovision's BVH. What cgspeed.com's conversion of the CMU database lost is put back here (`restore_lengths`).

Source of the format: Meredith and Maddock, "Motion capture file formats explained" (2001). Channels are applied in the
order in which they are listed, each about the axes that the ones before have turned.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synth.errors import SynthError
from synth.motion.skeleton import SkeletonMotion, axis_rotation

Array = np.ndarray

CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")
UNITS = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45)
"""Metre, centimetre, millimetre, inch, CMU's unit [m]."""
ABOVE_THORAX = ("Neck", "Head", "Shoulder", "Arm", "Hand", "Finger", "Thumb")
LEG = (0.65, 1.05)
"""Length of a leg (hip to ankle) of an adult [m]; tells the unit, which the format does not."""


@dataclass(slots=True, kw_only=True)
class Hierarchy:
    """The first half of a BVH file."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)


def read(path: Path, unit: float | None = None) -> SkeletonMotion:
    """Read a motion.

    Args:
        path: BVH file.
        unit: Metres in its unit of length; None finds the usual unit that makes the legs those of an adult.

    Returns:
        Points are the joints; the end of a chain is named after its last joint, with "_End".

    Raises:
        SynthError: the file is missing or malformed; names file and line.
    """
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}", "Give an existing BVH file") from None
    hierarchy, at = _hierarchy(lines, path)
    fps, values = _values(lines, at, sum(map(len, hierarchy.channels)), path)
    unit = _guess_unit(hierarchy, path) if unit is None else unit
    return restore_lengths(_posed(hierarchy, values, fps, unit, path.stem))


def restore_lengths(motion: SkeletonMotion) -> SkeletonMotion:
    """Give thorax and wrists their lengths back, which cgspeed's conversion of the CMU database lost.

    There neck and shoulders start where the thorax does, and fingers where the wrist bone does. In CMU's skeletons the
    thorax is about as long as the bone below it and points up at rest; the wrist bone is half the forearm and goes
    on in its direction. Compared with the ASF/AMC of 01_01 this is off by 3.7 mm at the neck and exact at the hands.
    """
    if not {"Spine", "Spine1", "Neck", "LeftArm", "RightArm"} <= set(motion.names):
        return motion
    rest = motion.rest
    spine, chest = motion.index("Spine"), motion.index("Spine1")
    above = [name for name in motion.names if any(part in name for part in ABOVE_THORAX)]
    motion = _lengthened(motion, "Spine1", above, np.array([0.0, np.linalg.norm(rest[chest] - rest[spine]), 0.0]))
    for side in ("Left", "Right"):
        if {f"{side}Hand", f"{side}ForeArm", f"{side}FingerBase"} <= set(motion.names):
            forearm = rest[motion.index(f"{side}Hand")] - rest[motion.index(f"{side}ForeArm")]
            beyond = [n for n in motion.names if n.startswith((f"{side}Finger", f"{side[0]}Finger", f"{side[0]}Thumb"))]
            motion = _lengthened(motion, f"{side}Hand", beyond, forearm / 2)
    return motion


def without_rest_frame(motion: SkeletonMotion) -> SkeletonMotion:
    """Drop the first frame if it is the skeleton's rest pose, which converters like to put there."""
    turned = np.arccos(np.clip((np.trace(motion.rotations[:2], axis1=-2, axis2=-1) - 1.0) / 2.0, -1.0, 1.0))
    at_rest = np.mean(turned < 0.4, axis=1)
    if len(motion) > 1 and at_rest[0] > 0.95 > at_rest[1]:
        return motion.frames(1, len(motion))
    return motion


def _lengthened(motion: SkeletonMotion, bone: str, beyond: list[str], lost: Float[Array, " 3"]) -> SkeletonMotion:
    """Move the points beyond a bone of length zero to where they belong, if it has length zero."""
    at, points = motion.index(bone), [motion.index(name) for name in beyond]
    if not points or np.linalg.norm(motion.rest[points] - motion.rest[at], axis=1).min() > 1e-6:
        return motion
    moved, rest = motion.points.copy(), motion.rest.copy()
    moved[:, points] += (motion.rotations[:, at] @ lost)[:, None]
    rest[points] += lost
    return replace(motion, points=moved, rest=rest)


def _hierarchy(lines: list[str], path: Path) -> tuple[Hierarchy, int]:
    """Read down to the line MOTION; also returns the number of lines read."""
    found, stack, current = Hierarchy(), [], -1
    for number, line in enumerate(lines, 1):
        words = line.split()
        where = f"{path}, line {number}"
        try:
            match words:
                case [] | ["HIERARCHY"]:
                    continue
                case ["MOTION"] if found.names and not stack:
                    if [] in found.offsets:
                        raise ValueError(f"joint {found.names[found.offsets.index([])]!r} has no OFFSET")
                    return found, number
                case ["ROOT" | "JOINT", name]:
                    current = _add(found, stack, name, words[0] == "ROOT")
                case ["End", "Site"]:
                    current = _add(found, stack, f"{found.names[stack[-1]]}_End", False)
                case ["{"]:
                    stack.append(current)
                case ["}"]:
                    stack.pop()
                case ["OFFSET", x, y, z]:
                    found.offsets[stack[-1]] = [float(x), float(y), float(z)]
                case ["CHANNELS", count, *channels] if len(channels) == int(count) and set(channels) <= set(CHANNELS):
                    found.channels[stack[-1]] = channels
                case _:
                    raise ValueError(f"cannot make sense of {line.strip()!r}")
        except IndexError:
            raise SynthError(f"{where}: {line.strip()!r} outside of a joint's braces", "Is this a BVH file?") from None
        except ValueError as error:
            raise SynthError(f"{where}: {error}", "Is this a BVH file?") from None
    raise SynthError(f"{path}, line {len(lines)}: the file ends before MOTION", "The file may be cut off")


def _add(found: Hierarchy, stack: list[int], name: str, root: bool) -> int:
    if root != (not found.names) or root != (not stack) or name in found.names:
        raise ValueError(f"{name!r}: one ROOT, joints inside it, each name once")
    found.names.append(name)
    found.parents.append(stack[-1] if stack else -1)
    found.offsets.append([])
    found.channels.append([])
    return len(found.names) - 1


def _values(lines: list[str], at: int, width: int, path: Path) -> tuple[float, Float[Array, "T C"]]:
    """Rate [Hz] and the channels' values."""
    rest = [(number, line.split()) for number, line in enumerate(lines[at:], at + 1) if line.strip()]
    try:
        (_, first), (_, second) = rest[:2]
        count, seconds = int(first[first.index("Frames:") + 1]), float(second[second.index("Time:") + 1])
    except (ValueError, IndexError):
        raise SynthError(f"{path}, line {at + 1}: expected 'Frames: N' and 'Frame Time: S'") from None
    if not seconds > 0 or count < 1 or len(rest) - 2 != count:
        raise SynthError(f"{path}: {count} frames of {seconds} s announced, {len(rest) - 2} there", "Get it again")
    values = np.empty((count, width))
    for row, (number, words) in zip(values, rest[2:], strict=True):
        if len(words) != width:
            raise SynthError(f"{path}, line {number}: expected {width} numbers, got {len(words)}")
        try:
            row[:] = [float(word) for word in words]
        except ValueError as error:
            raise SynthError(f"{path}, line {number}: {error}") from None
        if not np.isfinite(row).all():
            raise SynthError(f"{path}, line {number}: a number is not finite")
    # Frame times are rounded to a few digits: 0.0083333 s is 120 Hz.
    fps = 1.0 / seconds
    return float(round(fps)) if abs(fps - round(fps)) < 1e-3 * fps else fps, values


def _posed(hierarchy: Hierarchy, values: Array, fps: float, unit: float, source: str) -> SkeletonMotion:
    """Forward kinematics."""
    frames, joints = len(values), len(hierarchy.names)
    points, rest = np.empty((frames, joints, 3)), np.zeros((joints, 3))
    rotations = np.empty((frames, joints, 3, 3))
    column = 0
    for j, parent in enumerate(hierarchy.parents):
        offset = np.tile(np.array(hierarchy.offsets[j]), (frames, 1))
        turn = np.broadcast_to(np.eye(3), (frames, 3, 3))
        for channel in hierarchy.channels[j]:
            axis, value = channel[0].lower(), values[:, column]
            if channel.endswith("position"):
                offset[:, "xyz".index(axis)] = value
            else:
                turn = turn @ axis_rotation(axis, np.deg2rad(value))
            column += 1
        if parent < 0:
            points[:, j], rotations[:, j] = offset * unit, turn
            continue
        points[:, j] = points[:, parent] + (rotations[:, parent] @ offset[..., None])[..., 0] * unit
        rotations[:, j] = rotations[:, parent] @ turn
        rest[j] = rest[parent] + np.array(hierarchy.offsets[j]) * unit
    return SkeletonMotion(
        convention="bvh",
        fps=fps,
        names=tuple(hierarchy.names),
        points=points,
        rotations=rotations,
        rest=rest,
        source=source,
    )


def _guess_unit(hierarchy: Hierarchy, path: Path) -> float:
    lengths = dict(zip(hierarchy.names, np.linalg.norm(hierarchy.offsets, axis=1), strict=True))
    leg = lengths["LeftLeg"] + lengths["LeftFoot"] if {"LeftLeg", "LeftFoot"} <= lengths.keys() else 0.0
    for unit in UNITS:
        if LEG[0] <= leg * unit <= LEG[1]:
            return unit
    raise SynthError(f"{path}: cannot tell the unit from the legs (LeftLeg, LeftFoot: {leg:.3g})", "Give --unit")
