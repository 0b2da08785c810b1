import hashlib
import subprocess
import sys

import numpy as np
import pytest

from synth.body.lbs import posed, shaped
from synth.body.model import load_named
from synth.errors import SynthError
from synth.geometry.rotations import canonical_rotvec, rotmat_to_rotvec, rotvec_to_rotmat
from synth.motion import amass, catalog, checks, sampler
from synth.motion.checks import BEYOND, FLOOR, beyond_limits
from synth.motion.clips import path_between, turned_like
from synth.motion.collision import overlap_depth, worst_overlap
from synth.motion.ground import imbalance, leg_length, lowest, stand
from synth.motion.interpolate import pose_distances
from synth.spec import from_json, to_json
from synth.types import Motion

FRAMES = 360
SETTINGS = {"seed": 3, "clips": 8, "interpolated_share": 0.5, "frames": 30, "fps": 30.0}
STANDING = np.array([np.pi / 2, 0.0, 0.0])


@pytest.fixture(scope="module")
def body():
    return load_named("free", "neutral")


def motion_of(pose, transl=None, fps=120.0):
    frames = len(pose)
    return Motion(
        fps=fps,
        global_orient=np.tile(STANDING, (frames, 1)),
        body_pose=pose,
        transl=np.zeros((frames, 3)) if transl is None else transl,
        source="made",
        source_frames=np.arange(frames, dtype=float),
    )


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """Three people who swing arms and bend knees; the third stands still in its first half."""
    folder = tmp_path_factory.mktemp("motions")
    rng = np.random.default_rng(0)
    time = np.arange(FRAMES)[:, None] / 120
    for k in range(3):
        pose = np.zeros((FRAMES, 23, 3))
        pose[:, 15, 2], pose[:, 16, 2] = -1.0, 1.0  # arms down
        swing = 0.4 * np.sin(time * rng.uniform(2, 6, 4) + rng.uniform(0, 6, 4))
        if k == 2:
            swing[: FRAMES // 2] = swing[FRAMES // 2]
        pose[:, [0, 1, 15, 16], 0] += swing
        pose[:, [3, 4], 0] = 0.4 + np.abs(swing[:, :2])
        path = np.concatenate([0.5 * time, 0 * time, 0 * time + 1.1], axis=1)
        amass.write(folder / f"m{k}.npz", motion_of(pose, path), np.zeros(10), "neutral")
    return catalog.find(str(folder))


def test_plan_is_deterministic_and_grows(sequences, body):
    plan = sampler.plan_motions(sequences, body=body, **SETTINGS)
    assert plan == sampler.plan_motions(sequences, body=body, **SETTINGS)
    assert plan[:5] == sampler.plan_motions(sequences, body=body, **(SETTINGS | {"clips": 5}))
    assert plan != sampler.plan_motions(sequences, body=body, **(SETTINGS | {"seed": 4}))
    assert [spec.kind for spec in plan] == ["original", "interpolated"] * 4
    assert all(from_json(type(spec), to_json(spec)) == spec for spec in plan)


def test_originals_are_spread_and_prefer_motion(sequences, body):
    plan = sampler.plan_motions(sequences, body=body, **(SETTINGS | {"clips": 6, "interpolated_share": 0.0}))
    assert [spec.kind for spec in plan] == ["original"] * 6
    assert sorted(spec.names[0].rpartition("/")[2] for spec in plan) == ["m0", "m0", "m1", "m1", "m2", "m2"]
    assert all(spec.frames[1] - spec.frames[0] == 117 for spec in plan)
    for name in ("m0", "m1", "m2"):  # two windows of one sequence hardly overlap
        starts = [spec.frames[0] for spec in plan if spec.names[0].endswith(name)]
        assert abs(starts[0] - starts[1]) > 60
    still = [s for seed in range(12) for s in sampler.plan_motions(
        [sequences[2]], body=body, **(SETTINGS | {"clips": 1, "interpolated_share": 0.0, "seed": seed})
    )]  # fmt: skip
    assert np.mean([s.frames[0] + 58 > FRAMES // 2 for s in still]) > 0.7


def test_original_is_the_recording_at_the_new_rate(sequences, body):
    spec = sampler.plan_motions(sequences, body=body, **(SETTINGS | {"interpolated_share": 0.0}))[0]
    motion, betas = sampler.realise(spec, body)
    assert (len(motion), motion.fps) == (30, 30.0)
    np.testing.assert_allclose(motion.source_frames, spec.frames[0] + 4.0 * np.arange(30))
    recorded = amass.read(sequences[0].path.with_name(spec.names[0].rpartition("/")[2] + ".npz"))
    at = motion.source_frames.astype(int)
    np.testing.assert_allclose(
        rotvec_to_rotmat(motion.body_pose), rotvec_to_rotmat(recorded.motion.body_pose[at]), atol=1e-7
    )
    np.testing.assert_allclose(np.diff(motion.transl[:, 0]), 0.5 / 30, atol=1e-6)
    np.testing.assert_array_equal(betas, recorded.betas)


def test_originals_fit_other_bodies(sequences, body):
    # Catches a translation that is not scaled: long legs would sink, short ones float.
    spec = sampler.plan_motions(sequences, body=body, **(SETTINGS | {"interpolated_share": 0.0}))[0]
    plain, _ = sampler.realise(spec, body, np.zeros(10))
    for tall in (-2.0, 2.0):
        betas = np.r_[tall, np.zeros(9)]
        motion, _ = sampler.realise(spec, body, betas)
        low = lowest(body, betas, motion)[0]
        assert np.abs(low - lowest(body, np.zeros(10), plain)[0]).max() < 0.01
        ratio = leg_length(body, betas) / leg_length(body, np.zeros(10))
        assert abs(ratio - 1) > 0.03
        np.testing.assert_allclose(np.ptp(motion.transl[:, 0]), ratio * np.ptp(plain.transl[:, 0]), rtol=1e-6)


def test_interpolated_goes_from_pose_to_pose_on_the_floor(sequences, body):
    plan = sampler.plan_motions(sequences, body=body, **(SETTINGS | {"interpolated_share": 1.0}))
    used = {frames for spec in plan for frames in zip(spec.names, spec.frames, strict=True)}
    assert len(used) == 16  # no pose is used twice
    for spec in plan[:3]:
        betas = np.full(10, 0.5)
        motion, source_betas = sampler.realise(spec, body, betas)
        assert source_betas is None
        assert len(motion) == spec.count >= 30
        for end, name, frame in zip((0, -1), spec.names, spec.frames, strict=True):
            path = next(s.path for s in sequences if s.name == name)
            pose = amass.read(path, start=frame, stop=frame + 1).motion
            np.testing.assert_allclose(
                rotvec_to_rotmat(motion.body_pose[end]), rotvec_to_rotmat(pose.body_pose[0]), atol=1e-9
            )
            assert motion.source_frames[end] == frame
        assert np.isnan(motion.source_frames[1:-1]).all()
        low = lowest(body, betas, motion)[0]
        assert np.abs(low).max() < 0.006
        assert np.abs(np.diff(motion.transl, axis=0)).max() < 0.05  # nothing jumps


def test_heading_of_the_first_pose_is_kept():
    rng = np.random.default_rng(5)
    for _ in range(20):
        reference = rng.normal(size=3)
        turn = np.array([0, 0, rng.uniform(-3, 3)])
        other = turned_like(reference, reference)
        np.testing.assert_allclose(rotvec_to_rotmat(other), rotvec_to_rotmat(reference), atol=1e-9)
        spun = rotvec_to_rotmat(turn) @ rotvec_to_rotmat(reference)
        back = turned_like(rotmat_to_rotvec(spun), reference)
        np.testing.assert_allclose(rotvec_to_rotmat(back), rotvec_to_rotmat(reference), atol=1e-9)


def test_body_running_through_itself_is_seen(body):
    # The left arm goes from the left of the chest through it to the other side; then the same arm in front of it.
    zeros = np.zeros(10)
    through = np.zeros((12, 23, 3))
    through[:, 15, 2] = np.linspace(-0.9, -2.6, 12)
    motion = motion_of(through)
    depth = overlap_depth(body, zeros, lowest(body, zeros, motion)[2])
    assert depth[-1].max() > sampler.OVERLAP
    back = np.concatenate([through[::2], through[::-2]])
    assert worst_overlap(body, zeros, lowest(body, zeros, motion_of(back))[2]) > sampler.OVERLAP
    outside = np.zeros((12, 23, 3))
    outside[:, 15, 1] = np.linspace(0, -1.2, 12)
    assert worst_overlap(body, zeros, lowest(body, zeros, motion_of(outside))[2]) <= 0.0


def skin_of(body, motion):
    return posed(body, np.zeros(10), motion.global_orient, motion.body_pose, motion.transl)[0]


def test_leaning_is_seen(body):
    upright = motion_of(np.zeros((2, 23, 3)))
    assert imbalance(skin_of(body, upright)).max() < 0.05
    tilted = Motion(
        fps=30.0,
        global_orient=np.tile([np.pi / 2 - 0.5, 0, 0], (2, 1)),
        body_pose=upright.body_pose,
        transl=upright.transl,
        source="",
        source_frames=upright.source_frames,
    )
    assert imbalance(skin_of(body, tilted)).min() > sampler.BALANCE


def test_faulty_pairs_are_passed_over(sequences, body, monkeypatch):
    plan = sampler.plan_motions(sequences, body=body, **(SETTINGS | {"clips": 1, "interpolated_share": 1.0}))
    first = plan[0]
    monkeypatch.setattr(sampler, "fault", lambda spec, *_: "bad" if spec == first else "")
    second = sampler.plan_motions(sequences, body=body, **(SETTINGS | {"clips": 1, "interpolated_share": 1.0}))[0]
    assert second.names == first.names
    assert second.frames != first.frames
    monkeypatch.setattr(sampler, "fault", lambda *_: "bad")
    monkeypatch.setattr(sampler, "TRIES", 2)
    with pytest.raises(SynthError, match="no pair of poses"):
        sampler.plan_motions(sequences, body=body, **(SETTINGS | {"clips": 1, "interpolated_share": 1.0}))


def test_standing_feet_do_not_slide(body):
    """Knees bend and stretch on the spot: the feet stay, the pelvis moves."""
    pose = np.zeros((30, 23, 3))
    bend = 0.8 * np.sin(np.linspace(0, np.pi, 30))
    pose[:, [0, 1], 0], pose[:, [3, 4], 0], pose[:, [6, 7], 0] = -bend[:, None], 2 * bend[:, None], -bend[:, None]
    motion = stand(motion_of(pose, fps=30.0), body, np.zeros(10))
    low, _, joints = lowest(body, np.zeros(10), motion)
    assert np.abs(low).max() < 0.005
    assert np.ptp(joints[:, [10, 11], :2], axis=0).max() < 0.005
    assert np.ptp(joints[:, 0, 2]) > 0.1
    np.testing.assert_allclose(joints[:, 0, :2].mean(axis=0), 0, atol=1e-9)
    assert motion.transl[0, 2] + shaped(body, np.zeros(10))[1][0, 2] != 0


def test_path_ends_are_exact(sequences):
    ends = [amass.read(s.path, start=k, stop=k + 1).motion for s, k in zip(sequences[:2], (5, 250), strict=True)]
    path = path_between(ends[0], ends[1], 40, 30.0, "slerp")
    np.testing.assert_allclose(path.global_orient[0], ends[0].global_orient[0], atol=1e-9)
    np.testing.assert_allclose(path.body_pose[[0, -1]], [e.body_pose[0] for e in ends], atol=1e-9)


def test_too_short_and_unusable(sequences, body):
    with pytest.raises(SynthError, match="500 usable frames"):
        sampler.plan_motions(sequences, body=body, **(SETTINGS | {"frames": 500}))
    with pytest.raises(SynthError, match="--sequences"):
        sampler.plan_motions([], body=body, **SETTINGS)
    for wrong in ({"clips": 0}, {"frames": 1}, {"interpolated_share": 1.5}, {"method": "cubic"}, {"fps": 0.0}):
        with pytest.raises(ValueError, match="clips"):
            sampler.plan_motions(sequences, body=body, **(SETTINGS | wrong))


def test_stretches_that_are_not_usable_are_left_alone(tmp_path, sequences, body):
    for source in sequences[:2]:
        (tmp_path / source.path.name).write_bytes(source.path.read_bytes())
    (tmp_path / "usable.toml").write_text('["m0"]\nstretches = [[100, 260]]\n["m1"]\nstretches = []\n')
    plan = sampler.plan_motions(catalog.find(str(tmp_path)), body=body, **(SETTINGS | {"interpolated_share": 0.0}))
    assert all(spec.frames[0] >= 100 and spec.frames[1] <= 260 and spec.names[0].endswith("m0") for spec in plan)


PRINT_PLAN = """
import hashlib
import sys
from synth.motion import amass, catalog, sampler
plan = sampler.plan_motions(catalog.find("cmu"), seed=1, clips=4, interpolated_share=0.5, frames=30, fps=30.0)
from synth.body.model import load_named
import numpy as np
body = load_named("free", "female")
made = [sampler.realise(spec, body, np.full(10, 0.3))[0] for spec in plan]
digest = hashlib.sha256(b"".join(m.full_pose.tobytes() + m.transl.tobytes() for m in made)).hexdigest()
assert "torch" not in sys.modules, "sampling must not import torch"
assert "bpy" not in sys.modules
print(plan, digest)
"""


def test_two_processes_agree_to_the_bit_and_need_no_torch():
    outputs = [subprocess.run([sys.executable, "-c", PRINT_PLAN], capture_output=True, text=True) for _ in range(2)]
    assert outputs[0].returncode == 0, outputs[0].stderr
    assert outputs[0].stdout == outputs[1].stdout
    assert len(outputs[0].stdout) > 500
    assert hashlib.sha256(b"").hexdigest() not in outputs[0].stdout


def test_clips_between_poses_do_not_jump_and_keep_to_limits_and_floor(sequences, body):
    # On the real clips that come with the project, for both ways of getting the pairs; every frame, not those checked.
    for pairs in sampler.PAIRS:
        settings = SETTINGS | {"clips": 3, "interpolated_share": 1.0, "seed": 1, "pairs": pairs}
        for spec in sampler.plan_motions(catalog.find("cmu"), body=body, **settings):
            assert (spec.kind, len(spec.sources), len(spec.names), len(spec.frames)) == ("interpolated", 2, 2, 2)
            for source, name in zip(spec.sources, spec.names, strict=True):  # both parents, with their digests
                assert catalog.find(name)[0].ref == source
            motion, _ = sampler.realise(spec, body, np.zeros(10))
            turns = rotvec_to_rotmat(motion.full_pose)
            steps = rotmat_to_rotvec(np.swapaxes(turns[:-1], -1, -2) @ turns[1:])
            assert np.linalg.norm(steps, axis=-1).max() < 0.35  # rotations; and their vectors:
            assert np.abs(np.diff(motion.body_pose, axis=0)).max() < 0.35
            assert beyond_limits(motion.body_pose) < BEYOND + 0.02
            low, _, joints = lowest(body, np.zeros(10), motion)
            assert np.abs(low).max() < FLOOR
            assert worst_overlap(body, np.zeros(10), joints) < sampler.OVERLAP + 0.005


def test_a_joint_beyond_its_limit_is_seen(sequences, body):
    knees = np.zeros((12, 23, 3))
    knees[:, 3, 0] = np.concatenate([np.linspace(0.0, -1.0, 6), np.linspace(-1.0, 0.0, 6)])  # the wrong way
    assert np.rad2deg(beyond_limits(knees)) == pytest.approx(np.rad2deg(1.0) - 8.0, abs=0.1)
    assert beyond_limits(-knees) == 0.0
    assert beyond_limits(knees[3:9]) < 0.5  # what the two ends do may be done between them


def test_clips_that_break_a_rule_are_refused(sequences, body, monkeypatch):
    # Each check speaks up once its limit is below what a good clip does.
    spec = sampler.plan_motions(sequences, body=body, **(SETTINGS | {"clips": 1, "interpolated_share": 1.0}))[0]
    ends = [
        sampler._one(next(s for s in sequences if s.name == n), f) for n, f in zip(spec.names, spec.frames, strict=True)
    ]
    assert checks.fault(spec, *ends, body) == ""
    for name, word in (("OVERLAP", "sinks"), ("BEYOND", "limit"), ("BALANCE", "leans"), ("FLOOR", "floor")):
        with monkeypatch.context() as patch:
            patch.setattr(checks, name, -1.0)
            assert word in checks.fault(spec, *ends, body)


def test_mined_pairs_are_the_most_contrasting_and_follow_from_the_seed(sequences, body):
    settings = SETTINGS | {"clips": 4, "interpolated_share": 1.0, "pairs": "mined"}
    plan = sampler.plan_motions(sequences, body=body, **settings)
    assert plan == sampler.plan_motions(sequences, body=body, **settings)
    assert plan[:2] == sampler.plan_motions(sequences, body=body, **(settings | {"clips": 2}))
    assert plan != sampler.plan_motions(sequences, body=body, **(settings | {"seed": 4}))
    assert len({(spec.names, spec.frames) for spec in plan}) == 4
    drawn = sampler.plan_motions(sequences, body=body, **(settings | {"pairs": "drawn"}))

    def contrast(spec):
        poses = [
            sampler._one(next(s for s in sequences if s.name == n), f)
            for n, f in zip(spec.names, spec.frames, strict=True)
        ]
        return pose_distances(*(canonical_rotvec(p.body_pose) for p in poses))[0, 0]

    assert contrast(plan[0]) > 0.95 * max(map(contrast, drawn))
    with pytest.raises(ValueError, match="pairs"):
        sampler.plan_motions(sequences, body=body, **(settings | {"pairs": "best"}))


def test_mined_pairs_run_out_with_a_clear_error(sequences, body, monkeypatch):
    monkeypatch.setattr(sampler, "fault", lambda *_: "bad")
    settings = SETTINGS | {"clips": 1, "interpolated_share": 1.0, "pairs": "mined"}
    with pytest.raises(SynthError, match="no more pairs"):
        sampler.plan_motions(sequences[:1], body=body, **settings)
