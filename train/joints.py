"""One vocabulary of body points, and every joint set that a data set uses as a list of names in it.

A point of the vocabulary means the same wherever it stands; two sets share a label exactly where they share a name.
"left" and "right" are the figure's own. What the sets of `synth.body.joints` call by one name and make of different
parts (OpenPose's neck lies between the shoulders, LSP's does not) has different names here. Points that no body model
defines (such as MPII's thorax) are kept, so that nothing is lost in reading and writing; `SOURCES` lacks them.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from synth.body.joints import JOINT_NAMES, KEYPOINT_SETS, LANDMARKS, left_right_pairs

Array = np.ndarray

__all__ = ["JOINT_SETS", "SOURCES", "VOCABULARY", "convert", "indices", "joint_set", "mirror"]

_RENAMED = {
    ("openpose25", "neck"): "mid_shoulder",
    ("h36m17", "pelvis"): "mid_hip",
    ("h36m17", "nose"): "jaw",
    ("h36m17", "thorax"): "neck",
    ("h36m17", "head"): "h36m_head",
}
"""Points of the body's keypoint sets whose name means something else in another set."""

_LIMBS_DOWN = "shoulder elbow wrist hip knee ankle"


def _both(parts: str, order: tuple[str, str] = ("left", "right")) -> str:
    """Each part on both sides, side by side: "hip knee" gives "left_hip right_hip left_knee right_knee"."""
    return " ".join(f"{side}_{part}" for part in parts.split() for side in order)


def _sides(parts: str, *order: str) -> str:
    """All parts of one side, then all of the other."""
    return " ".join(f"{side}_{part}" for side in order for part in parts.split())


_LEGS_LSP = "right_ankle right_knee right_hip left_hip left_knee left_ankle"
_ARMS_LSP = "right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist"

_OTHERS: dict[str, str] = {
    # OpenPose's COCO model, as 3DPW's poses2d
    "coco18": f"nose mid_shoulder {_sides('shoulder elbow wrist', 'right', 'left')} "
    f"{_sides('hip knee ankle', 'right', 'left')} right_eye left_eye right_ear left_ear",
    "mpii16": f"{_LEGS_LSP} mid_hip thorax neck head_top {_ARMS_LSP}",
    # right before left, whatever its README says: docs/real-data.md has the evidence
    "penn13": f"head_top {_both(_LIMBS_DOWN, ('right', 'left'))}",
    "posetrack17": f"nose neck head_top left_ear right_ear {_both(_LIMBS_DOWN)}",
    "mpi3d28": "mpi3d_spine3 mpi3d_spine4 mpi3d_spine2 spine mid_hip neck jaw h36m_head "
    f"{_sides('clavicle shoulder elbow wrist knuckle', 'left', 'right')} "
    f"{_sides('hip knee ankle instep toe', 'left', 'right')}",
    "mpi3d17": f"h36m_head neck {_sides('shoulder elbow wrist', 'right', 'left')} "
    f"{_sides('hip knee ankle', 'right', 'left')} mid_hip spine jaw",
    # the 24 that SPIN keeps beside OpenPose's 25
    "spin24": f"{_LEGS_LSP} {_ARMS_LSP} neck head_top mid_hip thorax spine jaw h36m_head nose {_both('eye ear')}",
    # InstaVariety: 14 points in LSP's order with heels for ankles, 5 of the face, 6 of the feet
    "insta25": "right_heel right_knee right_hip left_hip left_knee left_heel "
    f"{_ARMS_LSP} mid_shoulder head_top nose {_both('eye ear')} {_both('big_toe small_toe ankle')}",
}


def _points(name: str) -> tuple[str, ...]:
    """Names in the vocabulary of one of the body's own keypoint sets."""
    return tuple(_RENAMED.get((name, point), point) for point in KEYPOINT_SETS[name].names)


JOINT_SETS: dict[str, tuple[str, ...]] = {
    "smpl24": JOINT_NAMES,
    **{name: _points(name) for name in KEYPOINT_SETS},
    **{name: tuple(points.split()) for name, points in _OTHERS.items()},
}
"""Every joint set, as names of the vocabulary in the order of the data set."""

VOCABULARY: tuple[str, ...] = tuple(
    dict.fromkeys([*JOINT_NAMES, *LANDMARKS, *(point for points in JOINT_SETS.values() for point in points)])
)
"""Every point, SMPL's 24 joints first; itself a joint set by the name "vocabulary"."""

