"""Keypoints of the free body: landmarks found by shape, and joint rows that hold in posed bodies too."""

import numpy as np
from jaxtyping import Float, Int

from synth.body import lbs
from synth.body.fit import fit_regressor
from synth.body.joints import JOINT_NAMES, LANDMARKS, keypoint_regressors
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["find_landmarks", "fit_keypoints", "posed_regressor"]

_SPREAD = {
    "pelvis": 0.3, "spine1": 0.2, "spine2": 0.2, "spine3": 0.2, "collar": 0.2, "neck": 0.3, "head": 0.3, "hip": 0.7,
    "knee": 0.8, "ankle": 0.3, "foot": 0.2, "shoulder": 0.7, "elbow": 0.9, "wrist": 0.3, "hand": 0.2,
}  # fmt: skip
"""Standard deviation [rad] of the training poses' axis-angle components; chosen."""


def find_landmarks(
    vertices: Float[Array, "V 3"],
    lbs_weights: Float[Array, "V 24"],
    eyes: Array,
    partner: Int[Array, " V"],
) -> dict[str, int]:
    """Find the vertex of each landmark on a template in the T-pose.

    Nose: the head's foremost vertex near the middle. Eye: the eyeball's foremost. Ear: the head's outermost. Crown: the
    highest. Heel: the foot's rearmost; big toe: the foremost of the toes; small toe: the outermost of the toes. Right
    ones mirror the left (`partner`).
    """
    part = np.argmax(lbs_weights, axis=1)
    x, y, z = vertices.T
    head = part == JOINT_NAMES.index("head")
    toes = part == JOINT_NAMES.index("left_foot")
    foot = toes | (part == JOINT_NAMES.index("left_ankle"))

    def best(score: Array, among: Array) -> int:
        return int(np.argmax(np.where(among, score, -np.inf)))

    found = {
        "nose": best(z, head & (np.abs(x) < 0.01)),
        "head_top": best(y, head),
        "left_eye": best(z, eyes & (x > 0)),
        "left_ear": best(x, head & ~eyes),
        "left_big_toe": best(z, toes),
        "left_small_toe": best(x, toes),
        "left_heel": best(-z, foot & (y < y[foot].min() + 0.05)),
    }
    found |= {name.replace("left", "right"): int(partner[v]) for name, v in found.items() if name.startswith("left")}
    return {name: found[name] for name in LANDMARKS}


def posed_regressor(
    rng: np.random.Generator, body: BodyModel, partner: Int[Array, " V"], count: int = 200
) -> Float[Array, "24 V"]:
    """Rows that give the joints of POSED bodies from their vertices.

    `J_regressor` is fitted in the rest pose only and drifts when limbs bend; keypoints are read off posed vertices.
    """
    spread = np.array([_SPREAD[_kind(name)] for name in JOINT_NAMES])[:, None]
    vertices, joints = [], []
    for betas in rng.normal(size=(5, body.shapedirs.shape[2])):
        pose = rng.normal(size=(count // 5, 24, 3)) * spread
        posed = lbs.posed(body, betas, pose[:, 0], pose[:, 1:], np.zeros((len(pose), 3)))
        vertices.append(posed[0])
        joints.append(posed[1])
    return fit_regressor(
        np.concatenate(vertices),
        np.concatenate(joints),
        body.lbs_weights,
        partner,
        body.v_template,
        body.J_regressor @ body.v_template,
    )


def _kind(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_")


def fit_keypoints(
    regressor: Float[Array, "24 V"], landmarks: dict[str, int]
) -> dict[str, tuple[Int[Array, "N 2"], Float[Array, " N"]]]:
    """Every keypoint set as (keypoint, vertex) pairs with weights."""
    rows = dict(zip(JOINT_NAMES, regressor, strict=True))
    for name, vertex in landmarks.items():
        rows[name] = np.zeros(regressor.shape[1])
        rows[name][vertex] = 1.0
    sets = keypoint_regressors(rows)
    return {name: (np.argwhere(matrix).astype(np.int32), matrix[matrix != 0]) for name, matrix in sets.items()}
