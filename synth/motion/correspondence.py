"""Which point and bone of a CMU skeleton belongs to which SMPL joint, and the pose SMPL takes to copy its rest pose."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from synth.body.joints import JOINT_NAMES, PARENTS
from synth.errors import SynthError
from synth.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from synth.motion.skeleton import SkeletonMotion, axis_rotation

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What one SMPL joint is fitted to. Names hold "{s}" for the side: "l"/"r" (ASF), "Left"/"Right" (BVH)."""

    asf: str
    bvh: str
    weight: float
    """Of the distance in the fit."""
    spread: float
    """Expected deviation from `place` [m]; it is estimated within this."""
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where the captured point lies seen from the SMPL joint, on the left or in the middle [m]."""
    hangs: bool = False
    """The place turns with the joint's parent (hips with the pelvis, shoulders with the chest), not with the joint."""

    def place_of(self, joint: str) -> Float[Array, " 3"]:
        """Its place, mirrored for a right joint [m]."""
        return np.array(self.place) * ([-1.0, 1.0, 1.0] if joint.startswith("right_") else 1.0)


def _sided(**joints: Target) -> dict[str, Target]:
    return {f"{side}_{joint}": target for side in ("left", "right") for joint, target in joints.items()}


# A CMU bone's END is the joint. Its "radius" ends before the wrist; spine, neck and pelvis differ most between models.
# CMU's hip joints lie 6 cm behind the front waist markers (as in Bell et al. 1990), those of SMPL-like bodies 10 cm.
# Places were measured between ASF/AMC and markers (C3D) of the first half of 01_01, both sides together, to 5 mm.
TARGETS: dict[str, Target] = {
    "pelvis": Target(asf="root", bvh="Hips", weight=0.3, spread=0.03, place=(0.0, -0.01, 0.015)),
    "spine1": Target(asf="lowerback", bvh="Spine", weight=0.2, spread=0.03, place=(0.0, 0.01, 0.055)),
    "spine2": Target(asf="upperback", bvh="Spine1", weight=0.3, spread=0.03, place=(0.0, 0.025, 0.065)),
    "spine3": Target(asf="thorax", bvh="Neck", weight=0.3, spread=0.03, place=(0.0, 0.055, 0.05)),
    "neck": Target(asf="lowerneck", bvh="Neck1", weight=0.3, spread=0.03, place=(0.0, -0.06, 0.0)),
    "head": Target(asf="upperneck", bvh="Head", weight=0.6, spread=0.03, place=(0.0, -0.03, -0.065)),
} | _sided(
    hip=Target(asf="{s}hipjoint", bvh="{s}UpLeg", weight=1.0, spread=0.02, place=(-0.02, -0.02, 0.045), hangs=True),
    knee=Target(asf="{s}femur", bvh="{s}Leg", weight=1.0, spread=0.015, place=(-0.01, -0.015, 0.01)),
    ankle=Target(asf="{s}tibia", bvh="{s}Foot", weight=1.0, spread=0.015, place=(-0.005, 0.015, -0.005)),
    foot=Target(asf="{s}foot", bvh="{s}ToeBase", weight=0.7, spread=0.02, place=(-0.005, 0.03, -0.025)),
    shoulder=Target(asf="{s}clavicle", bvh="{s}Arm", weight=1.0, spread=0.02, place=(0.005, 0.015, -0.005), hangs=True),
    elbow=Target(asf="{s}humerus", bvh="{s}ForeArm", weight=1.0, spread=0.015, place=(-0.005, -0.035, 0.005)),
    wrist=Target(asf="{s}radius", bvh="{s}Hand", weight=0.3, spread=0.04, place=(-0.08, -0.015, 0.01)),
    hand=Target(asf="{s}hand", bvh="{i}Fingers", weight=0.8, spread=0.025, place=(-0.05, -0.025, 0.005)),
)

