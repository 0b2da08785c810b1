"""Feet that rest do not slide more after resampling than before."""

import numpy as np
import pytest

from synth.body.model import load_named
from synth.motion import amass, catalog
from synth.motion.ground import moved
from synth.motion.quality import jitter, resting_feet, skating, skating_at
from synth.motion.resample import resample
from synth.types import Motion


def standing(frames, drift=0.0):
    zeros = np.zeros((frames, 3))
    return Motion(
        fps=120.0,
        global_orient=zeros + np.array([np.pi / 2, 0, 0]),
        body_pose=np.zeros((frames, 23, 3)),
        transl=zeros + np.arange(frames)[:, None] / 120.0 * [drift, 0, 0] + [0, 0, 1.0],
        source="made",
        source_frames=np.arange(float(frames)),
    )


def test_sliding_is_measured():
    body = load_named("free", "neutral")
    for drift in (0.0, 0.2):
        motion = standing(60, drift)
        assert resting_feet(motion, body, np.zeros(10)).all()
        assert skating(motion, body, np.zeros(10), np.ones((60, 2))) == pytest.approx(drift, abs=1e-9)
        assert list(skating_at(motion, body, np.zeros(10), (30.0, 24.0)).values()) == pytest.approx(
            [drift] * 2, abs=1e-9
        )
    assert not resting_feet(standing(60, 1.0), body, np.zeros(10)).any()  # too fast to rest


def test_trembling_is_measured():
    # Catches a measure that takes plain movement for trembling, or one that a shorter time hides.
    body, still = load_named("free", "neutral"), np.zeros(10)
    moving = standing(240, 1.5)
    assert jitter(moving, body, still) < 1e-9
    shaken = np.where(np.arange(240)[:, None] % 2, [0, 0, 0.002], [0, 0, -0.002])
    found = jitter(moved(moving, moving.transl + shaken), body, still)
    assert found == pytest.approx(0.002, rel=0.3)
    assert jitter(moving.frames(0, 3), body, still) == 0.0


@pytest.mark.parametrize("name", ["01_01", "01_03"])
def test_feet_slide_no_more_after_resampling_and_frames_keep_their_numbers(name):
    # Catches mixing frames across a wrong share, which moves feet to and fro.
    (sequence,) = catalog.find(f"cmu:{name}")
    first, last = sequence.usable[0]
    recording = amass.read(sequence.path, start=first, stop=min(last, first + 600))
    body = load_named("free", recording.gender)
    before, *after = skating_at(recording.motion, body, recording.betas, (120.0, 60.0, 30.0, 25.0)).values()
    assert 0.0 < before < 0.15
    assert max(after) < 1.05 * before
    made = resample(recording.motion, 25.0)
    np.testing.assert_allclose(made.source_frames, first + 4.8 * np.arange(len(made)), atol=1e-9)
