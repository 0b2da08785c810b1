"""Changes of captured motion that make more of it: mirror image, speed, heading, hands. Off by default."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from synth.body.joints import JOINT_NAMES
from synth.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from synth.spec import VariationSpec
from synth.types import Motion

Array = np.ndarray

OTHER_SIDE = [
    JOINT_NAMES.index(name.replace("left", "*").replace("right", "left").replace("*", "right")) for name in JOINT_NAMES
]
"""For each joint the one that is in its place in a mirror."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variations:
    """What may be changed; as it stands nothing is."""

    mirror_share: float = 0.0
    """Share of the clips that are mirrored."""
    speed: tuple[float, float] = (1.0, 1.0)
    """Slowest and fastest."""
    yaw: float = 0.0
    """Largest turn about the vertical, either way [rad]."""
    hands: float = 0.0
    """Farthest that each hand is closed [rad]."""

    @property
    def none(self) -> bool:
        """Whether nothing is ever changed."""
        return self == Variations()

    def sample(self, rng: Generator, *, still: bool = False) -> VariationSpec | None:
        """Draw one.

        Args:
            rng: Draws the same numbers whatever is allowed.
            still: For a clip between two poses, which has no speed of its own to change.

        Returns:
            None if the motion stays as it is.
        """
        chance, pace, turn, left, right = rng.random(5).tolist()
        slow, fast = self.speed
        found = VariationSpec(
            mirror=bool(chance < self.mirror_share),
            speed=1.0 if still else round(float(slow * (fast / slow) ** pace), 4),
            yaw=round(float(self.yaw * (2.0 * turn - 1.0)), 4) + 0.0,
            hands=(round(self.hands * left, 4), round(self.hands * right, 4)) if self.hands else None,
        )
        return None if found == VariationSpec() else found


def closed(motion: Motion, hands: tuple[float, float]) -> Motion:
    """The motion with the left and the right hand closed by these angles [rad].

    SMPL bends a hand as a whole, at the knuckles: about the axis that points forward in the T-pose, palms down.
    """
    pose = motion.body_pose.copy()
    for joint, angle in zip((JOINT_NAMES.index("left_hand"), JOINT_NAMES.index("right_hand")), hands, strict=True):
        turn = rotvec_to_rotmat(np.array([0.0, 0.0, -angle if JOINT_NAMES[joint].startswith("left") else angle]))
        pose[:, joint - 1] = rotmat_to_rotvec(rotvec_to_rotmat(pose[:, joint - 1]) @ turn)
    return Motion(
        fps=motion.fps,
        global_orient=motion.global_orient,
        body_pose=pose,
        transl=motion.transl,
        source=motion.source,
        source_frames=motion.source_frames,
    )


def mirrored(motion: Motion) -> Motion:
    """The motion seen in a mirror: left and right change places, in the body and in the world (x becomes -x).

    SMPL's rest pose is symmetric about its own x = 0, and a rotation R becomes S R S with S = diag(-1, 1, 1): of an
    axis-angle vector y and z change their sign.
    """
    sign = np.array([1.0, -1.0, -1.0])
    pose = motion.full_pose[:, OTHER_SIDE] * sign
    # The world is Z up: the body stands in it turned, which a mirror across x = 0 leaves as it is.
    return Motion(
        fps=motion.fps,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:],
        transl=motion.transl * [-1.0, 1.0, 1.0],
        source=f"{motion.source} (mirrored)",
        source_frames=motion.source_frames,
    )


def turned(motion: Motion, yaw: float, pivot: Array) -> Motion:
    """The motion turned about a vertical line.

    Args:
        motion: World Z up.
        yaw: [rad]
        pivot: Rest position of the pelvis, which `transl` is added to [m], (3,).
    """
    turn = rotvec_to_rotmat(np.array([0.0, 0.0, yaw]))
    return Motion(
        fps=motion.fps,
        global_orient=rotmat_to_rotvec(turn @ rotvec_to_rotmat(motion.global_orient)),
        body_pose=motion.body_pose,
        transl=(motion.transl + pivot) @ turn.T - pivot,
        source=motion.source,
        source_frames=motion.source_frames,
    )


def faster(motion: Motion, speed: float) -> Motion:
    """The motion at another speed: the same frames at another rate [Hz]."""
    return Motion(
        fps=motion.fps * speed,
        global_orient=motion.global_orient,
        body_pose=motion.body_pose,
        transl=motion.transl,
        source=motion.source,
        source_frames=motion.source_frames,
    )