# SMPL joint -> the bone whose rotation it copies: (ASF, BVH).
DRIVERS: dict[str, tuple[str, str]] = {
    "pelvis": ("root", "Hips"),
    "spine1": ("lowerback", "LowerBack"),
    "spine2": ("upperback", "Spine"),
    "spine3": ("thorax", "Spine1"),
    "neck": ("lowerneck", "Neck"),
    "head": ("head", "Head"),
} | {
    f"{side}_{joint}": bones
    for side in ("left", "right")
    for joint, bones in {
        "hip": ("{s}femur", "{s}UpLeg"),
        "knee": ("{s}tibia", "{s}Leg"),
        "ankle": ("{s}foot", "{s}Foot"),
        "foot": ("{s}toes", "{s}ToeBase"),
        "collar": ("{s}clavicle", "{s}Shoulder"),
        "shoulder": ("{s}humerus", "{s}Arm"),
        "elbow": ("{s}radius", "{s}ForeArm"),
        "wrist": ("{s}hand", "{s}FingerBase"),
    }.items()
}

TILTS = {
    "pelvis": (-4, 0, 0), "spine1": (7, 0, 0), "spine2": (13, 0, 0), "spine3": (10, 0, 0), "neck": (12, 0, 0),
    "head": (-17, 0, 0), "hip": (-5, -4, -2), "knee": (-3, -3, 0), "ankle": (-6, -1, 5), "collar": (7, 13, 16),
    "shoulder": (-7, 2, 10), "elbow": (-9, 2, 0), "wrist": (-10, 0, -12),
}  # fmt: skip
"""How SMPL's joint is turned when it looks like CMU's bone: axis-angle of the left one [degrees], y and z mirrored for
the right. Measured together with the places of `TARGETS`: CMU's spine is straighter, its head tilted."""

COLLAR_SHARE = 0.3
"""Part of the arm's elevation that the collar bone makes (scapulohumeral rhythm); CMU's clavicles hardly move."""
COLLAR_LIMITS = (-0.45, 0.35)
"""[rad]"""
LOOSE = {"wrist": 0.9, "foot": 0.5}
"""Joints whose captured bones (hand, toes) carry so few markers that they twitch and flip, and how far each may bend
[rad]. CMU 01_03's right hand turns by 164 degrees within 1/120 s."""
CALM = 0.06
"""Standard deviation of the smoothing of these [s]."""
UPRIGHT = 0.9
"""Cosine of the chest's lean up to which the head is taken to look ahead."""
HEAD_LIMIT = np.deg2rad(30.0)
LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "hand"))


def column(motion: SkeletonMotion, joint: str, name: str) -> int:
    """Column of a named point or bone of a joint's side.

    Raises:
        SynthError: the skeleton has none of that name.
    """
    left = joint.startswith("left_")
    sides = ("l", "r") if motion.convention == "asf" else ("Left", "Right")
    name = name.format(s=sides[0] if left else sides[1], i="L" if left else "R")
    if name not in motion.names:
        raise SynthError(f"{motion.source}: the skeleton has no {name!r}", "Only CMU's skeletons (ASF, BVH) are known")
    return motion.index(name)


def targets(motion: SkeletonMotion) -> dict[str, int]:
    """Column of the point that each fitted SMPL joint belongs to."""
    return {
        joint: column(motion, joint, target.asf if motion.convention == "asf" else target.bvh)
        for joint, target in TARGETS.items()
    }


def retargeted(motion: SkeletonMotion, rest_joints: Float[Array, "24 3"]) -> Float[Array, "T 24 3 3"]:
    """Rotations of SMPL's joints in the world that copy the skeleton's bones.

    Args:
        motion: CMU skeleton.
        rest_joints: SMPL's joints at rest [m].
    """
    copied = _rest_pose(motion, rest_joints)
    world = np.empty((len(motion), 24, 3, 3))
    for j, joint in enumerate(JOINT_NAMES):
        if joint in DRIVERS:
            bone = DRIVERS[joint][0 if motion.convention == "asf" else 1]
            world[:, j] = motion.rotations[:, column(motion, joint, bone)] @ copied[j]
        else:
            world[:, j] = world[:, PARENTS[j]]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _raise_collar(world, rest_joints, side, sign)
        for joint, limit in LOOSE.items():
            _calm(world, JOINT_NAMES.index(f"{side}_{joint}"), limit, motion.fps)
    world = world @ tilts()
    _level_head(world)
    for hand in (JOINT_NAMES.index("left_hand"), JOINT_NAMES.index("right_hand")):
        world[:, hand] = world[:, PARENTS[hand]]
    return world


