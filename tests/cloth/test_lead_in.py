"""The way from the A-pose into the action."""

import numpy as np
import pytest

from synth.body import lbs
from synth.body.model import load_named
from synth.body.shape import rest_pose
from synth.cloth.lead_in import with_lead_in
from synth.geometry.rotations import rotvec_to_rotmat
from synth.types import Motion

UPRIGHT = np.array([np.pi / 2, 0.0, 0.0])
"""Turns SMPL's Y up to the world's Z."""


def motion(fps: float = 30.0, pose: np.ndarray | None = None, orient: np.ndarray = UPRIGHT, frames: int = 4) -> Motion:
    poses = np.zeros((frames, 23, 3)) if pose is None else np.tile(pose, (frames, 1, 1))
    return Motion(
        fps=fps,
        global_orient=np.tile(orient, (frames, 1)),
        body_pose=poses,
        transl=np.tile([1.0, 2.0, 1.2], (frames, 1)) + np.arange(frames)[:, None] * [0.01, 0, 0],
        source="test",
        source_frames=np.arange(frames, dtype=np.float64),
    )


def squat() -> np.ndarray:
    pose = np.zeros((23, 3))
    pose[[0, 1], 0] = -1.6
    pose[[3, 4], 0] = 1.8
    return pose


@pytest.fixture(scope="module")
def body():
    return load_named("free", "neutral")


def test_starts_upright_in_a_pose_and_ends_in_the_action_untouched(body) -> None:
    action = motion(pose=squat())
    longer, added = with_lead_in(action, body, np.zeros(10))
    assert len(longer) == added + len(action)
    for i in range(3):
        np.testing.assert_allclose(longer.body_pose[i], rest_pose(), atol=1e-9)
        np.testing.assert_allclose(rotvec_to_rotmat(longer.global_orient[i])[:, 1], [0, 0, 1], atol=1e-9)
    np.testing.assert_array_equal(longer.full_pose[added:], action.full_pose)
    np.testing.assert_array_equal(longer.transl[added:], action.transl)
    assert np.isnan(longer.source_frames[:added]).all()
    np.testing.assert_array_equal(longer.source_frames[added:], action.source_frames)


@pytest.mark.parametrize("fps", [30.0, 120.0])
def test_no_vertex_is_faster_than_the_limit_and_frames_grow_with_the_rate(body, fps: float) -> None:
    # Catches linear easing counted as smooth, and a number of frames that ignores the rate.
    action = motion(fps=fps, pose=squat())
    longer, added = with_lead_in(action, body, np.zeros(10))
    vertices, _ = lbs.posed(body, np.zeros(10), longer.global_orient, longer.body_pose, longer.transl)
    step = np.linalg.norm(np.diff(vertices[: added + 1], axis=0), axis=2).max(axis=1)
    assert step.max() < 1.3 * 0.07 * 30 / fps
    assert added * 30 / fps == pytest.approx(with_lead_in(motion(pose=squat()), body, np.zeros(10))[1], abs=1)


def test_stands_on_the_first_frames_floor_below_its_pelvis(body) -> None:
    action = motion(pose=squat())
    longer, added = with_lead_in(action, body, np.zeros(10))
    vertices, joints = lbs.posed(body, np.zeros(10), longer.global_orient, longer.body_pose, longer.transl)
    assert vertices[0, :, 2].min() == pytest.approx(vertices[added, :, 2].min(), abs=1e-9)
    np.testing.assert_allclose(joints[0, 0, :2], joints[added, 0, :2], atol=1e-9)


@pytest.mark.parametrize("yaw", [0.0, 1.0, -2.5])
def test_faces_where_the_action_faces(body, yaw: float) -> None:
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1.0]])
    from synth.geometry.rotations import rotmat_to_rotvec

    bent = turn @ rotvec_to_rotmat(UPRIGHT) @ rotvec_to_rotmat(np.array([0.4, 0.0, 0.0]))
    longer, _ = with_lead_in(motion(orient=rotmat_to_rotvec(bent)), body, np.zeros(10))
    facing = rotvec_to_rotmat(longer.global_orient[0])[:, 2]
    np.testing.assert_allclose(facing, turn @ rotvec_to_rotmat(UPRIGHT) @ [0, 0, 1.0], atol=1e-9)


def test_one_lying_on_its_back_stands_up_without_a_full_turn(body) -> None:
    longer, added = with_lead_in(motion(orient=np.zeros(3)), body, np.zeros(10))
    assert np.isfinite(longer.full_pose).all()
    assert added < 60


def test_a_motion_without_frames_is_refused(body) -> None:
    with pytest.raises(ValueError, match="first pose"):
        with_lead_in(motion().frames(0, 0), body, np.zeros(10))
