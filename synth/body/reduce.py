"""Bring SMPL+H and SMPL-X to SMPL's 24 joints, and give licensed bodies their keypoints.

Joints 0-21 are the same in all three models. What follows differs: SMPL has one joint in each hand; SMPL+H has fifteen;
SMPL-X has the jaw, two eyes and fifteen in each hand. Here a hand's fingers become one joint at the middle finger's
first knuckle (SMPL's joints 22 and 23), and jaw and eyes become part of the head. The hand stays flat and the mouth
shut, which is what AMASS's body poses mean. Pose blend shapes of dropped joints are dropped with them.
"""

import numpy as np

from synth.body.joints import (
    JOINT_NAMES,
    LANDMARKS,
    PARENTS,
    SMPL_LANDMARKS,
    SMPLX_LANDMARKS,
    keypoint_regressors,
)

Array = np.ndarray

__all__ = ["keypoints_of", "reduce_to_body"]

_BODY = 22
_HEAD = JOINT_NAMES.index("head")
_FIRST_FINGER = {52: 22, 55: 25}
"""First finger joint of the left hand, by the number of joints; the right hand's fifteen follow the left's."""
_MIDDLE_KNUCKLE = 3
"""Place of the middle finger's first knuckle among a hand's fifteen joints (index x 3, middle x 3, ...)."""


def reduce_to_body(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Reduce a model to 24 joints.

    Args:
        arrays: `weights` (V, J), `J_regressor` (J, V), `posedirs` (V, 3, 9 (J - 1)), `parents` (J,) and others, which
            are passed on. J is 24 (returned as it is), 52 (SMPL+H) or 55 (SMPL-X).

    Returns:
        The same fields with J = 24.
    """
    J = arrays["weights"].shape[1]
    if J == 24:
        return arrays
    left = _FIRST_FINGER[J]
    fingers = [np.arange(left, left + 15), np.arange(left + 15, left + 30)]
    weights = arrays["weights"][:, : _BODY + 2].copy()
    weights[:, _HEAD] += arrays["weights"][:, _BODY:left].sum(axis=1)
    for hand, group in enumerate(fingers):
        weights[:, _BODY + hand] = arrays["weights"][:, group].sum(axis=1)
    knuckles = [group[_MIDDLE_KNUCKLE] for group in fingers]
    posedirs = np.zeros((*arrays["posedirs"].shape[:2], 9 * (len(JOINT_NAMES) - 1)))
    kept = 9 * (_BODY - 1)
    posedirs[:, :, :kept] = arrays["posedirs"][:, :, :kept]
    return arrays | {
        "weights": weights,
        "J_regressor": arrays["J_regressor"][[*range(_BODY), *knuckles]],
        "posedirs": posedirs,
        "parents": PARENTS,
    }


def keypoints_of(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keypoint regressors of a model with SMPL's or SMPL-X's topology, from its joints and known vertices.

    Other topologies get none: their landmarks are not known.
    """
    vertices = len(arrays["v_template"])
    known = {6890: SMPL_LANDMARKS, 10475: SMPLX_LANDMARKS}.get(vertices)
    if known is None:
        return {}
    rows: dict[str, np.ndarray] = dict(zip(JOINT_NAMES, arrays["J_regressor"], strict=True))
    crown = int(np.argmax(arrays["v_template"][:, 1]))
    for name in LANDMARKS:
        rows[name] = np.zeros(vertices)
        rows[name][known.get(name, crown)] = 1.0
    return keypoint_regressors(rows)