def _level_head(world: Array) -> None:
    """Tilt the head by a constant so that, upright, the person looks straight ahead in the middle of the trial.

    How a head is turned within CMU's bone depends on where the head's markers were put: subject 02's is 20 degrees off
    subject 01's. No measurement says what level is; that people mostly look ahead does.
    """
    chest, head = world[:, JOINT_NAMES.index("spine3")], world[:, JOINT_NAMES.index("head")]
    upright = chest[:, 1, 1] > UPRIGHT
    if upright.any():
        pitch = np.arcsin(np.clip(np.median(head[upright, 1, 2]), -1.0, 1.0))
        world[:, JOINT_NAMES.index("head")] = head @ axis_rotation("x", float(np.clip(pitch, -HEAD_LIMIT, HEAD_LIMIT)))


def tilts() -> Float[Array, "24 3 3"]:
    """Rotation from CMU's bone to SMPL's joint, by joint (see `TILTS`)."""
    turns = np.zeros((24, 3))
    for j, joint in enumerate(JOINT_NAMES):
        turn = TILTS.get(joint.removeprefix("left_").removeprefix("right_"), (0, 0, 0))
        turns[j] = np.deg2rad(turn) * ([1.0, -1.0, -1.0] if joint.startswith("right_") else 1.0)
    return rotvec_to_rotmat(turns)


def _calm(world: Array, j: int, limit: float, fps: float) -> None:
    """Bound a joint's bend and smooth it over time."""
    parent = world[:, PARENTS[j]]
    bend = rotmat_to_rotvec(np.swapaxes(parent, -1, -2) @ world[:, j])
    angle = np.linalg.norm(bend, axis=1, keepdims=True)
    bend *= np.minimum(1.0, limit / np.maximum(angle, 1e-9))
    world[:, j] = parent @ rotvec_to_rotmat(gaussian_filter1d(bend, CALM * fps, axis=0, mode="nearest"))


def _raise_collar(world: Array, rest_joints: Array, side: str, sign: float) -> None:
    chest, collar, shoulder, elbow = (
        JOINT_NAMES.index(name) for name in ("spine3", f"{side}_collar", f"{side}_shoulder", f"{side}_elbow")
    )
    arm = world[:, shoulder] @ (rest_joints[elbow] - rest_joints[shoulder])
    up = np.einsum("tji,tj->ti", world[:, chest], arm / np.linalg.norm(arm, axis=1, keepdims=True))[:, 1]
    angle = np.clip(COLLAR_SHARE * np.arcsin(np.clip(up, -1.0, 1.0)), *COLLAR_LIMITS)
    world[:, collar] = world[:, collar] @ axis_rotation("z", sign * angle)


def _rest_pose(motion: SkeletonMotion, rest_joints: Array) -> Float[Array, "24 3 3"]:
    """World rotation of each SMPL joint in the skeleton's rest pose."""
    at = targets(motion)
    pose = np.tile(np.eye(3), (24, 1, 1))

    def bone(start: str, end: str) -> Array:
        return motion.rest[at[end]] - motion.rest[at[start]]

    for side in ("left", "right"):
        for start, end in LIMBS:
            j = JOINT_NAMES.index(f"{side}_{start}")
            tip = JOINT_NAMES.index(f"{side}_{'wrist' if end == 'hand' else end}")
            parent = pose[PARENTS[j]]
            wanted = bone(f"{side}_{start}", f"{side}_{end}")
            pose[j] = _shortest_turn(parent @ (rest_joints[tip] - rest_joints[j]), wanted) @ parent
        ankle, foot = JOINT_NAMES.index(f"{side}_ankle"), JOINT_NAMES.index(f"{side}_foot")
        own, wanted = rest_joints[foot] - rest_joints[ankle], bone(f"{side}_ankle", f"{side}_foot")
        yaw = np.arctan2(wanted[0], wanted[2]) - np.arctan2(own[0], own[2])
        pose[ankle] = pose[foot] = axis_rotation("y", yaw)
    return pose


def _shortest_turn(start: Float[Array, " 3"], end: Float[Array, " 3"]) -> Float[Array, "3 3"]:
    """Rotation matrix from one direction to another, about the axis at right angles to both."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    x, y, z = np.cross(start, end)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + cross + cross @ cross / (1.0 + start @ end)
