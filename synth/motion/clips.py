"""From a spec to a motion: a stretch of a recording, or the frames between two poses, on the floor for its wearer."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from synth.assets import resolve
from synth.body.lbs import shaped
from synth.body.model import load_named
from synth.errors import SynthError
from synth.geometry.rotations import rotmat_to_quat_wxyz, rotmat_to_rotvec, rotvec_to_rotmat, slerp
from synth.motion import recordings
from synth.motion.ground import stand, worn
from synth.motion.interpolate import between, eased
from synth.motion.resample import resample
from synth.motion.variation import closed, faster, mirrored, turned
from synth.spec import MotionSpec, VariationSpec
from synth.types import BodyModel, Motion

Array = np.ndarray

__all__ = ["free_body", "path_between", "realise", "turned_like"]


def realise(
    spec: MotionSpec, body: BodyModel, betas: Float[Array, " B"] | None = None
) -> tuple[Motion, Float[Array, " C"] | None]:
    """Make the motion that a spec describes, standing on the floor (z = 0) for the body that wears it.

    Args:
        spec: From `plan_motions`.
        body: Who wears it.
        betas: Its shape; None takes the recorded person's for an original, zeros for an interpolated clip.

    Returns:
        The motion at `spec.fps`, and the betas of the recorded person (None for an interpolated clip).

    Raises:
        SynthError: a file is missing, has changed or does not hold the frames.
    """
    paths = [resolve(reference) for reference in spec.sources]
    if spec.kind == "original":
        recording = recordings.read(paths[0], name=spec.names[0], start=spec.frames[0], stop=spec.frames[1])
        source_body, source_betas = _recorded_body(recording, body)
        motion = resample(faster(recording.motion, spec.variation.speed if spec.variation else 1.0), spec.fps)
        if len(motion) < spec.count:
            raise SynthError(f"{paths[0]}: {spec.count} frames at {spec.fps} Hz were planned, there are {len(motion)}")
        motion = _varied(motion.frames(0, spec.count), spec.variation, source_body, source_betas)
        wearer, shape = (source_body, source_betas) if betas is None else (body, betas)
        return worn(motion, source_body, source_betas, wearer, shape), recording.betas
    ends = [
        recordings.read(path, name=name, start=frame, stop=frame + 1).motion
        for path, name, frame in zip(paths, spec.names, spec.frames, strict=True)
    ]
    shape = np.zeros(body.shapedirs.shape[2]) if betas is None else betas
    path = path_between(ends[0], ends[1], spec.count, spec.fps, spec.method)
    return stand(_varied(path, spec.variation, body, shape), body, shape), None


def _varied(motion: Motion, variation: VariationSpec | None, body: BodyModel, betas: Float[Array, " B"]) -> Motion:
    """Mirror, close the hands, turn; the speed is changed before resampling."""
    if variation is None:
        return motion
    motion = mirrored(motion) if variation.mirror else motion
    motion = closed(motion, variation.hands) if variation.hands else motion
    return turned(motion, variation.yaw, shaped(body, betas)[1][0]) if variation.yaw else motion


def path_between(start: Motion, end: Motion, count: int, fps: float, method: str) -> Motion:
    """Frames from one pose to another; the body keeps the heading of the first.

    Args:
        start: One frame.
        end: One frame.
        count: Number of frames, both ends included.
        fps: Rate of the result [Hz].
        method: See `synth.motion.interpolate.between`. The root always follows the shortest arc.

    Returns:
        The motion; its translation means nothing yet (see `synth.motion.ground.stand`).
    """
    shares = eased(count)
    facing = turned_like(end.global_orient[0], start.global_orient[0])
    source_frames = np.full(count, np.nan)
    source_frames[[0, -1]] = start.source_frames[0], end.source_frames[0]
    return Motion(
        fps=fps,
        global_orient=slerp(np.tile(start.global_orient, (count, 1)), np.tile(facing, (count, 1)), shares),
        body_pose=between(start.body_pose[0], end.body_pose[0], shares, method),
        transl=np.zeros((count, 3)),
        source=f"{start.source} ~ {end.source}",
        source_frames=source_frames,
    )


def turned_like(global_orient: Float[Array, " 3"], reference: Float[Array, " 3"]) -> Float[Array, " 3"]:
    """Turn a root rotation about the vertical so that it comes closest to another.

    The best turn is the twist about z of the rotation between the two; unlike a heading it is defined for a body that
    lies or bends over, too.
    """
    first, second = rotvec_to_rotmat(global_orient), rotvec_to_rotmat(reference)
    w, _, _, z = rotmat_to_quat_wxyz(second @ first.T)
    turn = np.array([0.0, 0.0, 2.0 * np.arctan2(z, w)])
    return rotmat_to_rotvec(rotvec_to_rotmat(turn) @ first)


FAMILY = {"free": "free", "smpl": "smpl", "smplh": "smpl", "smplx": "smplx"}
"""Bodies of one family share their betas; SMPL+H has SMPL's."""


def _recorded_body(recording: recordings.Recording, body: BodyModel) -> tuple[BodyModel, Array]:
    """The body a motion was fitted to, or the nearest there is: the wearer's, mean if betas are not its own."""
    if recording.model == "free":
        source = body if (body.name, body.gender) == ("free", recording.gender) else free_body(recording.gender)
    else:
        source = body
    betas = np.zeros(source.shapedirs.shape[2])
    if FAMILY.get(recording.model) == FAMILY.get(source.name):
        known = min(len(betas), len(recording.betas))
        betas[:known] = recording.betas[:known]
    return source, betas


@lru_cache(maxsize=3)
def free_body(gender: str) -> BodyModel:
    """The project's body, kept in memory."""
    return load_named("free", gender)
