import numpy as np
import pytest

from synth.body.lbs import posed
from synth.body.model import load_named
from synth.motion import catalog, sampler
from synth.motion.variation import Variations, closed, mirrored, turned
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


def test_closed_hands_bend_towards_the_palm_and_nothing_else_moves(motion):
    # Catches a hand that bends backwards, one that bends the other, a wrist that moves along.
    body = load_named("free", "neutral")
    rest = Motion(
        fps=30.0, global_orient=np.zeros((1, 3)), body_pose=np.zeros((1, 23, 3)), transl=np.zeros((1, 3)), source="",
        source_frames=np.zeros(1),
    )  # fmt: skip
    skin = [posed(body, np.zeros(10), m.global_orient, m.body_pose, m.transl)[0][0] for m in
            (rest, closed(rest, (0.9, 0.0)), closed(rest, (0.0, 0.9)))]  # fmt: skip
    fingers = [np.argmax(body.v_template[:, 0]), np.argmin(body.v_template[:, 0])]
    for side, (own, other) in ((1, fingers), (2, fingers[::-1])):
        assert skin[side][own, 1] < skin[0][own, 1] - 0.03  # palms face down in the T-pose
        np.testing.assert_allclose(skin[side][other], skin[0][other], atol=1e-9)
        wrist = np.abs(body.v_template[:, 0]) < 0.55
        np.testing.assert_allclose(skin[side][wrist], skin[0][wrist], atol=2e-3)
    np.testing.assert_allclose(closed(motion, (0.4, 0.2)).full_pose[:, :22], motion.full_pose[:, :22])


def test_hands_are_named_in_the_spec_and_carried_out():
    sequences = catalog.find("cmu:01_01")
    given = {"seed": 1, "clips": 4, "interpolated_share": 0.5, "frames": 10, "fps": 30.0}
    plan = sampler.plan_motions(sequences, **given, variations=Variations(hands=0.8))
    for spec in plan:
        assert spec.variation is not None
        left, right = spec.variation.hands
        assert 0.0 <= left <= 0.8
        assert 0.0 <= right <= 0.8
        assert from_json(MotionSpec, to_json(spec)) == spec
        motion, _ = sampler.realise(spec, load_named("free", "neutral"), np.zeros(10))
        np.testing.assert_allclose(motion.body_pose[:, 21, 2], -left, atol=0.02)
        np.testing.assert_allclose(motion.body_pose[:, 22, 2], right, atol=0.02)
    assert "hands" not in to_json(VariationSpec(mirror=True))  # ids of specs made before there were hands stay
