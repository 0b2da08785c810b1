"""MoSh proper: fit the body to the markers of C3D files.

Source: Loper et al., "MoSh: Motion and Shape Capture from Sparse Markers" (2014). Stage one finds shape and latent
marker places from frames of all of a person's trials, stage two the pose of each frame. Poses are held by a prior
learned from other motion and by the joints' limits, as in Mahmood et al., "AMASS" (2019); the floor by heels and toes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from synth.body.joints import PARENTS
from synth.motion import prior as priors
from synth.motion.c3d import MarkerMotion
from synth.motion.contact import resting_points
from synth.motion.fitting import (
    Capture,
    Constants,
    FitSettings,
    Kinematics,
    Pose,
    Tensor,
    find_constants,
    skinned,
    solve,
)
from synth.motion.markers import FEET, LAYOUT, TORSO, Attachment, Place, attach, known
from synth.motion.mosh import Fit, finished
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["MARKER_SETTINGS", "capture", "fit_person", "held_out_errors", "labels_of", "learned_layout", "person"]

MARKER_SETTINGS = FitSettings(iterations=90, rotation=0.0, prior=0.02, limits=1.0)
"""A marker's distance is trusted more than the prior: a pose three deviations off costs as one marker 4 mm off."""
LOOSE = ((0.5, 5.0), (0.15, 2.0))
"""First stages: distance beyond which a marker pulls less and less [m], factor on the prior."""
FOLDS = 5
SOLE = ("HEE", "TOE", "MT5")


def labels_of(motions: Sequence[MarkerMotion]) -> tuple[str, ...]:
    """Every place that a marker of some motion is at, in the layout's order.

    Raises:
        SynthError: a motion has too few known markers.
    """
    found = set().union(*(known(motion) for motion in motions))
    return tuple(label for label in LAYOUT if label in found)


def fit_person(
    motions: Sequence[MarkerMotion],
    body: BodyModel,
    settings: FitSettings = MARKER_SETTINGS,
    constants: Constants | None = None,
    labels: Sequence[str] | None = None,
) -> list[Fit]:
    """Fit a body to the trials of one person, who wore the same markers at the same places in all of them.

    Args:
        motions: Labelled as the CMU database's.
        body: Model of the person's gender.
        settings: Weights.
        constants: Shape and latent places found before; None finds them.
        labels: Whose latent places these are; `labels_of(motions)` by default.

    Raises:
        SynthError: too few markers have a known place.
    """
    constants = person(motions, body, settings) if constants is None else constants
    kinematics, stages, prior = Kinematics(body, settings.device), _stages(settings), priors.load()
    targets = MarkerTargets(kinematics, attach(body, labels or labels_of(motions)))
    captures = [capture(motion, targets.attachment, body) for motion in motions]
    solutions = solve(captures, kinematics, targets, constants, stages, prior)
    return [finished(taken, found, constants, body) for taken, found in zip(captures, solutions, strict=True)]


def person(motions: Sequence[MarkerMotion], body: BodyModel, settings: FitSettings = MARKER_SETTINGS) -> Constants:
    """Find the shape of one person, and the places of the markers (of `labels_of(motions)`), from all trials."""
    kinematics = Kinematics(body, settings.device)
    targets = MarkerTargets(kinematics, attach(body, labels_of(motions)))
    captures = [capture(motion, targets.attachment, body) for motion in motions]
    return find_constants(captures, kinematics, targets, _stages(settings), priors.load())


def held_out_errors(
    motion: MarkerMotion,
    body: BodyModel,
    settings: FitSettings = MARKER_SETTINGS,
    folds: int = FOLDS,
    layout: Mapping[str, Place] | None = None,
) -> dict[str, Float[Array, " T"]]:
    """How well a fit predicts markers that it does not see.

    Shape and latent places come from the first half of the frames. In the second half the pose is found `folds`
    times, each time without a fifth of the markers, whose positions on the posed body are compared with the captured
    ones.

    Args:
        motion: A trial.
        body: Model of the person's gender.
        settings: Weights.
        folds: Parts that the markers are dealt to.
        layout: Where the markers sit; None for the project's own.

    Returns:
        Distance [m] in each frame of the second half by marker; NaN where it was not captured.
    """
    labels = labels_of([motion])
    kinematics, stages, prior = Kinematics(body, settings.device), _stages(settings), priors.load()
    targets = MarkerTargets(kinematics, attach(body, labels, layout or LAYOUT))
    taken = capture(motion, targets.attachment, body)
    half = len(taken) // 2
    first, second = taken.at(np.arange(half)), taken.at(np.arange(half, len(taken)))
    constants = find_constants([first], kinematics, targets, stages, prior)
    errors: dict[str, Array] = {}
    for fold in range(folds):
        hidden = list(range(fold, len(labels), folds))
        seen = motion.frames(half, len(taken))
        points = seen.points.copy()
        points[:, [known(motion)[labels[k]] for k in hidden]] = np.nan
        blind = capture(replace(seen, points=points), targets.attachment, body)
        fitted = solve([blind], kinematics, targets, constants, stages, prior)[0].fitted
        distance = np.linalg.norm(fitted - second.points, axis=-1)
        errors |= {labels[k]: distance[:, k] for k in hidden}
    return errors


