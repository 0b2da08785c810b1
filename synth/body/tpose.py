"""Pose MakeHuman figures as SMPL's template stands: a T-pose with 24 joints whose frames are the world's axes.

The rest pose is a convention, and this module is where it is written down. Motion recorded for SMPL's skeleton is
relative to SMPL's own rest pose, so ours must be close to it to look right. In words, for the left side (the right is
its mirror image):

- arms: upper arm 3 degrees below X and 6 behind it, forearm 2 degrees above X, palm down, fingers along X;
- collar bone: raised from MakeHuman's relaxed pose by a third of the upper arm's rise, the scapulo-humeral rhythm
  (Inman et al. 1944: the scapula does one third of the arm's elevation), so that an arm lowered with
  `synth.body.shape.A_POSE` has a relaxed, not a shrugged shoulder;
- legs: thigh 5 degrees outwards, shank 2 inwards and 6 back, toes 11 outwards;
- trunk: MakeHuman's figure stoops; its spine is straightened by 4, 8 and 10 degrees at the spine's three joints and the
  neck by 5, the head keeps its attitude and looks along Z;
- the pelvis joint is at (0, -0.22, 0.03), which puts the origin at the breast bone.

The angles are chosen in whole degrees, near those of SMPL's mean body; they were not fitted to any licensed file.
"""

import re

import numpy as np
from jaxtyping import Float

from synth.body.joints import JOINT_NAMES, PARENTS
from synth.body.makehuman import BaseMesh
from synth.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat, slerp

Array = np.ndarray

__all__ = ["GROUPS", "PELVIS", "four_largest", "group_weights", "merge_groups", "rest_joints", "to_t_pose"]

PELVIS = np.array([0.0, -0.22, 0.03])
"""Rest position of the pelvis joint [m]."""
_J = {name: i for i, name in enumerate(JOINT_NAMES)}
GROUPS = 26
"""The 24 joints, and the lower half of each forearm, which takes half of the wrist's twist in T-posing."""
_TWIST = {"left": 24, "right": 25}
_STRAIGHTEN = {"spine1": -4.0, "spine2": -8.0, "spine3": -10.0, "neck": -5.0, "head": 0.0}
"""Turn of each trunk part about X against MakeHuman's [degrees]; negative leans back."""


def _direction(outward: float, up: float, forward: float) -> Float[Array, " 3"]:
    vector = np.array([outward, up, forward])
    return vector / np.linalg.norm(vector)


def _tan(degrees: float) -> float:
    return float(np.tan(np.radians(degrees)))


_UPPER_ARM = _direction(1.0, -_tan(3.0), -_tan(6.0))
_FOREARM = _direction(1.0, _tan(2.0), 0.0)
_THIGH = _direction(_tan(5.0), -1.0, -_tan(1.0))
_SHANK = _direction(-_tan(2.0), -1.0, -_tan(6.0))
_TOES_OUT = np.radians(11)

_BONES: tuple[tuple[str, dict[str, float]], ...] = (
    (r"root|pelvis|spine05", {"pelvis": 1}),
    (r"spine04", {"spine1": 0.6, "pelvis": 0.4}),
    (r"spine03", {"spine1": 1}),
    (r"spine02", {"spine2": 1}),
    (r"spine01", {"spine3": 1}),
    (r"breast", {"spine2": 0.4, "spine3": 0.6}),
    (r"neck\d+", {"neck": 1}),
    (r"clavicle|shoulder01", {"~collar": 1}),
    (r"upperarm\d+", {"~shoulder": 1}),
    (r"lowerarm01", {"~elbow": 1}),
    (r"lowerarm02", {"~twist": 1}),
    (r"wrist|metacarpal\d|finger1-1", {"~wrist": 1}),
    (r"finger\d-\d", {"~hand": 1}),
    (r"upperleg\d+", {"~hip": 1}),
    (r"lowerleg\d+", {"~knee": 1}),
    (r"foot", {"~ankle": 1}),
    (r"toe\d-\d", {"~foot": 1}),
    (r".*", {"head": 1}),
)
"""Which joints MakeHuman's bones belong to (first match counts); ~ stands for the bone's side."""