JOINT_SETS["vocabulary"] = VOCABULARY


def _sources() -> dict[str, Mapping[str, float]]:
    sources: dict[str, Mapping[str, float]] = {name: {name: 1.0} for name in (*JOINT_NAMES, *LANDMARKS)}
    for name, chosen in KEYPOINT_SETS.items():
        for point, source in zip(_points(name), chosen.sources, strict=True):
            if sources.setdefault(point, source) != source:
                raise AssertionError(f"{name}: {point} is made of {dict(source)}, elsewhere of {sources[point]}")
    return sources


SOURCES = _sources()
"""Weights of SMPL joints and landmarks that make a point, for points a body model defines (`synth.body.joints`)."""


def joint_set(name: str) -> tuple[str, ...]:
    """Names of a joint set's points.

    Raises:
        ValueError: there is no such set.
    """
    if name not in JOINT_SETS:
        raise ValueError(f"joint set: expected one of {', '.join(JOINT_SETS)}, got {name!r}")
    return JOINT_SETS[name]


def indices(source: str, target: str) -> Int[Array, " K"]:
    """Where each point of `target` stands in `source`, -1 for those it lacks."""
    place = {point: i for i, point in enumerate(joint_set(source))}
    return np.array([place.get(point, -1) for point in joint_set(target)], dtype=np.int64)


def convert(
    points: Float[Array, "*B K D"], valid: Bool[Array, "*B K"], source: str, target: str
) -> tuple[Float[Array, "*B L D"], Bool[Array, "*B L"]]:
    """Carry points over to another joint set by name.

    Args:
        points: Coordinates in the order of `source`, any unit.
        valid: Which of them are known.
        source: Name of their joint set.
        target: Name of the wanted one.

    Returns:
        Coordinates in the order of `target`, NaN where they are not known, and which of them are.

    Raises:
        ValueError: unknown set, or the number of points is not the set's.
    """
    if points.shape[-2] != len(joint_set(source)):
        raise ValueError(f"points: {source} has {len(joint_set(source))}, got {points.shape}")
    where = indices(source, target)
    known = valid[..., where] & (where >= 0)
    return np.where(known[..., None], points[..., where, :], np.nan), known


def mirror(name: str) -> Int[Array, " K"]:
    """Order that makes left points right ones and back; the others stay."""
    points = joint_set(name)
    order = np.arange(len(points))
    for left, right in left_right_pairs(points):
        order[[left, right]] = right, left
    return order


def merged(points: Float[Array, "T 49 3"]) -> tuple[Float[Array, "T P 2"], Float[Array, "T P"]]:
    """Bring SPIN's 49 points, OpenPose's 25 and 24 annotated ones, into the vocabulary.

    Where both name a point the annotated one counts, as the detection stands in for it only.

    Args:
        points: x, y [px] and confidence, 0 where unknown.

    Returns:
        Coordinates, NaN where unknown, and confidence in [0, 1].
    """
    known = np.isfinite(points).all(axis=-1) & (points[..., 2] > 0)
    detected, seen = convert(points[:, :25], known[:, :25], "openpose25", "vocabulary")
    annotated, given = convert(points[:, 25:], known[:, 25:], "spin24", "vocabulary")
    both = np.where(given[..., None], annotated, detected)
    return both[..., :2], np.where(given | seen, np.nan_to_num(both[..., 2]).clip(0, 1), 0.0)


def split_49(points: Float[Array, "T K 2"], confidence: Float[Array, "T K"], name: str) -> Float[Array, "T 49 3"]:
    """SPIN's 49 points from another joint set: the inverse of `merged`, for points SPIN knows.

    OpenPose's own points go to its 25, all others to the 24; zeros where nothing is known, as SPIN has it.
    """
    known = confidence > 0
    rows = np.concatenate([points, confidence[..., None]], axis=-1)
    parts = []
    for half in ("openpose25", "spin24"):
        part, valid = convert(rows, known, name, half)
        here = valid if (half == "openpose25") == (name == "openpose25") else np.zeros_like(valid)
        if half == "openpose25" and name != "openpose25":
            only = ~np.isin(joint_set(half), joint_set("spin24"))
            here = valid & only
        parts.append(np.where(here[..., None], part, 0.0))
    return np.concatenate(parts, axis=1)
