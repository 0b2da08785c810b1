"""A layout of markers by rule: what a textbook says, on the body's joints. No measurement of this project went in.

Each marker lies where a ray from a bone meets the skin: from a point on the way from one joint to another, in a
direction: halfway between two joints, at the joint, out to the side, to the front. Nothing was adjusted to data.
"""

import numpy as np

from synth.body.joints import JOINT_NAMES
from synth.body.model import load_named
from synth.motion.markers import Place

Array = np.ndarray

ROUGH = 0.06
"""How far from there a marker may be [m]."""
# label: joint, joint, share of the way, direction (x to the left, y up, z to the front)
_MIDDLE = {
    "C7": ("neck", "neck", 0.0, (0, 0, -1)),
    "T10": ("spine2", "spine2", 0.0, (0, 0, -1)),
    "CLAV": ("left_collar", "right_collar", 0.5, (0, 0, 1)),
    "STRN": ("spine3", "spine2", 0.5, (0, 0, 1)),
    "RBAC": ("spine3", "right_shoulder", 0.5, (0, 0, -1)),
}
_LEFT = {
    "LFHD": ("head", "head", 0.0, (0.6, 1.0, 1.0)),
    "LBHD": ("head", "head", 0.0, (0.6, 1.0, -1.0)),
    "LSHO": ("left_collar", "left_shoulder", 0.8, (0, 1, 0)),
    "LUPA": ("left_shoulder", "left_elbow", 0.5, (0, 0, -1)),
    "LELB": ("left_elbow", "left_elbow", 0.0, (0, 0, -1)),
    "LFRM": ("left_elbow", "left_wrist", 0.5, (0, 0, -1)),
    "LWRA": ("left_wrist", "left_wrist", 0.0, (0, 0, 1)),
    "LWRB": ("left_wrist", "left_wrist", 0.0, (0, 0, -1)),
    "LFIN": ("left_wrist", "left_hand", 1.0, (0, 1, 0)),
    "LFWT": ("pelvis", "left_hip", 1.0, (0.5, 0.7, 1.0)),
    "LBWT": ("pelvis", "left_hip", 0.5, (0, 0.5, -1.0)),
    "LTHI": ("left_hip", "left_knee", 0.5, (1, 0, 0)),
    "LKNE": ("left_knee", "left_knee", 0.0, (1, 0, 0)),
    "LSHN": ("left_knee", "left_ankle", 0.5, (1, 0, 0)),
    "LANK": ("left_ankle", "left_ankle", 0.0, (1, 0, 0)),
    "LHEE": ("left_ankle", "left_ankle", 0.0, (0, -0.5, -1)),
    "LTOE": ("left_ankle", "left_foot", 1.0, (0, 1, 0.3)),
    "LMT5": ("left_ankle", "left_foot", 1.0, (1, 0, 0)),
}


def layout() -> dict[str, Place]:
    """The places on the free neutral body, right ones mirrored."""
    body = load_named("free", "neutral")
    joints = body.J_regressor @ body.v_template
    found = {}
    for label, (start, end, share, direction) in (_MIDDLE | _LEFT).items():
        a, b = (joints[JOINT_NAMES.index(name)] for name in (start, end))
        hits = _hits(body.v_template[body.faces], a + share * (b - a), np.array(direction, dtype=float))
        # of the head the outside: there are eyes in it
        x, y, z = (hits[-1] if label[1:] in ("FHD", "BHD") else hits[0]).tolist()
        found[label] = Place(x=x, y=y, z=z, spread=ROUGH, clearance=0.015)
        if label.startswith("L"):
            found["R" + label[1:]] = Place(x=-x, y=y, z=z, spread=ROUGH, clearance=0.015)
    return found


def _hits(corners: Array, origin: Array, toward: Array) -> Array:
    """Where a ray meets triangles (F, 3, 3), the nearest first (Moller and Trumbore 1997)."""
    edges = corners[:, 1:] - corners[:, :1]
    across = np.cross(toward, edges[:, 1])
    scale = np.einsum("fc,fc->f", edges[:, 0], across)
    scale = np.where(np.abs(scale) < 1e-12, np.nan, scale)
    away = origin - corners[:, 0]
    u = np.einsum("fc,fc->f", away, across) / scale
    turned = np.cross(away, edges[:, 0])
    v = turned @ toward / scale
    along = np.einsum("fc,fc->f", edges[:, 1], turned) / scale
    met = np.sort(along[(u >= 0) & (v >= 0) & (u + v <= 1) & (along > 0)])
    return origin + met[:, None] * toward
