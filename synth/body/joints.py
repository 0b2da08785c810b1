"""SMPL's 24 joints and the named keypoint sets: names, parents, left/right pairs, and what each keypoint is made of.

A keypoint is a weighted mean of SMPL joints and surface landmarks. COCO-17 and OpenPose-25 take limbs from SMPL's
joints as smplx and SPIN do. H36M-17 and LSP-14 are approximations from the same parts: their published regressors
were trained on data that cannot be shipped, so hips differ from annotated ones by some centimetres.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Array = np.ndarray

__all__ = [
    "JOINT_NAMES",
    "KEYPOINT_SETS",
    "LANDMARKS",
    "PAIRS",
    "PARENTS",
    "SMPLX_LANDMARKS",
    "SMPL_LANDMARKS",
    "KeypointSet",
    "keypoint_regressors",
    "left_right_pairs",
]

JOINT_NAMES: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip

PARENTS: Int[Array, " 24"] = np.array(
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21], dtype=np.int64
)
PARENTS.flags.writeable = False

LANDMARKS: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top", "left_big_toe", "left_small_toe",
    "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip
"""Points of the skin that keypoints refer to, beside the joints. Left is the figure's own left (+X at rest)."""

SMPL_LANDMARKS = dict(
    zip(LANDMARKS, (332, 2800, 6260, 583, 4071, 411, 3216, 3226, 3387, 6617, 6624, 6787), strict=True)
)
"""Vertex of each landmark on SMPL and SMPL+H (6890 vertices): smplx's `vertex_ids`, the crown as in SMPLify."""

SMPLX_LANDMARKS = {
    "nose": 9120, "left_eye": 9448, "right_eye": 9929, "left_ear": 6, "right_ear": 616, "left_big_toe": 5770,
    "left_small_toe": 5780, "left_heel": 8846, "right_big_toe": 8463, "right_small_toe": 8474, "right_heel": 8635,
}  # fmt: skip
"""Vertex of each landmark on SMPL-X (10475 vertices), from smplx's `vertex_ids`; the crown is found by height."""


def left_right_pairs(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Indices (left, right) of the points that change places in a mirror, from names "left_..." and "right_..."."""
    return tuple(
        (i, names.index("right_" + name.removeprefix("left_")))
        for i, name in enumerate(names)
        if name.startswith("left_")
    )


PAIRS = left_right_pairs(JOINT_NAMES)
"""Indices (left, right) of SMPL's joints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypointSet:
    """A named set of keypoints."""

    names: tuple[str, ...]
    sources: tuple[Mapping[str, float], ...]
    """What each is made of: weights of joints and landmarks by name, summing to 1."""

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Indices (left, right) of the keypoints that change places in a mirror."""
        return left_right_pairs(self.names)


_MIXED: dict[str, dict[str, float]] = {
    "mid_hip": {"left_hip": 0.5, "right_hip": 0.5},
    "mid_shoulder": {"left_shoulder": 0.5, "right_shoulder": 0.5},
    "spine": {"spine2": 1.0},
    "thorax": {"neck": 1.0},
}


def _keypoint_set(names: str, **other: str) -> KeypointSet:
    """Keypoints named after their only source, but for those `other` gives another source."""
    listed = tuple(names.split())
    sources = [other.get(name, name) for name in listed]
    return KeypointSet(names=listed, sources=tuple(_MIXED.get(source, {source: 1.0}) for source in sources))


KEYPOINT_SETS: dict[str, KeypointSet] = {
    "coco17": _keypoint_set(
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
        "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
    ),
    "openpose25": _keypoint_set(
        "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist mid_hip right_hip "
        "right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear left_big_toe "
        "left_small_toe left_heel right_big_toe right_small_toe right_heel",
        neck="mid_shoulder",
        mid_hip="mid_hip",
    ),
    "h36m17": _keypoint_set(
        "pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle spine thorax nose head "
        "left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist",
        pelvis="mid_hip",
        head="head_top",
    ),
    "lsp14": _keypoint_set(
        "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder "
        "left_shoulder left_elbow left_wrist neck head_top"
    ),
}
"""Sets in the order of the data set whose name they bear."""


def keypoint_regressors(points: Mapping[str, Float[Array, " V"]]) -> dict[str, Float[Array, "K V"]]:
    """Build every set's regressor from one row for each joint and landmark.

    Args:
        points: Weights over the vertices, summing to 1, by the name of each joint and landmark.

    Returns:
        Regressors (K, V) by the set's name, to be applied to posed vertices.
    """
    return {
        name: np.stack([sum(w * points[part] for part, w in source.items()) for source in chosen.sources])
        for name, chosen in KEYPOINT_SETS.items()
    }
