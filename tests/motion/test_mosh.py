import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from synth.body.joints import JOINT_NAMES, PARENTS
from synth.body.lbs import joint_transforms, posed, shaped
from synth.body.model import load_named
from synth.errors import SynthError
from synth.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from synth.motion import correspondence
from synth.motion.contact import grounded
from synth.motion.correspondence import DRIVERS, TARGETS, tilts
from synth.motion.quality import jitter
from synth.motion.skeleton import SkeletonMotion

FRAMES = 72
RIGHT_UP = rotvec_to_rotmat(np.array([np.pi / 2, 0, 0]))  # Y up -> Z up


@pytest.fixture(scope="module")
def case():
    """A CMU skeleton whose bones are those of a body of known shape: knees bend on the spot, arms swing, it turns."""
    body = load_named("free", "female")
    betas = np.array([1.0, -0.8, 0.5, 0, 0, 0, 0, 0, 0, 0])
    rest = shaped(body, betas)[1]
    time = np.linspace(0, 1, FRAMES)
    bend = 0.5 * np.sin(np.pi * time) ** 2
    pose = np.zeros((FRAMES, 23, 3))
    pose[:, [0, 1], 0], pose[:, [3, 4], 0], pose[:, [6, 7], 0] = -bend[:, None], 2 * bend[:, None], -bend[:, None]
    pose[:, 15, 2], pose[:, 16, 2] = -1.2 + 0.5 * np.sin(3 * time), 1.2
    pose[:, 17, 1] = -0.6 * time
    orient = np.outer(0.4 * time, [0, 1.0, 0])
    vertices, _ = posed(body, betas, orient, pose, np.zeros((FRAMES, 3)))
    transl = np.tile([0.3, 0.0, -0.2], (FRAMES, 1))
    transl[:, 1] = -vertices[..., 1].min(axis=1)
    transforms = joint_transforms(body, betas, orient, pose, transl)
    joints = (transforms[..., :3, :3] @ rest[..., None])[..., 0] + transforms[..., :3, 3]
    return body, betas, pose, _skeleton(joints, transforms[..., :3, :3], rest), posed(body, betas, orient, pose, transl)


def _skeleton(joints, rotations, rest):
    points, turns, bones = {}, {}, {}
    for joint, target in TARGETS.items():
        j = JOINT_NAMES.index(joint)
        name = target.asf.format(s=joint[0])
        frame = PARENTS[j] if target.hangs else j
        points[name] = joints[:, j] + rotations[:, frame] @ target.place_of(joint)
        bones[name] = rest[j] - rest[0]
    for joint, (asf, _) in DRIVERS.items():
        j = JOINT_NAMES.index(joint)
        turns[asf.format(s=joint[0])] = rotations[:, j] @ tilts()[j].T
    names = tuple(dict.fromkeys([*points, *turns]))
    still = np.tile(np.eye(3), (FRAMES, 1, 1))
    return SkeletonMotion(
        convention="asf",
        fps=120.0,
        names=names,
        points=np.stack([points.get(name, joints[:, 0]) for name in names], axis=1),
        rotations=np.stack([turns.get(name, still) for name in names], axis=1),
        rest=np.stack([bones.get(name, np.zeros(3)) for name in names]),
        source="made",
    )


@pytest.fixture(scope="module")
def fitted(case):
    from synth.motion.mosh import FitSettings, fit

    return fit(case[3], case[0], FitSettings(iterations=100))


def test_joints_are_recovered(case, fitted):
    # Catches a wrong bone in the tables, a transposed rotation, a scale: each leaves centimetres.
    assert fitted.residual.mean() < 0.004
    assert np.percentile(fitted.residual, 95) < 0.012
    assert np.abs(fitted.offsets).max() < 0.04
    motion = fitted.motion
    vertices, joints = posed(case[0], fitted.betas, motion.global_orient, motion.body_pose, motion.transl)
    true_vertices, true_joints = (points @ RIGHT_UP.T for points in case[4])
    assert np.linalg.norm(joints - true_joints, axis=-1).mean() < 0.012
    assert np.linalg.norm(vertices - true_vertices, axis=-1).mean() < 0.02


def test_a_batch_is_solved_as_its_trials_alone(case):
    # Catches frames of one trial that pull on another's across the seam: floors, smoothness, starts; two lengths.
    from synth.motion.mosh import FitSettings, fit_person, person

    body, motion = case[0], case[3]
    trials = [motion, motion.frames(30, FRAMES)]
    settings = FitSettings(iterations=60)
    constants = person(trials, body, settings)
    alone = fit_person(trials, body, settings, constants)
    together = fit_person(trials, body, replace(settings, batch=2), constants)
    for one, other in zip(alone, together, strict=True):
        assert len(one.motion) == len(other.motion)
        joints = [
            posed(body, f.betas, f.motion.global_orient, f.motion.body_pose, f.motion.transl)[1] for f in (one, other)
        ]
        assert np.linalg.norm(joints[0] - joints[1], axis=-1).mean() < 0.004
        assert other.residual.mean() < one.residual.mean() + 0.001


