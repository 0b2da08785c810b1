import numpy as np
import pytest

from synth.errors import SynthError
from synth.motion import amass
from synth.types import Motion


def fields(frames=5, width=156, **changed):
    rng = np.random.default_rng(0)
    base = {
        "poses": rng.normal(size=(frames, width)),
        "trans": rng.normal(size=(frames, 3)),
        "betas": np.arange(16.0),
        "gender": np.array("female"),
        "mocap_framerate": np.float64(120),
    }
    return {name: value for name, value in (base | changed).items() if value is not None}


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("width", [156, 165, 66])
def test_body_comes_first_and_hands_stay_straight(tmp_path, width):
    # Catches fingers (SMPL+H joint 22 on) read as SMPL's hands.
    arrays = fields(width=width)
    motion = amass.read(save(tmp_path / "a.npz", **arrays)).motion
    np.testing.assert_array_equal(motion.full_pose[:, :22].reshape(5, 66), arrays["poses"][:, :66])
    assert not motion.full_pose[:, 22:].any()


def test_smpl_keeps_its_hands(tmp_path):
    arrays = fields(width=72)
    motion = amass.read(save(tmp_path / "a.npz", **arrays)).motion
    np.testing.assert_array_equal(motion.full_pose.reshape(5, 72), arrays["poses"])


def test_stageii_names(tmp_path):
    arrays = fields(poses=None, mocap_framerate=None)
    rng = np.random.default_rng(1)
    arrays |= {"root_orient": rng.normal(size=(5, 3)), "pose_body": rng.normal(size=(5, 63))}
    arrays |= {"mocap_frame_rate": np.array(59.94), "betas": np.zeros((1, 16)), "gender": np.array(b"male")}
    recording = amass.read(save(tmp_path / "a_stageii.npz", **arrays))
    np.testing.assert_array_equal(recording.motion.global_orient, arrays["root_orient"])
    np.testing.assert_array_equal(recording.motion.body_pose[:, :21].reshape(5, 63), arrays["pose_body"])
    assert (recording.motion.fps, recording.gender, recording.betas.shape) == (59.94, "male", (16,))
    assert amass.header(tmp_path / "a_stageii.npz") == amass.Header(frames=5, fps=59.94)


@pytest.mark.parametrize("hands", [False, True])
def test_written_is_read_back_and_bytes_repeat(tmp_path, hands):
    rng = np.random.default_rng(2)
    pose = rng.normal(size=(7, 23, 3)) * 0.5
    if not hands:
        pose[:, 21:] = 0
    motion = Motion(
        fps=120.0,
        global_orient=rng.normal(size=(7, 3)),
        body_pose=pose,
        transl=rng.normal(size=(7, 3)),
        source="x",
        source_frames=np.arange(7.0),
    )
    for name in ("a", "b"):
        amass.write(tmp_path / f"{name}.npz", motion, np.arange(10.0), "male")
    back = amass.read(tmp_path / "a.npz")
    np.testing.assert_allclose(back.motion.full_pose, motion.full_pose, atol=1e-6)
    np.testing.assert_allclose(back.motion.transl, motion.transl, atol=1e-6)
    assert (back.gender, back.model, back.motion.fps) == ("male", "free", 120.0)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_stretch_keeps_its_frame_numbers(tmp_path):
    path = save(tmp_path / "a.npz", **fields(frames=9))
    motion = amass.read(path, start=3, stop=6).motion
    assert motion.source_frames.tolist() == [3.0, 4.0, 5.0]
    with pytest.raises(SynthError, match="frame 11"):
        amass.read(path, start=3, stop=12)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"poses": np.zeros((5, 100))}, "poses: expected"),
        ({"poses": None}, "root_orient"),
        ({"trans": np.zeros((4, 3))}, "trans: expected"),
        ({"trans": np.full((5, 3), np.nan)}, "trans: not finite"),
        ({"betas": np.zeros((5, 16))}, "betas"),
        ({"betas": np.zeros(0)}, "betas"),
        ({"gender": np.array("unknown")}, "gender"),
        ({"mocap_framerate": None}, "mocap_framerate"),
        ({"mocap_framerate": np.float64(0)}, "mocap_framerate"),
        ({"gender": np.array([{}], dtype=object)}, "gender: cannot be read"),
    ],
)
def test_faults_name_file_and_field(tmp_path, changed, named):
    path = save(tmp_path / "bad.npz", **fields(**changed))
    with pytest.raises(SynthError) as caught:
        amass.read(path)
    assert "bad.npz" in str(caught.value)
    assert named in str(caught.value)


def test_not_an_npz(tmp_path):
    (tmp_path / "a.npz").write_text("nothing")
    for path in (tmp_path / "a.npz", tmp_path / "missing.npz"):
        with pytest.raises(SynthError, match=path.name):
            amass.read(path)
    whole = save(tmp_path / "b.npz", **fields()).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SynthError, match=r"cut\.npz"):
        amass.header(tmp_path / "cut.npz")
