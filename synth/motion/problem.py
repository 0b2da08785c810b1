"""What a fit minimises: the unknowns of some captures' frames, end to end, and what they cost.

Source: Loper et al., "MoSh: Motion and Shape Capture from Sparse Markers" (2014): one shape for a person, constant
latent places of the captured points, Geman-McClure distances, smoothness. The floor is an unknown plane that feet at
rest touch and nothing goes below. Unknowns are scaled so that one is about one standard deviation.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from synth.body.joints import JOINT_NAMES, PARENTS
from synth.motion.kinematics import Kinematics, Pose, Tensor, rotation_angles
from synth.motion.prior import LIMITS, PosePrior, limit_bounds

Array = np.ndarray
log = logging.getLogger(__name__)

TURN, STEP, LATENT, LEVEL = 0.1, 0.02, 0.02, 0.02
"""What one stands for in the unknowns: six numbers of a rotation, translation, latent places and floor [m]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Weights of the fit's terms; lengths and angles are the size at which a term costs about one."""

    iterations: int = 150
    """Of L-BFGS at the coarsest rate; finer ones take a quarter and an eighth."""
    noise: float = 0.01
    """Distance between fitted and captured points [m]."""
    outlier: float = 0.05
    """Distance beyond which a point pulls less and less [m]."""
    rotation: float = 6.0
    """Weight of the distance from the retargeted rotations, where a skeleton gives them."""
    prior: float = 0.0
    """Weight of the learned pose prior."""
    limits: float = 0.0
    """Weight of the joints' limits, 5 degrees beyond costing one."""
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
    device: str = "cpu"
    """"cpu" or "cuda"."""
    batch: int = 1
    """Trials of a person whose poses are solved together: on a CPU one at a time is as fast, a GPU is idle with one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Capture:
    """What is fitted to: K points over T frames and where to start. World Y up [m]."""

    source: str
    fps: float
    points: Float[Array, "T K 3"]
    """NaN where a point was not seen."""
    rotations: Float[Array, "T 24 3 3"]
    """Rotations of the joints in the world to start from; kept near them by `FitSettings.rotation`."""
    pelvis: Float[Array, "T 3"]
    """Where the pelvis starts."""
    resting: Float[Array, "T 2"]
    """1 where the left or right foot rests on the floor."""

    def __len__(self) -> int:
        return len(self.points)

    def at(self, frames: Array) -> "Capture":
        """Some of the frames."""
        rate = self.fps * (len(frames) - 1) / max(frames[-1] - frames[0], 1) if len(frames) > 1 else self.fps
        return replace(
            self,
            fps=rate,
            points=self.points[frames],
            rotations=self.rotations[frames],
            pelvis=self.pelvis[frames],
            resting=self.resting[frames],
        )


@runtime_checkable
class Targets(Protocol):
    """Where the captured points sit on the body."""

    weights: Tensor
    """Of each point, (K,)."""

    def fitted(self, pose: "Pose", betas: Tensor, latent: Tensor) -> Tensor:
        """Positions (T, K, 3) of the points on the posed body, latent places [m] being (K, 3)."""
        ...

    def latent_cost(self, latent: Tensor) -> Tensor:
        """What latent places far from the expected ones cost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constants:
    """What does not change while a person is captured."""

    betas: Float[Array, " B"]
    latent: Float[Array, "K 3"]
    """[m]"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """A solved capture, world Y up, the floor where it was captured."""

    rotations: Float[Array, "T 24 3 3"]
    """Local rotations."""
    pelvis: Float[Array, "T 3"]
    fitted: Float[Array, "T K 3"]
    slopes: Float[Array, " 2"]
    """Rise of the floor along x and z."""
    start: "Start"
    """To start another solution from."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """Pose of each frame: absolute, since between coarse frames the captured rotations would bring their noise back."""

    six: Float[Array, "T 24 6"]
    """Two columns of each local rotation, not orthonormal."""
    transl: Float[Array, "T 3"]


class Problem:
    """The unknowns of some captures' frames, end to end, and what they cost."""

    def __init__(
        self,
        captures: Sequence[Capture],
        body: Kinematics,
        targets: Targets,
        settings: FitSettings,
        prior: PosePrior | None,
        constants: Constants | None,
        start: Start | None = None,
    ) -> None:
        tensor = body.tensor
        self.body, self.targets, self.settings = body, targets, settings
        self.lengths = [len(capture) for capture in captures]
        frames = sum(self.lengths)
        points = np.concatenate([capture.points for capture in captures])
        self.points, self.seen = tensor(np.nan_to_num(points)), tensor(~np.isnan(points[..., 0]))
        rotations = np.concatenate([capture.rotations for capture in captures])
        self.copied = tensor(rotations)
        local = rotations.copy()
        local[:, 1:] = np.swapaxes(rotations[:, PARENTS[1:]], -1, -2) @ rotations[:, 1:]
        if start is None:
            self.start = tensor(np.swapaxes(local[..., :2], -1, -2).reshape(frames, 24, 6))
            self.start_transl = tensor(np.concatenate([c.pelvis for c in captures])) - body.rest[0]
        else:
            self.start, self.start_transl = tensor(start.six), tensor(start.transl)
        self.resting = tensor(np.concatenate([capture.resting for capture in captures]))
        owner = np.repeat(np.arange(len(captures)), self.lengths)
        self.owner = torch.as_tensor(owner, device=body.device)
        pace = np.array([capture.fps / 120.0 for capture in captures])[owner[1:-1]] ** 2
        self.pace = tensor(pace * (owner[2:] == owner[:-2]))[:, None, None]
        self.stiffness = tensor(stiffness())
        self.prior = None if prior is None else (tensor(prior.mean), tensor(prior.whitening))
        lower, upper = limit_bounds()
        self.limits = tensor(lower), tensor(upper)
        self.turns = tensor(np.zeros((frames, 24, 6))).requires_grad_()
        self.steps = tensor(np.zeros((frames, 3))).requires_grad_()
        self.plane = tensor(np.zeros((len(captures), 3))).requires_grad_()
        self.betas = tensor(np.zeros(body.shapes) if constants is None else constants.betas)
        latent = np.zeros((points.shape[1], 3)) if constants is None else constants.latent / LATENT
        self.latent = tensor(latent)
        self.unknowns = [self.turns, self.steps, self.plane]
        if constants is None:
            self.unknowns += [self.betas.requires_grad_(), self.latent.requires_grad_()]
        self.ground = self._first_ground()

    @property
    def slopes(self) -> Tensor:
        """Rise of each capture's floor along x and z."""
        return self.plane[:, 1:] * self.settings.slope

    def pose(self) -> Pose:
        """As the unknowns are now."""
        return self.body.posed(self.start + self.turns * TURN, self.start_transl + self.steps * STEP, self.betas)

    def heights(self, pose: Pose) -> list[Tensor]:
        """Height of each foot's sole points over the floor."""
        level = (self.ground + self.plane[:, 0] * LEVEL)[self.owner]
        slopes = self.slopes[self.owner]
        heights = []
        for sole in self.body.soles:
            points = sole.posed(pose, self.betas)
            heights.append(points[..., 1] - level[:, None] - (points[..., [0, 2]] @ slopes[..., None])[..., 0])
        return heights

    def loss(self) -> Tensor:
        """Cost of a frame, mean over frames."""
        pose = self.pose()
        return self._data(pose) + self._rotations(pose) + self._smoothness(pose) + self._floor(pose) + self._constants()

    def _data(self, pose: Pose) -> Tensor:
        s = self.settings
        squared = ((self.targets.fitted(pose, self.betas, self.latent * LATENT) - self.points) ** 2).sum(-1)
        robust = squared / (squared + s.outlier**2) * (s.outlier / s.noise) ** 2
        return (self.targets.weights * self.seen * robust).sum(1).mean()

    def _rotations(self, pose: Pose) -> Tensor:
        s = self.settings
        loss = pose.six.new_zeros(())
        if s.rotation:
            turned = ((pose.world - self.copied) ** 2).sum((-1, -2))
            loss = loss + s.rotation * (self.stiffness * turned).sum(1).mean()
        if s.prior and self.prior is not None:
            mean, whitening = self.prior
            feature = pose.local[:, 1:22, :, :2].transpose(-1, -2).reshape(len(pose.six), -1)
            loss = loss + s.prior * ((feature - mean) @ whitening).square().sum(1).mean()
            loss = (
                loss
                + s.prior
                * 100.0
                * (pose.local[:, 22:, :, :2] - torch.eye(3)[:, :2].to(mean)).square().sum((1, 2, 3)).mean()
            )
        if s.limits:
            lower, upper = self.limits
            angle = rotation_angles(pose.local[:, 1:])
            beyond = torch.relu(lower - angle) + torch.relu(angle - upper)
            loss = loss + s.limits * (beyond / LIMITS.softness).square().sum((1, 2)).mean()
        return loss

    def _smoothness(self, pose: Pose) -> Tensor:
        joints, six = pose.joints, pose.six
        if len(joints) < 3:
            return six.new_zeros(())
        bend = (joints[2:] - 2 * joints[1:-1] + joints[:-2]) * self.pace / 0.0015
        swing = (six[2:] - 2 * six[1:-1] + six[:-2]) * self.pace / 0.01
        s = self.settings
        return s.jerkiness * (bend**2).sum((-1, -2)).mean() + s.turning * (swing**2).sum((-1, -2)).mean()

    def _floor(self, pose: Pose) -> Tensor:
        s, loss = self.settings, pose.six.new_zeros(())
        for foot, height in enumerate(self.heights(pose)):
            lowest = -torch.logsumexp(-height / 0.003, dim=1) * 0.003 + 0.003 * np.log(height.shape[1] / 4)
            square = (lowest / s.contact) ** 2
            loss = loss + (self.resting[:, foot] * square / (1 + square / 25)).mean()
            loss = loss + (torch.relu(-height) / s.sinking).square().sum(1).mean()
        return loss

    def _constants(self) -> Tensor:
        loss = 0.5 * (self.plane[:, 1:] ** 2).sum()
        return loss + 0.5 * (self.betas**2).sum() + self.targets.latent_cost(self.latent * LATENT)

    def _first_ground(self) -> Tensor:
        """Height of each capture's floor as the resting feet have it at the start."""
        self.ground = self.body.tensor(np.zeros(len(self.lengths)))
        with torch.no_grad():
            low = torch.stack([h.min(dim=1).values for h in self.heights(self.pose())], dim=1)
        levels = []
        for part, rest in zip(low.split(self.lengths), self.resting.split(self.lengths), strict=True):
            levels.append((part[rest > 0] if (rest > 0).any() else part.min(dim=1).values).median())
        return torch.stack(levels)

    def solve(self, iterations: int) -> None:
        """Run L-BFGS."""
        frames = sum(self.lengths)
        optimiser = torch.optim.LBFGS(
            self.unknowns, max_iter=25, history_size=20, line_search_fn="strong_wolfe", tolerance_change=0.0
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = self.loss() * frames
            loss.backward()
            return loss

        for done in range(0, iterations, 25):
            optimiser.param_groups[0]["max_iter"] = min(25, iterations - done)
            loss = optimiser.step(closure)
            log.debug("%d frames, %d iterations, loss %.4f", frames, done, float(loss.detach()) / frames)

    def solutions(self) -> list[Solution]:
        """One for each capture."""
        with torch.no_grad():
            pose = self.pose()
            fitted = self.targets.fitted(pose, self.betas, self.latent * LATENT)
            transl = self.start_transl + self.steps * STEP
            parts = [t.cpu().split(self.lengths) for t in (pose.local, pose.joints, fitted, pose.six, transl)]
            slopes = self.slopes.cpu().numpy().astype(np.float64)

        def as_array(part: Tensor) -> Array:
            return part.detach().numpy().astype(np.float64)

        return [
            Solution(
                rotations=as_array(local),
                pelvis=as_array(joints[:, 0]),
                fitted=as_array(points),
                slopes=slope,
                start=Start(six=as_array(six), transl=as_array(transl)),
            )
            for local, joints, points, six, transl, slope in zip(*parts, slopes, strict=True)
        ]

    def constants(self) -> Constants:
        """Shape and latent places."""
        with torch.no_grad():
            return Constants(
                betas=self.betas.cpu().numpy().astype(np.float64),
                latent=(self.latent * LATENT).cpu().numpy().astype(np.float64),
            )


def stiffness() -> Float[Array, " 24"]:
    """How firmly each joint keeps the rotation it starts from: where positions say little, more."""
    firm = np.full(24, 0.25)
    for name, value in {"pelvis": 0.5, "head": 2.0}.items():
        firm[JOINT_NAMES.index(name)] = value
    for joint, value in {"ankle": 0.6, "foot": 0.6, "wrist": 0.6, "collar": 2.0}.items():
        for side in ("left", "right"):
            firm[JOINT_NAMES.index(f"{side}_{joint}")] = value
    return firm