def group_weights(rig: dict[str, tuple[Array, Array]], count: int) -> Float[Array, "N 26"]:
    """Gather the 163 bones' skin weights into 26 groups; rows sum to 1 (vertices without any follow the head)."""
    weights = np.zeros((count, GROUPS))
    for bone, (vertices, values) in rig.items():
        stem, _, letter = bone.partition(".")
        side = {"L": "left", "R": "right"}.get(letter, "")
        shares = next(share for pattern, share in _BONES if re.fullmatch(pattern, stem))
        for joint, share in shares.items():
            name = joint.replace("~", side + "_")
            group = _TWIST[side] if joint == "~twist" else _J[name]
            np.add.at(weights[:, group], vertices, values * share)
    weights[weights.sum(axis=1) == 0, _J["head"]] = 1.0
    return weights / weights.sum(axis=1, keepdims=True)


def merge_groups(weights: Float[Array, "V 26"]) -> Float[Array, "V 24"]:
    """Give the forearm's twist groups back to the elbows."""
    merged = weights[:, :24].copy()
    for side, group in _TWIST.items():
        merged[:, _J[f"{side}_elbow"]] += weights[:, group]
    return merged


def four_largest(weights: Float[Array, "V 24"]) -> Float[Array, "V 24"]:
    """Keep at most the four largest weights of each vertex, as SMPL does, and none below 1 %.

    Where the fourth and the fifth tie, as left and right do in the middle, neither is kept: the body stays symmetric.
    """
    fifth = np.sort(weights, axis=1)[:, -5, None]
    kept = np.where((weights < 0.01) | (weights <= fifth + 1e-9), 0.0, weights)
    return kept / kept.sum(axis=1, keepdims=True)


def rest_joints(mesh: BaseMesh, vertices: Float[Array, "S N 3"]) -> dict[str, Float[Array, "S 3"]]:
    """Place SMPL's joints in MakeHuman figures, between the cubes that mark MakeHuman's.

    Hinges (knee, elbow, ankle, shoulder) are MakeHuman's own. The others divide its bones: SMPL has fewer and shorter
    ones in the trunk, and a hip joint lower and further in.

    Returns:
        Positions [m] by joint name, and `{side}_index` and `{side}_little`, the outer knuckles.
    """

    def at(name: str) -> Array:
        return mesh.marker(name, vertices)

    def between(first: Array, second: Array, share: float) -> Array:
        return (1 - share) * first + share * second

    low, sacrum, lumbar, chest, upper = (at(n) for n in ("pelvis", "spine-4", "spine-3", "spine-2", "spine-1"))
    hips = between(at("l-upper-leg"), at("r-upper-leg"), 0.5)
    pelvis = between(low, sacrum, 0.9)
    pelvis[..., 2] = between(sacrum, hips, 0.6)[..., 2]
    joints = {
        "pelvis": pelvis,
        "spine1": between(lumbar, chest, 0.5),
        "spine2": between(chest, upper, 0.55),
        "spine3": between(upper, at("neck"), 0.08),
        "neck": between(at("neck"), at("head"), 0.1),
        "head": at("head"),
    }
    for side, letter in (("left", "l"), ("right", "r")):
        limb = {
            "hip": between(at(f"{letter}-upper-leg"), low, 0.2),
            "knee": at(f"{letter}-knee"),
            "ankle": at(f"{letter}-ankle"),
            "foot": between(at(f"{letter}-foot-1"), at(f"{letter}-toe-3-1"), 0.5),
            "collar": between(at(f"{letter}-clavicle"), at(f"{letter}-shoulder"), 0.4),
            "shoulder": at(f"{letter}-shoulder"),
            "elbow": at(f"{letter}-elbow"),
            "wrist": at(f"{letter}-hand"),
            "hand": between(at(f"{letter}-hand"), at(f"{letter}-finger-3-1"), 0.9),
            "index": at(f"{letter}-finger-2-1"),
            "little": at(f"{letter}-finger-5-1"),
        }
        joints |= {f"{side}_{name}": place for name, place in limb.items()}
    return joints


def to_t_pose(
    points: Float[Array, "S P 3"], weights: Float[Array, "P 26"], joints: dict[str, Float[Array, "S 3"]]
) -> tuple[Float[Array, "S P 3"], Float[Array, "S 24 3"]]:
    """Bring figures into the T-pose by linear blend skinning; returns points and joints, pelvis at `PELVIS`."""
    G = _part_rotations(joints)
    start = np.stack([joints[name] for name in JOINT_NAMES], axis=1)
    goal = np.empty_like(start)
    goal[:, 0] = PELVIS
    for j in range(1, 24):
        bone = start[:, j] - start[:, PARENTS[j]]
        goal[:, j] = goal[:, PARENTS[j]] + _turn(G[:, PARENTS[j]], bone)
    twists = [_J["left_elbow"], _J["right_elbow"]]
    pivot, target = (np.concatenate([a, a[:, twists]], axis=1) for a in (start, goal))
    moves = np.concatenate([G, (target - _turn(G, pivot))[..., None]], axis=-1).reshape(len(G), GROUPS, 12)
    posed = np.empty(points.shape)
    for figure, move in enumerate(moves):
        blended = (weights @ move).reshape(-1, 3, 4)
        posed[figure] = _turn(blended[..., :3], points[figure]) + blended[..., 3]
    return posed, goal


