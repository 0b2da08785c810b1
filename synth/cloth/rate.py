"""The rate at which cloth is simulated: that of the recording, up to 120 Hz, whatever the rate of the pictures.

Between two pictures a fast hand moves further than a sleeve is wide; where the recording knows the way, the solver gets
it. Frames made between two poses are slow and smooth: they are simulated as they are rendered.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from synth.assets import resolve
from synth.motion import amass
from synth.motion.clips import realise
from synth.spec import MotionSpec
from synth.types import BodyModel, Motion

Array = np.ndarray

__all__ = ["captured", "finer", "thinned"]

_MOST = 120.0


def finer(spec: MotionSpec) -> int:
    """Simulated frames for each rendered one: as many as the recording has, at most 120 a second."""
    if spec.kind != "original":
        return 1
    speed = spec.variation.speed if spec.variation else 1.0
    rate = min(_MOST, amass.header(resolve(spec.sources[0])).fps * speed)
    return max(1, int(rate / spec.fps + 1e-6))


def captured(spec: MotionSpec, body: BodyModel, betas: Float[Array, " B"]) -> tuple[Motion, int]:
    """A spec's motion at the rate at which cloth is simulated.

    Args:
        spec: The motion, at the rate of the pictures.
        body: Who wears it.
        betas: Its shape.

    Returns:
        The motion, and how many of its frames there are to each rendered one: the first is both.
    """
    every = finer(spec)
    fine = dataclasses.replace(spec, fps=spec.fps * every, count=(spec.count - 1) * every + 1)
    return realise(fine, body, betas)[0], every


def thinned(motion: Motion, start: int, every: int) -> Motion:
    """The frame `start` of a motion and every so many after it."""
    kept = slice(start, None, every)
    return Motion(
        fps=motion.fps / every,
        global_orient=motion.global_orient[kept],
        body_pose=motion.body_pose[kept],
        transl=motion.transl[kept],
        source=motion.source,
        source_frames=motion.source_frames[kept],
    )
