import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.body.model import load_named
from synth.errors import SynthError
from synth.motion import amass, clips
from synth.motion.resample import resample
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


@pytest.mark.parametrize("rate", [60, 100, 120, 250])
@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64])
def test_every_rate_is_kept_and_resampled(tmp_path, rate, kind):
    motion = amass.read(save(tmp_path / "a.npz", **fields(frames=rate + 1, mocap_framerate=kind(rate)))).motion
    assert motion.fps == rate
    made = resample(motion, 30.0)
    assert len(made) == 31
    np.testing.assert_allclose(made.source_frames, np.arange(31) * rate / 30)


@pytest.mark.parametrize("gender", [np.array("male"), np.array(b"male"), np.array(["male"]), np.array([b"male"])])
def test_gender_as_bytes_or_str(tmp_path, gender):
    assert amass.read(save(tmp_path / "a.npz", **fields(gender=gender))).gender == "male"


def test_dmpl_and_other_fields_are_passed_over(tmp_path):
    extra = {"dmpls": np.full((5, 8), np.nan), "marker_data": np.zeros((5, 41, 3)), "labels": np.array([b"LFHD"])}
    plain = amass.read(save(tmp_path / "a.npz", **fields()))
    found = amass.read(save(tmp_path / "b.npz", **fields(**extra)))
    np.testing.assert_array_equal(found.motion.full_pose, plain.motion.full_pose)
    assert found.model == "smplh"


@pytest.mark.parametrize(
    ("changed", "model"),
    [
        ({"surface_model_type": np.array("smplx_locked_head"), "poses": np.zeros((5, 165))}, "smplx"),
        ({"surface_model_type": np.array(b"smplx")}, "smplx"),
        ({"surface_model_type": np.array("smplh")}, "smplh"),
        ({"poses": np.zeros((5, 165))}, "smplx"),
        ({"poses": np.zeros((5, 72))}, "smpl"),
        ({}, "smplh"),
    ],
)
def test_whose_betas_they_are(tmp_path, changed, model):
    assert amass.read(save(tmp_path / "a.npz", **fields(**changed))).model == model


def test_shapes_of_another_body_are_not_taken(tmp_path):
    # Catches SMPL-X's betas on an SMPL body, for which they mean another shape.
    smpl = replace(load_named("free", "neutral"), name="smpl")
    taken = {}
    for name in ("smplx", "smplh"):
        save(tmp_path / "a.npz", **fields(surface_model_type=np.array(name)))
        taken[name] = clips._recorded_body(amass.read(tmp_path / "a.npz"), smpl)[1]
    assert not taken["smplx"].any()
    np.testing.assert_array_equal(taken["smplh"], np.arange(10.0))


def test_a_surface_that_is_no_body(tmp_path):
    with pytest.raises(SynthError, match="surface_model_type"):
        amass.read(save(tmp_path / "a.npz", **fields(surface_model_type=np.array("animal_dog"))))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The bytes of a whole file, stored and compressed."""
    folder = tmp_path_factory.mktemp("whole")
    np.savez(folder / "a.npz", **fields())
    np.savez_compressed(folder / "b.npz", **fields())
    return Whole([(folder / name).read_bytes() for name in ("a.npz", "b.npz")])


class Whole(list):
    """Bytes that a report of a failure does not print."""

    def __repr__(self):
        return "<whole files>"


def tried(path):
    for reader in (amass.header, amass.read):
        message = ""
        try:
            reader(path)
        except SynthError as error:
            message = str(error)
        assert not message or str(path) in message


@settings(max_examples=100)
@given(st.integers(0, 1), st.floats(0, 1), st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 7)), max_size=6))
def test_damaged_files_are_one_clear_error(tmp_path_factory, files, which, length, flips):
    """Whatever is cut off or flipped: it is read, or it is a SynthError that names the file."""
    content = bytearray(files[which])
    for at, bit in flips:
        content[int(at * len(content))] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(bytes(content[: round(length * len(content))] if length < 0.5 else content))
    tried(path)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_headers_of_members_are_one_clear_error(tmp_path_factory, files, bytes_):
    """The header of an array, whose checksum holds: a tokenizer's errors and absurd shapes, too."""
    path = tmp_path_factory.getbasetemp() / "header.npz"
    with zipfile.ZipFile(io.BytesIO(files[0])) as whole, zipfile.ZipFile(path, "w") as out:
        for name in whole.namelist():
            member = bytearray(whole.read(name))
            if name == "poses.npy":
                for at, value in bytes_:
                    member[at] = value
            out.writestr(name, bytes(member))
    tried(path)


def test_an_unclosed_bracket_in_a_header(tmp_path):
    # numpy's parser lets tokenize.TokenError through for it
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(save(tmp_path / "whole.npz", **fields())) as whole, zipfile.ZipFile(path, "w") as out:
        for name in whole.namelist():
            out.writestr(name, whole.read(name).replace(b"}", b"(") if name == "poses.npy" else whole.read(name))
    for reader in (amass.header, amass.read):
        with pytest.raises(SynthError, match=r"a\.npz: poses: cannot be read"):
            reader(path)
