"""Fit the body to captured joints: pose, translation, one shape, and where the capture's joints sit in the body.

Source: Loper et al., "MoSh: Motion and Shape Capture from Sparse Markers" (2014), here with a skeleton's joints in the
place of markers: constant latent offsets, Geman-McClure distances, one shape for the sequence, smoothness; all frames
are solved at once with L-BFGS. The floor is an unknown plane that feet at rest touch and nothing goes below.
This is the only module of the layer that needs torch.
"""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from synth.body.joints import JOINT_NAMES, PARENTS
from synth.body.lbs import posed
from synth.geometry.rotations import rotmat_to_rotvec
from synth.motion.contact import Soles, contacts, soles
from synth.motion.correspondence import TARGETS, retargeted, targets
from synth.motion.ground import moved
from synth.motion.skeleton import SkeletonMotion
from synth.types import BodyModel, Motion

Array = np.ndarray
Tensor = torch.Tensor
log = logging.getLogger(__name__)

Y_TO_Z = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Turns a Y-up world into a Z-up one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Weights of the fit's terms; lengths and angles are the size at which a term costs about one."""

    iterations: int = 150
    noise: float = 0.01
    """Distance between fitted and captured joints [m]."""
    outlier: float = 0.05
    """Distance beyond which a joint pulls less and less [m]."""
    rotation: float = 6.0
    """Weight of the distance from the retargeted rotations."""
    jerkiness: float = 0.05
    """Weight of the joints' second differences over 1.5 mm at 120 Hz."""
    turning: float = 0.02
    """Weight of the rotations' second differences over 0.01 at 120 Hz."""
    contact: float = 0.01
    """Height of a resting foot over the floor [m]."""
    sinking: float = 0.005
    """Depth of a foot below the floor [m]."""
    slope: float = 0.01
    """Tilt of the captured floor [rad]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A fitted sequence."""

    motion: Motion
    """World frame, Z up, floor at z = 0."""
    betas: Float[Array, " B"]
    gender: str
    residual: Float[Array, "T K"]
    """Distance between each fitted and captured joint, latent offset included [m]."""
    offsets: Float[Array, "K 3"]
    """Place of each captured joint in its SMPL joint's frame [m]."""
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
    settings = settings or FitSettings()
    problem = _Problem(motion, body, settings)
    optimiser = torch.optim.LBFGS(
        problem.unknowns, max_iter=25, history_size=20, line_search_fn="strong_wolfe", tolerance_change=0.0
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = problem.loss() * len(motion)
        loss.backward()
        return loss

    for step in range(max(1, settings.iterations // 25)):
        loss = optimiser.step(closure)
        log.debug("%s: %d iterations, loss %.4f", motion.source, 25 * (step + 1), float(loss.detach()) / len(motion))
    return _result(problem, motion, body)


class _Problem:
    """The unknowns of a sequence and what they cost. Unknowns are scaled so that one is about one deviation."""

    def __init__(self, motion: SkeletonMotion, body: BodyModel, settings: FitSettings) -> None:
        def tensor(array: Array) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)

        self.settings, self.pace = settings, motion.fps / 120.0
        at = targets(motion)
        self.joints = [JOINT_NAMES.index(name) for name in at]
        self.captured = tensor(motion.points[:, list(at.values())])
        self.weights = tensor(np.array([TARGETS[name].weight for name in at]))
        self.spreads = tensor(np.array([TARGETS[name].spread for name in at]))
        rest = body.J_regressor @ body.v_template
        self.rest, self.rest_shape = tensor(rest), tensor(np.einsum("jv,vcb->jcb", body.J_regressor, body.shapedirs))
        world = retargeted(motion, rest)
        self.retargeted = tensor(world)
        local = world.copy()
        local[:, 1:] = np.swapaxes(world[:, PARENTS[1:]], -1, -2) @ world[:, 1:]
        self.start = tensor(local[..., :2]).transpose(-1, -2).reshape(len(motion), 24, 6)
        self.start_transl = self.captured[:, self.joints.index(0)] - self.rest[0]
        self.stiffness = tensor(_stiffness())
        resting = contacts(motion)
        self.resting = tensor(resting)
        self.soles = [_TorchSoles(sole, tensor) for sole in soles(body)]
        frames, points, shapes = len(motion), len(self.joints), body.shapedirs.shape[2]
        self.turns = torch.zeros(frames, 24, 6, requires_grad=True)
        self.steps = torch.zeros(frames, 3, requires_grad=True)
        self.betas = torch.zeros(shapes, requires_grad=True)
        self.latent = torch.zeros(points, 3, requires_grad=True)
        self.plane = torch.zeros(3, requires_grad=True)
        self.unknowns = [self.turns, self.steps, self.betas, self.latent, self.plane]
        self.ground = self._first_ground()

    @property
    def offsets(self) -> Tensor:
        return self.latent * 0.02

    @property
    def transl(self) -> Tensor:
        return self.start_transl + self.steps * 0.02

    @property
    def slopes(self) -> Tensor:
        """Rise of the floor along x and z."""
        return self.plane[1:] * self.settings.slope

    def rotations(self) -> tuple[Tensor, Tensor]:
        """Local rotations as six numbers and as matrices (Zhou et al. 2019)."""
        six = self.start + self.turns * 0.1
        first = torch.nn.functional.normalize(six[..., :3], dim=-1)
        second = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
        second = torch.nn.functional.normalize(second, dim=-1)
        return six, torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)

    def pose(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Six numbers, joints, world rotations and rest joints."""
        six, local = self.rotations()
        rest = self.rest + self.rest_shape @ self.betas
        turns, places = [local[:, 0]], [rest[0] + self.transl]
        for j in range(1, 24):
            parent = int(PARENTS[j])
            turns.append(turns[parent] @ local[:, j])
            places.append(places[parent] + turns[parent] @ (rest[j] - rest[parent]))
        return six, torch.stack(places, dim=1), torch.stack(turns, dim=1), rest

    def fitted(self, joints: Tensor, world: Tensor) -> Tensor:
        """Where the captured joints would be."""
        return joints[:, self.joints] + (world[:, self.joints] @ self.offsets[..., None])[..., 0]

    def heights(self, joints: Tensor, world: Tensor, rest: Tensor) -> list[Tensor]:
        """Height of each foot's sole points over the floor."""
        heights = []
        for sole in self.soles:
            points = sole.posed(joints, world, rest, self.betas)
            level = self.ground + self.plane[0] * 0.02 + points[..., [0, 2]] @ self.slopes
            heights.append(points[..., 1] - level)
        return heights

    def loss(self) -> Tensor:
        """Cost of a frame, mean over frames."""
        s = self.settings
        six, joints, world, rest = self.pose()
        squared = ((self.fitted(joints, world) - self.captured) ** 2).sum(-1)
        robust = squared / (squared + s.outlier**2) * (s.outlier / s.noise) ** 2
        loss = (self.weights * robust).sum(1).mean()
        turned = ((world - self.retargeted) ** 2).sum((-1, -2))
        loss = loss + s.rotation * (self.stiffness * turned).sum(1).mean()
        if len(joints) > 2:
            pace = self.pace**2
            bend = (joints[2:] - 2 * joints[1:-1] + joints[:-2]) * pace / 0.0015
            swing = (six[2:] - 2 * six[1:-1] + six[:-2]) * pace / 0.01
            loss = loss + s.jerkiness * (bend**2).sum((-1, -2)).mean() + s.turning * (swing**2).sum((-1, -2)).mean()
        for foot, height in enumerate(self.heights(joints, world, rest)):
            lowest = -torch.logsumexp(-height / 0.003, dim=1) * 0.003 + 0.003 * np.log(height.shape[1] / 4)
            square = (lowest / s.contact) ** 2
            loss = loss + (self.resting[:, foot] * square / (1 + square / 25)).mean()
            loss = loss + (torch.relu(-height) / s.sinking).square().sum(1).mean()
        prior = 0.5 * (self.betas**2).sum() + 0.5 * ((self.offsets / self.spreads[:, None]) ** 2).sum()
        return loss + prior + 0.5 * (self.plane[1:] ** 2).sum()

    def _first_ground(self) -> float:
        """Height of the floor as the resting feet have it at the start."""
        self.ground = 0.0
        with torch.no_grad():
            _, joints, world, rest = self.pose()
            low = torch.stack([h.min(dim=1).values for h in self.heights(joints, world, rest)], dim=1)
        resting = self.resting > 0
        return float((low[resting] if resting.any() else low.min(dim=1).values).median())


class _TorchSoles:
    def __init__(self, sole: Soles, tensor) -> None:
        self.points, self.shape, self.weights = tensor(sole.points), tensor(sole.shapedirs), tensor(sole.weights)

    def posed(self, joints: Tensor, world: Tensor, rest: Tensor, betas: Tensor) -> Tensor:
        """Linear blend skinning of the sole's points; pose blend shapes hardly move them."""
        points = self.points + self.shape @ betas
        blended = torch.einsum("pj,tjab->tpab", self.weights, world)
        shift = joints - (world @ rest[..., None])[..., 0]
        return (blended @ points[..., None])[..., 0] + self.weights @ shift


def _stiffness() -> Float[Array, " 24"]:
    """How firmly each joint keeps its retargeted rotation: where positions say little, more."""
    stiffness = np.full(24, 0.25)
    for name, value in {"pelvis": 0.5, "head": 2.0}.items():
        stiffness[JOINT_NAMES.index(name)] = value
    for joint, value in {"ankle": 0.6, "foot": 0.6, "wrist": 0.6, "collar": 2.0}.items():
        for side in ("left", "right"):
            stiffness[JOINT_NAMES.index(f"{side}_{joint}")] = value
    return stiffness


def _result(problem: _Problem, motion: SkeletonMotion, body: BodyModel) -> Fit:
    """Level the floor, turn the world Z up, measure."""
    with torch.no_grad():
        _, joints, world, _ = problem.pose()
        residual = (problem.fitted(joints, world) - problem.captured).norm(dim=-1).numpy().astype(np.float64)
        local = problem.rotations()[1].numpy().astype(np.float64)
        slopes = problem.slopes.numpy().astype(np.float64)
        pelvis = joints[:, 0].numpy().astype(np.float64)
        betas = problem.betas.numpy().astype(np.float64)
        offsets = problem.offsets.numpy().astype(np.float64)
    up = np.array([-slopes[0], 1.0, -slopes[1]]) / np.linalg.norm([slopes[0], 1.0, slopes[1]])
    sideways = np.cross(up, [0.0, 0.0, 1.0])
    sideways /= np.linalg.norm(sideways)
    upright = Y_TO_Z @ np.stack([sideways, up, np.cross(sideways, up)])
    rest_pelvis = body.J_regressor[0] @ (body.v_template + body.shapedirs @ betas)
    local[:, 0] = upright @ local[:, 0]
    pose = rotmat_to_rotvec(local)
    raw = Motion(
        fps=motion.fps,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:],
        transl=pelvis @ upright.T - rest_pelvis,
        source=motion.source,
        source_frames=np.arange(len(motion), dtype=np.float64),
    )
    resting = problem.resting.numpy().astype(np.float64)
    lowest = foot_heights(raw, body, betas)
    held = lowest[resting > 0] if resting.any() else lowest.min(axis=1)
    floor = float(np.median(held))
    raw = moved(raw, raw.transl - [0.0, 0.0, floor])
    return Fit(
        motion=raw,
        betas=betas,
        gender=body.gender,
        residual=residual,
        offsets=offsets,
        resting=resting,
        lowest=lowest - floor,
    )


def foot_heights(motion: Motion, body: BodyModel, betas: Float[Array, " B"], block: int = 256) -> Float[Array, "T 2"]:
    """Height of the lowest point of each foot's skin, left and right [m]."""
    parts = [np.isin(np.argmax(body.lbs_weights, axis=1), feet) for feet in ((7, 10), (8, 11))]
    heights = []
    for start in range(0, len(motion), block):
        part = motion.frames(start, start + block)
        vertices, _ = posed(body, betas, part.global_orient, part.body_pose, part.transl)
        heights.append(np.stack([vertices[:, foot, 2].min(axis=1) for foot in parts], axis=1))
    return np.concatenate(heights)
