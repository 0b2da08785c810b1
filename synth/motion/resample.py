"""A motion at another frame rate. Rotations follow great circles (Shoemake 1985), translations straight lines."""

import numpy as np
from jaxtyping import Float

from synth.geometry.rotations import slerp
from synth.types import Motion

Array = np.ndarray


def resample(motion: Motion, fps: float) -> Motion:
    """Sample a motion at another rate, from its first frame to at most its last.

    Args:
        motion: At any rate.
        fps: Wanted rate [Hz].

    Returns:
        The motion at `fps`; `source_frames` are fractional where a new frame falls between two old ones.

    Raises:
        ValueError: `fps` is not positive.
    """
    if not fps > 0:
        raise ValueError(f"fps: expected a positive rate, got {fps}")
    if abs(fps - motion.fps) <= 1e-9 * fps:
        return motion
    step = motion.fps / fps
    return sampled_at(motion, np.arange(frame_count(len(motion), motion.fps, fps)) * step, fps)


def frame_count(frames: int, fps: float, new_fps: float) -> int:
    """Number of frames at another rate that lie within a motion of `frames` at `fps`."""
    return int(np.floor((frames - 1) * new_fps / fps + 1e-6)) + 1


def sampled_at(motion: Motion, positions: Float[Array, " N"], fps: float) -> Motion:
    """Sample a motion at fractional frame positions.

    Args:
        motion: At any rate.
        positions: Frame positions within [0, frames - 1], counted in the motion itself.
        fps: Rate to note in the result [Hz].

    Raises:
        ValueError: a position lies outside the motion.
    """
    last = len(motion) - 1
    if positions.min() < -1e-6 or positions.max() > last + 1e-6:
        raise ValueError(f"positions: expected within [0, {last}], got {positions.min()} to {positions.max()}")
    positions = np.clip(positions, 0, last)
    before = np.minimum(np.floor(positions).astype(int), max(last - 1, 0))
    after = np.minimum(before + 1, last)
    share = positions - before
    pose = slerp(motion.full_pose[before], motion.full_pose[after], share[:, None])
    return Motion(
        fps=fps,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:],
        transl=_mixed(motion.transl[before], motion.transl[after], share[:, None]),
        source=motion.source,
        source_frames=_mixed(motion.source_frames[before], motion.source_frames[after], share),
    )


def _mixed(start: Array, end: Array, share: Array) -> Array:
    """Linear mixture, exact at both ends; a NaN partner of weight zero does not spread."""
    return np.where(share == 0, start, np.where(share == 1, end, start + share * (end - start)))
