"""The motion of a rendered clip, read back and sampled again."""

import json

import h5py
import numpy as np
import pytest

from synth.body.model import load_named
from synth.errors import SynthError
from synth.motion import catalog, ownclips, recordings, sampler


def shard(path, frames=12, **changed):
    """As much of a clip's file as holds its motion."""
    rng = np.random.default_rng(0)
    parts = {
        "global_orient": np.tile([np.pi / 2, 0, 0], (frames, 1)),
        "body_pose": rng.normal(0, 0.1, (frames, 23, 3)),
        "transl": np.tile([0, 0, 1.0], (frames, 1)),
        "betas": np.arange(10.0) / 10,
    } | changed
    with h5py.File(path, "w") as file:
        for name, values in parts.items():
            if values is not None:
                file[f"smpl/{name}"] = values
        file.attrs["fps"] = 30.0
        file.attrs["body_model"] = json.dumps({"name": "free", "gender": "female", "sha256": "0"})
    return path


def test_a_clip_is_read_and_sampled(tmp_path):
    path = shard(tmp_path / "0123456789abcdef.h5")
    found = recordings.read(path, name="x", start=2, stop=7)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(found.motion.body_pose, file["smpl/body_pose"][2:7])
        np.testing.assert_array_equal(found.motion.transl, file["smpl/transl"][2:7])
    assert (found.gender, found.model, found.motion.fps) == ("female", "free", 30.0)
    assert found.motion.source_frames.tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]
    np.testing.assert_array_equal(found.betas, np.arange(10.0) / 10)
    assert recordings.header(path).frames == 12
    (sequence,) = catalog.find(str(tmp_path))
    assert (sequence.path, sequence.frames, sequence.fps) == (path, 12, 30.0)
    (spec,) = sampler.plan_motions([sequence], seed=0, clips=1, interpolated_share=0.0, frames=4, fps=30.0)
    motion, _ = sampler.realise(spec, load_named("free", "female"))
    np.testing.assert_allclose(motion.body_pose, recordings.read(path).motion.body_pose[slice(*spec.frames)])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"transl": None}, "smpl/transl is missing"),
        ({"transl": np.zeros((5, 3))}, "smpl/transl"),
        ({"body_pose": np.zeros((12, 21, 3))}, "smpl/body_pose"),
        ({"body_pose": np.full((12, 23, 3), np.nan)}, "not finite"),
        ({"betas": np.zeros(0)}, "smpl/betas"),
    ],
)
def test_faults_name_file_and_field(tmp_path, changed, named):
    path = shard(tmp_path / "bad.h5", **changed)
    with pytest.raises(SynthError, match=r"bad\.h5") as caught:
        ownclips.read(path)
    assert named in str(caught.value)


def test_what_is_no_clip(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    (tmp_path / "text.h5").write_text("nothing")
    whole = shard(tmp_path / "whole.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    for name in ("other", "text", "cut", "missing"):
        for reader in (ownclips.header, ownclips.read):
            with pytest.raises(SynthError, match=name):
                reader(tmp_path / f"{name}.h5")
