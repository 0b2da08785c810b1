import numpy as np
import pytest

from synth.body.lbs import posed
from synth.body.model import load_named
from synth.motion import catalog, sampler
from synth.motion.variation import Variations, mirrored, turned
from synth.rng import generator
from synth.spec import MotionSpec, VariationSpec, digest, from_json, to_json
from synth.types import Motion


@pytest.fixture(scope="module")
def motion():
    rng = np.random.default_rng(0)
    return Motion(
        fps=30.0,
        global_orient=rng.normal(0, 1, (4, 3)),
        body_pose=rng.normal(0, 0.3, (4, 23, 3)),
        transl=rng.normal(0, 1, (4, 3)),
        source="made",
        source_frames=np.arange(4.0),
    )


def joints(motion, body):
    return posed(body, np.zeros(10), motion.global_orient, motion.body_pose, motion.transl)[1]


def test_the_mirror_swaps_the_sides(motion):
    # Catches sides that keep their place, a wrong sign, a translation left as it was: the free body is symmetric.
    body = load_named("free", "neutral")
    swap = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
    expected = joints(motion, body)[:, swap] * [-1.0, 1.0, 1.0]
    np.testing.assert_allclose(joints(mirrored(motion), body), expected, atol=1e-4)
    np.testing.assert_allclose(mirrored(mirrored(motion)).full_pose, motion.full_pose)


def test_a_turn_is_rigid(motion):
    body = load_named("free", "neutral")
    pivot = body.J_regressor[0] @ body.v_template
    before, after = joints(motion, body), joints(turned(motion, np.pi / 2, pivot), body)
    np.testing.assert_allclose(after, before[..., [1, 0, 2]] * [-1.0, 1.0, 1.0], atol=1e-9)


def test_nothing_changes_by_default():
    rng = generator(0, "x")
    assert Variations().sample(rng) is None
    plan = sampler.plan_motions(catalog.find("cmu"), seed=1, clips=2, interpolated_share=0.0, frames=10, fps=30.0)
    assert all(spec.variation is None for spec in plan)
    assert "variation" not in to_json(plan[0])  # ids of specs made before there were variations stay
    assert from_json(MotionSpec, to_json(plan[0])) == plan[0]


def test_variations_are_named_in_the_spec_and_carried_out():
    sequences = catalog.find("cmu:01_01")
    given = {"seed": 1, "clips": 6, "interpolated_share": 0.0, "frames": 10, "fps": 30.0}
    allowed = Variations(mirror_share=0.5, speed=(0.5, 2.0), yaw=3.0)
    plain, varied = (sampler.plan_motions(sequences, **given, variations=v) for v in (None, allowed))
    found = [spec.variation or VariationSpec() for spec in varied]
    assert len({digest(spec) for spec in varied} | {digest(spec) for spec in plain}) == 12
    assert {v.mirror for v in found} == {True, False}
    assert all(0.5 <= v.speed <= 2.0 and abs(v.yaw) <= 3.0 for v in found)
    assert np.ptp([v.speed for v in found]) > 0.3
    body = load_named("free", "neutral")
    for spec, change in zip(varied, found, strict=True):
        assert from_json(MotionSpec, to_json(spec)) == spec
        motion, _ = sampler.realise(spec, body, np.zeros(10))
        assert len(motion) == 10
        taken = spec.frames[1] - spec.frames[0]
        assert taken == int(np.ceil(9 * 4 * change.speed - 1e-6)) + 1
        assert motion.source_frames[-1] - motion.source_frames[0] == pytest.approx(36 * change.speed)