def _part_rotations(joints: dict[str, Array]) -> Float[Array, "S 26 3 3"]:
    """Rotation in the world that each part makes from MakeHuman's pose to the T-pose."""
    G = np.tile(np.eye(3), (len(joints["pelvis"]), GROUPS, 1, 1))
    for name, degrees in _STRAIGHTEN.items():
        G[:, _J[name]] = rotvec_to_rotmat(np.array([np.radians(degrees), 0.0, 0.0]))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        place = {name.removeprefix(side + "_"): p for name, p in joints.items() if name.startswith(side)}
        _pose_arm(G, place, side, sign)
        _pose_leg(G, place, side, np.array([sign, 1.0, 1.0]))
    return G


def _pose_arm(G: Array, place: dict[str, Array], side: str, sign: float) -> None:
    mirror = np.array([sign, 1.0, 1.0])
    joint = {name: _J[f"{side}_{name}"] for name in ("collar", "shoulder", "elbow", "wrist", "hand")}
    arm = place["elbow"] - place["shoulder"]
    drop = np.arctan2(-arm[:, 1], sign * arm[:, 0]) - np.radians(3)
    rise = np.zeros_like(arm)
    rise[:, 2] = sign * drop / 3
    G[:, joint["collar"]] = rotvec_to_rotmat(rise) @ G[:, _J["spine3"]]
    G[:, joint["shoulder"]] = _carry(G[:, joint["collar"]], arm, _UPPER_ARM * mirror)
    G[:, joint["elbow"]] = _carry(G[:, joint["shoulder"]], place["wrist"] - place["elbow"], _FOREARM * mirror)
    # The hand's own axes (along the fingers, across the knuckles) go to the world's: fingers along X, palm down.
    along, across = sign * (place["hand"] - place["wrist"]), place["index"] - place["little"]
    hand = np.swapaxes(_frame(along, across), -1, -2)
    G[:, joint["wrist"]] = G[:, joint["hand"]] = hand
    elbow, wrist = rotmat_to_rotvec(G[:, joint["elbow"]]), rotmat_to_rotvec(hand)
    G[:, _TWIST[side]] = rotvec_to_rotmat(slerp(elbow, wrist, 0.5))


def _pose_leg(G: Array, place: dict[str, Array], side: str, mirror: Array) -> None:
    joint = {name: _J[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot")}
    still = np.broadcast_to(np.eye(3), G[:, 0].shape)
    G[:, joint["hip"]] = _carry(still, place["knee"] - place["hip"], _THIGH * mirror)
    G[:, joint["knee"]] = _carry(G[:, joint["hip"]], place["ankle"] - place["knee"], _SHANK * mirror)
    foot = place["foot"] - place["ankle"]
    turn = np.zeros_like(foot)
    turn[:, 1] = mirror[0] * (_TOES_OUT - np.arctan2(mirror[0] * foot[:, 0], foot[:, 2]))
    G[:, joint["ankle"]] = G[:, joint["foot"]] = rotvec_to_rotmat(turn)


def _turn(rotation: Array, vector: Array) -> Array:
    return (rotation @ vector[..., None])[..., 0]


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def _carry(parent: Float[Array, "S 3 3"], bone: Float[Array, "S 3"], goal: Float[Array, " 3"]) -> Float[Array, "S 3 3"]:
    """The parent's rotation, then the shortest turn that lays the bone along `goal`."""
    a, b = _unit(_turn(parent, bone)), np.broadcast_to(goal, bone.shape)
    axis, cosine = np.cross(a, b), (a * b).sum(axis=-1, keepdims=True)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    vector = np.divide(axis, sine, out=np.zeros_like(axis), where=sine > 1e-12) * np.arctan2(sine, cosine)
    return rotvec_to_rotmat(vector) @ parent


def _frame(along: Array, across: Array) -> Float[Array, "S 3 3"]:
    """Axes as columns: x along, z nearly across."""
    x = _unit(along)
    y = _unit(np.cross(across, x))
    return np.stack([x, y, np.cross(x, y)], axis=-1)