def learned_layout(
    motion: MarkerMotion,
    body: BodyModel,
    layout: Mapping[str, Place],
    settings: FitSettings = MARKER_SETTINGS,
    rounds: int = 2,
) -> dict[str, Place]:
    """Where a trial's markers sit, found from the trial when that is known roughly.

    Each round finds shape and latent places, as any fit does, and puts each marker where it was found; what is then
    expected of it is half as wide.

    Args:
        motion: Some frames of a trial.
        body: Model of the person's gender.
        layout: Rough places, with how rough they are.
        settings: Weights.
        rounds: How often.
    """
    labels, found = labels_of([motion]), dict(layout)
    kinematics, stages, prior = Kinematics(body, settings.device), _stages(settings), priors.load()
    for _ in range(rounds):
        targets = MarkerTargets(kinematics, attach(body, labels, found))
        taken = capture(motion, targets.attachment, body)
        latent = find_constants([taken], kinematics, targets, stages, prior).latent
        for label, (x, y, z) in zip(labels, latent.tolist(), strict=True):
            old = found[label]
            found[label] = replace(old, x=old.x + x, y=old.y + y, z=old.z + z, spread=max(old.spread / 2, 0.02))
    return found


class MarkerTargets:
    """Markers on the posed skin: linear blend skinning with shape and pose blend shapes, plus a latent offset."""

    def __init__(self, body: Kinematics, attachment: Attachment) -> None:
        self.attachment = attachment
        self.weights = body.tensor(np.ones(len(attachment.labels)))
        self.points, self.normals = body.tensor(attachment.points), body.tensor(attachment.normals)
        self.shapedirs, self.skin = body.tensor(attachment.shapedirs), body.tensor(attachment.weights)
        self.posedirs = body.tensor(attachment.posedirs.reshape(-1, attachment.posedirs.shape[2]).T)
        self.spreads, self.clearances = body.tensor(attachment.spreads), body.tensor(attachment.clearances)
        self.identity = body.tensor(np.eye(3))

    def fitted(self, pose: Pose, betas: Tensor, latent: Tensor) -> Tensor:
        """Positions (T, K, 3) of the markers on the posed body."""
        frames, count = len(pose.six), len(self.points)
        feature = (pose.local[:, 1:] - self.identity).reshape(frames, -1)
        corrected = (feature @ self.posedirs).reshape(frames, count, 3)
        return skinned(self.points + self.shapedirs @ betas + latent + corrected, self.skin, pose)

    def latent_cost(self, latent: Tensor) -> Tensor:
        """Distance from the expected place along the skin and across it, in expected distances."""
        across = (latent * self.normals).sum(-1)
        along = (latent**2).sum(-1) - across**2
        return 0.5 * (along / self.spreads**2 + across**2 / self.clearances**2).sum()


def capture(motion: MarkerMotion, attachment: Attachment, body: BodyModel) -> Capture:
    """Say what is fitted to, and start from the prior's mean pose, turned as the torso's markers are."""
    columns = known(motion)
    points = np.full((len(motion), len(attachment.labels), 3), np.nan)
    for k, label in enumerate(attachment.labels):
        if label in columns:
            points[:, k] = motion.points[:, columns[label]]
    torso = [k for k, label in enumerate(attachment.labels) if label in TORSO]
    turn, shift = _rigid(attachment.points[torso], points[:, torso])
    rest = body.J_regressor @ body.v_template
    local = np.tile(np.eye(3), (24, 1, 1))
    local[1:22] = mean_pose(priors.load())
    world = np.empty((len(motion), 24, 3, 3))
    world[:, 0] = turn
    for j in range(1, 24):
        world[:, j] = world[:, PARENTS[j]] @ local[j]
    feet = [
        points[:, [k for k, label in enumerate(attachment.labels) if label in names and label[1:] in SOLE]]
        for names in FEET
    ]
    return Capture(
        source=motion.source,
        fps=motion.fps,
        points=points,
        rotations=world,
        pelvis=turn @ rest[0] + shift,
        resting=np.stack([resting_points(foot, motion.fps) for foot in feet], axis=1),
    )


def mean_pose(prior: priors.PosePrior) -> Float[Array, "21 3 3"]:
    """The prior's mean as rotations."""
    first, second = np.moveaxis(prior.mean.reshape(21, 2, 3), 1, 0)
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    second = second - (first * second).sum(1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _stages(settings: FitSettings) -> list[FitSettings]:
    """From loose to tight: a wide reach finds limbs that start far from their markers."""
    loose = [
        replace(settings, outlier=reach, prior=factor * settings.prior, iterations=max(25, settings.iterations // 2))
        for reach, factor in LOOSE
    ]
    return [*loose, settings]


def _rigid(rest: Float[Array, "K 3"], points: Float[Array, "T K 3"]) -> tuple[Array, Array]:
    """Rotation and translation that lay points at rest on each frame's (Kabsch 1976).

    A frame in which fewer than three were seen takes those of the nearest frame before or after.
    """
    seen = ~np.isnan(points[..., 0])
    good = np.flatnonzero(seen.sum(axis=1) >= 3)
    if not len(good):
        good = np.arange(len(points))
    nearest = good[np.round(np.interp(np.arange(len(points)), good, np.arange(len(good)))).astype(int)]
    points, weights = np.nan_to_num(points[nearest]), seen[nearest] + 1e-9
    weights = (weights / weights.sum(axis=1, keepdims=True))[..., None]
    middle, at = (weights * rest).sum(1), (weights * points).sum(1)
    moments = np.swapaxes(weights * (rest - middle[:, None]), 1, 2) @ (points - at[:, None])
    left, _, right = np.linalg.svd(moments)
    turn = np.swapaxes(left @ right, 1, 2)
    left[:, :, 2] *= np.sign(np.linalg.det(turn))[:, None]
    turn = np.swapaxes(left @ right, 1, 2)
    return turn, at - (turn @ middle[..., None])[..., 0]
