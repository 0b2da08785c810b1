"""Fit the body to a skeleton's joints (ASF/AMC, BVH): pose, translation, one shape, and where the joints sit in it.

Source: Loper et al., "MoSh: Motion and Shape Capture from Sparse Markers" (2014), here with a skeleton's joints in the
place of markers. `synth.motion.fitting` solves it. This module, that one and `synth.motion.moshmarkers` are the only
ones of the layer that need torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from synth.body.joints import JOINT_NAMES, PARENTS
from synth.geometry.rotations import rotmat_to_rotvec
from synth.motion.contact import FOOT_PARTS, contacts
from synth.motion.correspondence import TARGETS, retargeted, targets
from synth.motion.fitting import (
    Capture,
    Constants,
    FitSettings,
    Kinematics,
    Pose,
    Solution,
    find_constants,
    solve,
)
from synth.motion.ground import moved
from synth.motion.quality import skin_points
from synth.motion.skeleton import SkeletonMotion
from synth.types import BodyModel, Motion

Array = np.ndarray
Tensor = torch.Tensor

__all__ = ["Fit", "FitSettings", "finished", "fit", "fit_person", "foot_heights", "person"]

Y_TO_Z = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Turns a Y-up world into a Z-up one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A fitted sequence."""

    motion: Motion
    """World frame, Z up, floor at z = 0."""
    betas: Float[Array, " B"]
    gender: str
    residual: Float[Array, "T K"]
    """Distance between each fitted and captured point, latent offset included [m]; NaN where it was not seen."""
    offsets: Float[Array, "K 3"]
    """Latent place of each captured point [m]."""
    resting: Float[Array, "T 2"]
    """1 where the left or right foot rests on the floor, else 0."""
    lowest: Float[Array, "T 2"]
    """Height of the lowest point of each foot's skin [m]."""


def fit(motion: SkeletonMotion, body: BodyModel, settings: FitSettings | None = None) -> Fit:
    """Fit a body to a captured sequence.

    Args:
        motion: CMU skeleton, metres, Y up.
        body: Model of the person's gender.
        settings: Weights.

    Raises:
        SynthError: the skeleton is not CMU's.
    """
    return fit_person([motion], body, settings)[0]


def fit_person(
    motions: Sequence[SkeletonMotion],
    body: BodyModel,
    settings: FitSettings | None = None,
    constants: Constants | None = None,
) -> list[Fit]:
    """Fit a body to the trials of one person: one shape for all of them.

    Args:
        motions: Of one CMU skeleton.
        body: Model of the person's gender.
        settings: Weights.
        constants: Shape and latent places found before; None finds them.

    Raises:
        SynthError: the skeleton is not CMU's.
    """
    settings = settings or FitSettings()
    kinematics = Kinematics(body, settings.device)
    joints = JointTargets(kinematics)
    constants = person(motions, body, settings) if constants is None else constants
    captures = [capture(motion, body) for motion in motions]
    solutions = solve(captures, kinematics, joints, constants, [settings])
    return [finished(taken, found, constants, body) for taken, found in zip(captures, solutions, strict=True)]


def person(motions: Sequence[SkeletonMotion], body: BodyModel, settings: FitSettings | None = None) -> Constants:
    """Find the shape of one person, and the places of the skeleton's joints, from all trials."""
    settings = settings or FitSettings()
    kinematics = Kinematics(body, settings.device)
    captures = [capture(motion, body) for motion in motions]
    return find_constants(captures, kinematics, JointTargets(kinematics), [settings])


def capture(motion: SkeletonMotion, body: BodyModel) -> Capture:
    """Say what of a CMU skeleton is fitted to, and start from its bones' rotations."""
    at = targets(motion)
    rest = body.J_regressor @ body.v_template
    return Capture(
        source=motion.source,
        fps=motion.fps,
        points=motion.points[:, list(at.values())],
        rotations=retargeted(motion, rest),
        pelvis=motion.points[:, at["pelvis"]],
        resting=contacts(motion),
    )


class JointTargets:
    """CMU's joints on the body: each at a constant place in the frame of an SMPL joint."""

    def __init__(self, body: Kinematics) -> None:
        self.joints = [JOINT_NAMES.index(name) for name in TARGETS]
        self.frames = [
            int(PARENTS[j]) if target.hangs else j for j, target in zip(self.joints, TARGETS.values(), strict=True)
        ]
        self.places = body.tensor(np.stack([target.place_of(name) for name, target in TARGETS.items()]))
        self.weights = body.tensor(np.array([target.weight for target in TARGETS.values()]))
        self.spreads = body.tensor(np.array([target.spread for target in TARGETS.values()]))[:, None]

    def fitted(self, pose: Pose, betas: Tensor, latent: Tensor) -> Tensor:
        """Positions (T, K, 3) of the captured joints."""
        place = (self.places + latent)[..., None]
        return pose.joints[:, self.joints] + (pose.world[:, self.frames] @ place)[..., 0]

    def latent_cost(self, latent: Tensor) -> Tensor:
        """Distance from the expected place, in expected distances."""
        return 0.5 * ((latent / self.spreads) ** 2).sum()


def finished(taken: Capture, solution: Solution, constants: Constants, body: BodyModel) -> Fit:
    """Level the floor, turn the world Z up, measure."""
    betas, slopes = constants.betas, solution.slopes
    up = np.array([-slopes[0], 1.0, -slopes[1]]) / np.linalg.norm([slopes[0], 1.0, slopes[1]])
    sideways = np.cross(up, [0.0, 0.0, 1.0])
    sideways /= np.linalg.norm(sideways)
    upright = Y_TO_Z @ np.stack([sideways, up, np.cross(sideways, up)])
    rest_pelvis = body.J_regressor[0] @ (body.v_template + body.shapedirs @ betas)
    local = solution.rotations.copy()
    local[:, 0] = upright @ local[:, 0]
    pose = rotmat_to_rotvec(local)
    raw = Motion(
        fps=taken.fps,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:],
        transl=solution.pelvis @ upright.T - rest_pelvis,
        source=taken.source,
        source_frames=np.arange(len(taken), dtype=np.float64),
    )
    lowest = foot_heights(raw, body, betas)
    held = lowest[taken.resting > 0] if taken.resting.any() else lowest.min(axis=1)
    floor = float(np.median(held))
    return Fit(
        motion=moved(raw, raw.transl - [0.0, 0.0, floor]),
        betas=betas,
        gender=body.gender,
        residual=np.linalg.norm(solution.fitted - taken.points, axis=-1),
        offsets=constants.latent,
        resting=taken.resting,
        lowest=lowest - floor,
    )


def foot_heights(motion: Motion, body: BodyModel, betas: Float[Array, " B"]) -> Float[Array, "T 2"]:
    """Height of the lowest point of each foot's skin, left and right [m]."""
    owner = np.argmax(body.lbs_weights, axis=1)
    return np.stack(
        [
            skin_points(motion, body, betas, np.flatnonzero(np.isin(owner, parts)))[..., 2].min(axis=1)
            for parts in FOOT_PARTS
        ],
        axis=1,
    )
