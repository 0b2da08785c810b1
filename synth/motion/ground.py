"""Bodies on the floor (z = 0): for the frames between two poses, and for a motion worn by another shape."""

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import savgol_filter

from synth.body.lbs import posed, shaped
from synth.types import BodyModel, Motion

Array = np.ndarray

FEET = (7, 8, 10, 11)
"""Ankles and feet."""
SMOOTHING = 0.25
"""Window of the smoothing of vertical corrections [s]."""
CARRYING = 0.05
"""Skin this close to the floor carries the body [m]."""
REACH = 0.03
"""Height over the floor at which a foot's hold has fallen to 1/e [m]."""


def lowest(
    body: BodyModel, betas: Float[Array, " B"], motion: Motion
) -> tuple[Float[Array, " T"], Int[Array, " T"], Float[Array, "T 24 3"]]:
    """The lowest point of the skin in each frame.

    Returns:
        Its height [m], the vertex, and the joints in the world [m].
    """
    vertices, joints = posed(body, betas, motion.global_orient, motion.body_pose, motion.transl)
    vertex = np.argmin(vertices[..., 2], axis=1)
    return np.take_along_axis(vertices[..., 2], vertex[:, None], axis=1)[:, 0], vertex, joints


def imbalance(vertices: Float[Array, "T V 3"]) -> Float[Array, " T"]:
    """How far the body's middle is beside what carries it, in each frame [m]; 0 for one who stands at ease.

    The middle is the skin's mean; what carries it is the box around the skin near the lowest point.
    """
    carrying = vertices[..., 2] < vertices[..., 2].min(axis=1, keepdims=True) + CARRYING
    outside = np.empty(len(vertices))
    for t, (points, low) in enumerate(zip(vertices[..., :2], carrying, strict=True)):
        middle, box = points.mean(axis=0), points[low]
        outside[t] = np.linalg.norm(middle - np.clip(middle, box.min(axis=0), box.max(axis=0)))
    return outside


def stand(motion: Motion, body: BodyModel, betas: Float[Array, " B"]) -> Motion:
    """Move a motion whose translation means nothing so that the body stands on the floor and walks on its feet.

    The lowest point of the skin goes to z = 0 in every frame, smoothed over time since the support changes abruptly.
    Horizontally the root moves so that a foot near the floor does not slide; the pelvis is over the origin on average.

    Args:
        motion: Rotations are kept.
        body: Who wears it.
        betas: Shape.
    """
    still = moved(motion, np.zeros_like(motion.transl))
    low, _, joints = lowest(body, betas, still)
    transl = np.zeros_like(motion.transl)
    transl[:, 2] = -_smooth(low, motion.fps)
    feet = joints[:, FEET]
    hold = np.exp(-(feet[..., 2] - low[:, None]) / REACH)
    hold = hold[1:] + hold[:-1]
    slide = (np.diff(feet[..., :2], axis=0) * hold[..., None]).sum(axis=1) / hold.sum(axis=1)[:, None]
    transl[1:, :2] = -np.cumsum(slide, axis=0)
    transl[:, :2] -= (transl + joints[:, 0])[:, :2].mean(axis=0)
    return moved(motion, transl)


def worn(
    motion: Motion,
    source_body: BodyModel,
    source_betas: Float[Array, " B"],
    body: BodyModel,
    betas: Float[Array, " C"],
) -> Motion:
    """Give a captured motion to another body: longer legs make longer steps, and the feet meet the floor as before.

    The path of the pelvis is scaled by the ratio of the legs. What is left (feet and shoes differ) is taken out by a
    smoothed vertical shift towards the scaled height of the source's lowest point, its 10th percentile being the
    floor: z = 0, and where the person stood on something, that too. Nothing is wanted below it.

    Args:
        motion: As captured.
        source_body: Body it was fitted to.
        source_betas: Shape it was fitted with.
        body: Who wears it.
        betas: Shape.
    """
    low, _, joints = lowest(source_body, source_betas, motion)
    ratio = leg_length(body, betas) / leg_length(source_body, source_betas)
    pelvis = joints[:, 0] - [*joints[:, 0, :2].mean(axis=0), 0.0]
    moving = moved(motion, ratio * pelvis - shaped(body, betas)[1][0])
    new_low, _, _ = lowest(body, betas, moving)
    height = ratio * np.maximum(low - np.percentile(low, 10.0), 0.0)
    shift = _smooth(height - new_low, motion.fps)
    return moved(moving, moving.transl + shift[:, None] * [0.0, 0.0, 1.0])


def leg_length(body: BodyModel, betas: Float[Array, " B"]) -> float:
    """Hip to knee to ankle, mean of both legs [m]."""
    _, joints = shaped(body, betas)
    return float(np.linalg.norm(joints[[1, 2, 4, 5]] - joints[[4, 5, 7, 8]], axis=1).sum() / 2)


def moved(motion: Motion, transl: Float[Array, "T 3"]) -> Motion:
    """The same motion elsewhere."""
    return Motion(
        fps=motion.fps,
        global_orient=motion.global_orient,
        body_pose=motion.body_pose,
        transl=transl,
        source=motion.source,
        source_frames=motion.source_frames,
    )


def _smooth(signal: Float[Array, " T"], fps: float) -> Float[Array, " T"]:
    """Local cubic fits: rounds the corners where the support changes, leaves a squat's steady rise and fall alone."""
    window = min(max(5, 2 * round(SMOOTHING * fps / 2) + 1), (len(signal) - 1) // 2 * 2 + 1)
    return signal if window < 5 else np.asarray(savgol_filter(signal, window, 3, mode="interp"))
