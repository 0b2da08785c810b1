import os
import pickle
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import real_formats as formats
import torch

from synth.errors import SynthError
from synth.geometry.rotations import rotvec_to_rotmat
from train.real.motions import MotionStream, MotionWindows


def save_motion(path: Path, frames: int, fps: float, speed: float = 1.0) -> Path:
    """A turn about the vertical at `speed` [rad/s], walking along x at 1 m/s, its left knee bending as it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(frames) / fps
    poses = np.zeros((frames, 156), dtype=np.float32)
    poses[:, 2], poses[:, 12] = speed * time, 0.5 * np.sin(time)
    trans = np.stack([time, np.zeros(frames), np.ones(frames)], axis=1)
    np.savez(path, poses=poses, trans=trans, betas=np.arange(16.0), gender=np.array("male"), mocap_framerate=fps)
    return path


@pytest.mark.parametrize("fps", [25.0, 30.0])
def test_windows_are_resampled_in_time_not_by_whole_steps(fps: float, tmp_path: Path) -> None:
    # catches a stride of whole frames: 120 // 25 = 4 gives 30 Hz and a motion a fifth too slow
    windows = MotionWindows(save_motion(tmp_path / "a.npz", 360, 120.0), length=16, fps=fps)
    for index in (0, 1, len(windows) - 1):
        window = windows[index]
        time = (window.start + np.arange(16)) / fps
        assert np.allclose(window.transl[:, 0], time, atol=1e-6)
        turned = rotvec_to_rotmat(window.poses[:, 0])
        assert np.allclose(turned, rotvec_to_rotmat(time[:, None] * np.array([0, 0, 1.0])), atol=1e-6)
        assert np.allclose(window.poses[:, 4, 0], 0.5 * np.sin(time), atol=1e-4)
    assert windows.windows_of(0) == int((359 / 120 * fps + 1) // 16)
    assert np.allclose(windows[0].betas, np.arange(10))


def test_slow_recordings_are_filled_in(tmp_path: Path) -> None:
    windows = MotionWindows(save_motion(tmp_path / "a.npz", 61, 20.0), length=30, fps=30.0)
    assert np.allclose(windows[2].transl[:, 0], (60 + np.arange(30)) / 30, atol=1e-6)
    assert len(windows) == 3


def test_a_stream_gives_every_window_once_in_an_order_of_its_seed(tmp_path: Path) -> None:
    for number in range(6):
        save_motion(tmp_path / f"{number}.npz", 200 + 60 * number, 60.0)
    windows = MotionWindows(tmp_path, length=20, fps=30.0, stride=5)
    wanted = sorted((w.name, w.start) for w in (windows[i] for i in range(len(windows))))

    def order(**settings: int) -> list[tuple[str, int]]:
        return [(w.name, w.start) for w in windows.stream(**settings)]

    first = order(seed=1, buffer=64)
    assert sorted(first) == wanted
    assert first == order(seed=1, buffer=64)
    assert first != order(seed=1, epoch=1, buffer=64)
    assert first != wanted
    parts = order(seed=1, part=0, parts=2) + order(seed=1, part=1, parts=2)
    assert sorted(parts) == wanted
    neighbours = sum(a == b for (a, _), (b, _) in pairwise(first))
    assert neighbours < 0.7 * len(first)  # in the files' own order it is nearly all


def test_a_stream_may_be_taken_up_at_any_place(tmp_path: Path) -> None:
    # catches an order that depends on what was read before: a resumed run would see other motions
    for number in range(5):
        save_motion(tmp_path / f"{number}.npz", 150 + 90 * number, 60.0)
    windows = MotionWindows(tmp_path, length=8, fps=30.0)
    stream = MotionStream(windows, seed=3, buffer=16)
    order = [(stream[i].name, stream[i].start) for i in range(2 * stream.round)]
    assert stream.round == len(windows)
    assert sorted(order[: stream.round]) == sorted(order[stream.round :])
    assert order[: stream.round] != order[stream.round :]
    again = pickle.loads(pickle.dumps(stream))
    for place in (stream.round + 7, 3, 2 * stream.round - 1):
        assert (again[place].name, again[place].start) == order[place]
        assert np.array_equal(again[place].poses, stream[place].poses)
    blocks = [len({name for name, _ in order[i : i + 16]}) for i in range(0, stream.round - 16, 16)]
    assert np.mean(blocks) > 1.5  # of several motions at a time
    with pytest.raises(SynthError, match="too few motions for 9"):
        MotionStream(windows, part=8, parts=9)
    with pytest.raises(IndexError):
        stream[-1]


def test_a_discriminator_learns_from_the_motions_that_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # catches motions that are read and not used: labels are all masked here, so without them it would learn nothing
    from click.testing import CliRunner
    from test_masked_labels import batches, model_and_batch, taught

    from train.body import BodyLayer
    from train.cli import train
    from train.real.adversary import motion_batch

    save_motion(tmp_path / "amass" / "a.npz", 200, 60.0)
    stream = MotionStream(MotionWindows(tmp_path / "amass", length=4, fps=30.0))
    body = BodyLayer.named("free")
    batch = batches.small_batch(body, clips=2, frames=4)
    masked = replace(batch, smpl_valid=torch.zeros_like(batch.smpl_valid))
    motions = motion_batch(stream, 5, 2)
    assert torch.equal(motions, motion_batch(stream, 5, 2))
    assert not torch.equal(motions, motion_batch(stream, 6, 2))
    assert torch.allclose(
        motions[0, :, 0], torch.from_numpy(rotvec_to_rotmat(stream[10].poses[:, 0])).float(), atol=1e-5
    )
    model, masked = model_and_batch("vibe", masked)
    assert model.adversary is not None
    without, _ = taught(model, masked, body)
    real, _ = taught(model, masked, body, motions)
    assert without["discriminator"] == 0
    assert real["discriminator"] > 0
    given = []
    monkeypatch.setattr("train.run.fit", lambda run, **_: given.append(run.motions))
    done = CliRunner().invoke(train, ["vibe", "--data", "shards", "--motions", str(tmp_path / "amass")])
    assert done.exit_code == 0, (done.output, done.exception)
    assert given == [tmp_path / "amass"]


@pytest.mark.parametrize(("name", "said"), [("mviper", "no discriminator"), ("spsnet", "roots in the camera")])
def test_models_that_cannot_use_motions_say_so(name: str, said: str, tmp_path: Path) -> None:
    from train.models import build
    from train.presets import model_options
    from train.processes import Processes
    from train.real import open_source
    from train.real.clips import RealClips
    from train.run import Run, open_motions

    clips = RealClips(open_source("coco", formats.write_coco(tmp_path / "coco")), 4, frozenset({"images"}))
    run = Run(model=name, data=(tmp_path,), out=tmp_path / "out", motions=tmp_path)
    with pytest.raises(SynthError, match=said):
        open_motions(run, build(name, model_options("smoke", name)), clips, 0, Processes())


def test_memory_stays_flat_over_an_index_as_large_as_amass(tmp_path: Path) -> None:
    # 40 hours at 60 Hz in 600 files (links to one file of four minutes); catches motions that are kept
    original = save_motion(tmp_path / "files" / "0000.npz", 240 * 60, 60.0)
    for number in range(1, 600):
        os.link(original, tmp_path / "files" / f"{number:04d}.npz")
    windows = MotionWindows(tmp_path / "files", length=16, fps=30.0)
    assert windows.hours == pytest.approx(40.0)
    assert len(windows) == 600 * 450
    assert len(pickle.dumps(windows)) < 200_000
    stream = windows.stream(buffer=200)
    tracemalloc.start()
    peaks = []
    for _ in range(3):
        for _ in range(450):  # a file's worth
            next(stream)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        peaks.append(peak)
    tracemalloc.stop()
    assert max(peaks[1:]) < 1.25 * peaks[0]
    assert max(peaks) < 100e6  # one motion in double precision and its copies; all of them would take 5 GB


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    path = save_motion(tmp_path / "a.npz", 30, 30.0)
    with pytest.raises(SynthError, match="no motion has 31 frames"):
        MotionWindows(path, length=31)
    with pytest.raises(ValueError, match="positive"):
        MotionWindows(path, length=16, fps=0.0)
    with pytest.raises(IndexError):
        MotionWindows(path)[1]
