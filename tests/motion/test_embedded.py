"""The motions that come with the project are good enough to be shown."""

import numpy as np
import pytest

from synth.assets import manifest, sha256_of
from synth.body.lbs import posed
from synth.body.model import load_named
from synth.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from synth.motion import amass, catalog, sampler
from synth.motion.ground import lowest


def test_they_are_real_cmu_and_recorded_in_the_manifest():
    for sequence in catalog.find("cmu"):
        entry = manifest()[sequence.reference.removeprefix("asset:")]
        assert entry["sha256"] == sequence.sha256 == sha256_of(sequence.path)
        assert "NSF EIA-0196217" in entry["licence"]
        assert sequence.fps == 120.0
        assert sequence.frames > 2700
    assert sum(s.path.stat().st_size for s in catalog.find("cmu")) < 2 * 2**20


@pytest.mark.parametrize("name", ["01_01", "01_03"])
def test_the_person_stands_on_the_floor_and_moves_like_one(name):
    (sequence,) = catalog.find(f"cmu:{name}")
    recording = amass.read(sequence.path)
    body = load_named("free", recording.gender)
    assert np.abs(recording.betas).max() < 3
    for first, last in sequence.usable:
        motion = recording.motion.frames(first, last)
        low = lowest(body, recording.betas, motion.frames(0, len(motion) - 1))[0][::6]
        assert -0.03 < low.min() < 0.03
        assert np.median(np.abs(low)) < 0.03
        # A rotation that jumps by more than 12 degrees within 1/120 s is a flipped limb.
        matrices = rotvec_to_rotmat(motion.body_pose)
        turns = rotmat_to_rotvec(np.swapaxes(matrices[:-1], -1, -2) @ matrices[1:])
        assert np.linalg.norm(turns, axis=-1).max() < 0.2
        assert np.linalg.norm(np.diff(motion.transl, axis=0), axis=1).max() * 120 < 6.0


def test_climbing_is_not_sampled():
    (sequence,) = catalog.find("cmu:01_03")
    recording = amass.read(sequence.path)
    body = load_named("free", recording.gender)
    inside = np.zeros(sequence.frames, dtype=bool)
    for first, last in sequence.usable:
        inside[first:last] = True
    assert 0.4 < inside.mean() < 0.7
    at = np.arange(0, sequence.frames, 30)
    motion = recording.motion
    vertices, _ = posed(body, recording.betas, motion.global_orient[at], motion.body_pose[at], motion.transl[at])
    high = vertices[..., 2].min(axis=1) > 0.2
    assert high.sum() > 20
    assert not (high & inside[at]).any()


def test_clips_of_any_body_stand_on_the_floor():
    plan = sampler.plan_motions(catalog.find("cmu"), seed=5, clips=6, interpolated_share=0.5, frames=30, fps=30.0)
    for k, spec in enumerate(plan):
        body = load_named("free", ("neutral", "male", "female")[k % 3])
        betas = np.random.default_rng(k).normal(size=10).clip(-2, 2)
        motion, _ = sampler.realise(spec, body, betas)
        low = lowest(body, betas, motion)[0]
        assert low.min() > -0.005
        assert low.min() < 0.01
        assert spec.kind == "original" or low.max() < 0.005
