"""The solver behind every fit of the body to a capture, whether of a skeleton's joints or of markers.

All frames are solved at once with L-BFGS, from coarse to fine in time: shape and latent places at about 15 frames a
second over all of a person's trials, then the pose alone at 15, 60 and all frames a second, each starting from the one
before. What is minimised is in `synth.motion.problem`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from synth.motion.kinematics import Kinematics, Pose, Tensor, skinned
from synth.motion.prior import PosePrior
from synth.motion.problem import LATENT, Capture, Constants, FitSettings, Problem, Solution, Start, Targets

Array = np.ndarray

__all__ = [
    "Capture",
    "Constants",
    "FitSettings",
    "Kinematics",
    "Pose",
    "Solution",
    "Targets",
    "Tensor",
    "find_constants",
    "frames_at",
    "skinned",
    "solve",
]

COARSE, MIDDLE = 15.0, 60.0
"""Rates of the coarser solutions [Hz]."""
SAMPLE = 600
"""Frames that shape and latent places are found from, at most."""


def find_constants(
    captures: Sequence[Capture],
    body: Kinematics,
    targets: Targets,
    stages: Sequence[FitSettings],
    prior: PosePrior | None = None,
) -> Constants:
    """Find one shape and the latent places from frames of all captures of a person, evenly spread.

    Args:
        captures: Trials of one person, with the same points.
        body: Model.
        targets: Where the points sit.
        stages: Settings, one after the other, such as from loose to tight.
        prior: Of poses.
    """
    seconds = sum(len(capture) / capture.fps for capture in captures)
    rate = min(COARSE, SAMPLE / seconds)
    chosen = [capture.at(frames_at(len(capture), capture.fps, rate)) for capture in captures]
    constants, start = None, None
    for settings in stages:
        problem = Problem(chosen, body, targets, settings, prior, None, start)
        if constants is not None:
            with torch.no_grad():
                problem.betas.copy_(body.tensor(constants.betas))
                problem.latent.copy_(body.tensor(constants.latent / LATENT))
        problem.solve(settings.iterations)
        constants = problem.constants()
        parts = problem.solutions()
        start = _joined([part.start for part in parts])
    assert constants is not None
    return constants


def solve(
    captures: Sequence[Capture],
    body: Kinematics,
    targets: Targets,
    constants: Constants,
    stages: Sequence[FitSettings],
    prior: PosePrior | None = None,
) -> list[Solution]:
    """Find the pose of each frame, shape and latent places being known.

    Args:
        captures: Trials; `batch` of the last stage's settings at a time are solved together.
        body: Model.
        targets: Where the points sit.
        constants: From `find_constants`.
        stages: Settings at the coarsest rate, one after the other; finer rates take the last.
        prior: Of poses.
    """
    batch = max(1, stages[-1].batch)
    return [
        solution
        for k in range(0, len(captures), batch)
        for solution in _solve_together(captures[k : k + batch], body, targets, constants, stages, prior)
    ]


def _solve_together(
    captures: Sequence[Capture],
    body: Kinematics,
    targets: Targets,
    constants: Constants,
    stages: Sequence[FitSettings],
    prior: PosePrior | None,
) -> list[Solution]:
    """One batch, from coarse to fine."""

    def solved(chosen: list[Array], settings: FitSettings, start: Start | None, iterations: int) -> list[Solution]:
        parts = [capture.at(frames) for capture, frames in zip(captures, chosen, strict=True)]
        problem = Problem(parts, body, targets, settings, prior, constants, start)
        problem.solve(iterations)
        return problem.solutions()

    known = [frames_at(len(capture), capture.fps, COARSE) for capture in captures]
    solutions: list[Solution] = []
    for settings in stages:
        start = _joined([solution.start for solution in solutions]) if solutions else None
        solutions = solved(known, settings, start, settings.iterations)
    last = stages[-1]
    for rate, share in ((MIDDLE, 4), (np.inf, 8)):
        frames = [frames_at(len(capture), capture.fps, rate) for capture in captures]
        if [len(f) for f in frames] == [len(k) for k in known]:
            continue
        starts = [
            Start(six=_between(old, s.start.six, new), transl=_between(old, s.start.transl, new))
            for s, old, new in zip(solutions, known, frames, strict=True)
        ]
        solutions, known = solved(frames, last, _joined(starts), max(10, last.iterations // share)), frames
    return solutions


def _joined(starts: Sequence[Start]) -> Start:
    return Start(
        six=np.concatenate([start.six for start in starts]), transl=np.concatenate([start.transl for start in starts])
    )


def frames_at(count: int, fps: float, rate: float) -> Array:
    """Evenly spaced frame numbers at about a rate, the first and the last among them."""
    wanted = max(2, min(count, 1 + round((count - 1) * min(rate / fps, 1.0))))
    return np.unique(np.round(np.linspace(0, count - 1, wanted)).astype(int))


def _between(known: Array, values: Array, frames: Array) -> Array:
    """Values at more frames, on cubic splines."""
    if len(known) < 4:
        flat = values.reshape(len(values), -1)
        return np.stack([np.interp(frames, known, column) for column in flat.T], axis=1).reshape(-1, *values.shape[1:])
    return CubicSpline(known, values, axis=0)(frames)