def test_trembling_bones_do_not_make_a_trembling_body(case):
    # Catches finer rates that start from the captured rotations again: their noise comes back (13 mm), and few
    # iterations are left there to remove it.
    from synth.motion.mosh import FitSettings, fit

    body, motion = case[0], case[3]
    noise = np.random.default_rng(0).normal(0, 0.08, (*motion.rotations.shape[:2], 3))
    shaken = replace(motion, rotations=motion.rotations @ rotvec_to_rotmat(noise))
    found = fit(shaken, body, FitSettings(iterations=60))
    assert jitter(found.motion, body, found.betas) < 0.4e-3


def test_no_cuda_is_a_clear_error(tmp_path, monkeypatch):
    import torch
    from test_motion_cli import run

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SynthError, match="--device cuda"):
        run("fit", tmp_path / "a.bvh", "--out", tmp_path, "--device", "cuda")


def test_the_head_is_tilted_by_one_angle_so_that_it_looks_ahead():
    # Catches the wrong sign, an angle a frame (nods would be lost), frames bent over that count.
    world = np.tile(np.eye(3), (90, 24, 1, 1))
    nod = np.zeros((90, 3))
    nod[:, 0] = 0.1 * np.sin(np.arange(90) / 5)
    world[:, 15] = rotvec_to_rotmat(nod - [0.4, 0.0, 0.0])  # looks up by 23 degrees
    world[60:, [9, 15]] = rotvec_to_rotmat(np.array([1.5, 0.0, 0.0]))  # bends over
    before = world.copy()
    correspondence._level_head(world)
    assert abs(np.median(world[:60, 15, 1, 2])) < 1e-3
    turned = rotmat_to_rotvec(np.swapaxes(before[:, 15], -1, -2) @ world[:, 15])
    np.testing.assert_allclose(turned, np.tile(turned[0], (90, 1)), atol=1e-9)
    assert turned[0, 0] == pytest.approx(0.4, abs=0.1)
    np.testing.assert_array_equal(np.delete(world, 15, axis=1), np.delete(before, 15, axis=1))


def test_legs_have_the_true_length(case, fitted):
    legs = [
        np.linalg.norm(rest[[1, 4]] - rest[[4, 7]], axis=1).sum()
        for rest in (shaped(case[0], betas)[1] for betas in (case[1], fitted.betas, np.zeros(10)))
    ]
    assert abs(legs[1] - legs[0]) < 0.012
    assert abs(legs[2] - legs[0]) > 0.02


def test_rotations_are_recovered(case, fitted):
    found, true = rotvec_to_rotmat(fitted.motion.body_pose), rotvec_to_rotmat(case[2])
    angles = np.linalg.norm(rotmat_to_rotvec(np.swapaxes(true, -1, -2) @ found), axis=-1)
    collars = [12, 13]  # raised on purpose
    assert np.rad2deg(np.delete(angles, [*collars, 15, 16], axis=1)).mean() < 4.0
    # Hanging arms pull the collar bones down: left turns to -z, right to +z.
    assert (fitted.motion.body_pose[:, 12, 2] < -0.05).all()
    assert (fitted.motion.body_pose[:, 13, 2] > 0.05).all()


def test_feet_rest_on_the_floor_of_a_z_up_world(fitted):
    assert fitted.resting.mean() > 0.9
    assert np.abs(fitted.lowest[fitted.resting > 0]).mean() < 0.004
    assert fitted.lowest.min() > -0.012
    up = rotvec_to_rotmat(fitted.motion.global_orient) @ [0.0, 1.0, 0.0]
    assert (up[:, 2] > 0.99).all()


def test_grounded_leaves_climbing_out_and_jumps_in():
    lowest = np.zeros((1200, 2))
    lowest[300:348] = 0.3  # 0.4 s: a jump
    lowest[600:800] = 0.5  # 1.7 s: on something
    lowest[820:840, 0] = 0.5  # one foot is not the body
    assert grounded(lowest, 120.0) == [(0, 552), (848, 1200)]
    assert grounded(lowest, 120.0, least=4.0) == [(0, 552)]
    assert grounded(lowest + 1.0, 120.0) == []


NO_TORCH = """
import importlib.abc
import sys

class NoTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is not there")

sys.meta_path.insert(0, NoTorch())
import synth.motion.amass, synth.motion.asfamc, synth.motion.bvh, synth.motion.catalog, synth.motion.clips
import synth.motion.c3d, synth.motion.markers, synth.motion.prior, synth.motion.quality, synth.motion.intake
import synth.motion.collision, synth.motion.contact, synth.motion.contrast, synth.motion.correspondence
import synth.motion.ground, synth.motion.interpolate, synth.motion.resample, synth.motion.sampler, synth.cli.motion
try:
    import synth.motion.mosh
except ImportError:
    pass
else:
    raise AssertionError("the block on torch does not work")
assert "bpy" not in sys.modules
"""


def test_only_the_fits_need_torch():
    done = subprocess.run([sys.executable, "-c", NO_TORCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
