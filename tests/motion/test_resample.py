import numpy as np
import pytest

from synth.motion.resample import frame_count, resample, sampled_at
from synth.types import Motion


def turning(frames, fps, speed):
    """A root that turns about z at constant speed [rad/s] and moves along x at 1 m/s."""
    time = np.arange(frames) / fps
    return Motion(
        fps=fps,
        global_orient=np.outer(time * speed, [0, 0, 1.0]),
        body_pose=np.zeros((frames, 23, 3)),
        transl=np.outer(time, [1.0, 0, 0]),
        source="turn",
        source_frames=np.arange(frames, dtype=float),
    )


@pytest.mark.parametrize("fps", [24.0, 30.0, 50.0, 240.0])
def test_constant_turn_stays_constant(fps):
    motion = resample(turning(121, 120.0, 1.5), fps)
    time = np.arange(len(motion)) / fps
    np.testing.assert_allclose(motion.global_orient[:, 2], 1.5 * time, atol=1e-9)
    np.testing.assert_allclose(motion.transl[:, 0], time, atol=1e-12)
    np.testing.assert_allclose(motion.source_frames, time * 120, atol=1e-9)
    assert len(motion) == round(fps) + 1


def test_a_turn_through_pi_does_not_spin():
    # Catches linear mixing of vectors: the recorded vector flips from +pi to -pi.
    motion = turning(5, 1.0, 1.0)
    flipped = motion.global_orient.copy()
    flipped[4, 2] -= 2 * np.pi
    made = resample(
        Motion(
            fps=1.0,
            global_orient=flipped,
            body_pose=motion.body_pose,
            transl=motion.transl,
            source="",
            source_frames=motion.source_frames,
        ),
        10.0,
    )
    angle = np.unwrap(made.global_orient[:, 2])
    np.testing.assert_allclose(np.diff(angle), 0.1, atol=1e-9)


def test_ends():
    motion = turning(10, 120.0, 1.0)
    assert resample(motion, 120.0) is motion
    assert frame_count(10, 120.0, 30.0) == 3
    assert frame_count(1, 120.0, 30.0) == 1
    with pytest.raises(ValueError, match="positions"):
        sampled_at(motion, np.array([9.5]), 120.0)


def test_made_frames_stay_unnumbered():
    motion = turning(3, 30.0, 1.0)
    numbers = np.array([0.0, np.nan, 2.0])
    marked = Motion(
        fps=30.0,
        global_orient=motion.global_orient,
        body_pose=motion.body_pose,
        transl=motion.transl,
        source="",
        source_frames=numbers,
    )
    found = resample(marked, 60.0).source_frames
    assert found[0] == 0.0
    assert found[4] == 2.0
    assert np.isnan(found[1:4]).all()
