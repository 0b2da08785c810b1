import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.utils.data import DataLoader

from synth.errors import SynthError
from synth.shards.manifest import Manifest
from synth.shards.read import ShardReader
from train.cli import train
from train.data import Windows, WindowStream, collate

_SPEC = importlib.util.spec_from_file_location(
    "shard_factory", Path(__file__).parents[1] / "shards" / "shard_factory.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
factory = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(factory)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, frames in enumerate((6, 8, 3)):
        path = factory.make_shard(folder, frames=frames, views=2, size=64, seed=seed)
        Manifest(folder).record(path)
    return folder


def key(sample: dict, i: int) -> tuple[str, int, int]:
    return sample["clip_id"][i], int(sample["view"][i]), int(sample["start"][i])


def test_every_window_of_every_view_comes_once_and_short_clips_are_left_out(folder: Path) -> None:
    windows = Windows(folder, length=4, stride=2)
    frames = {entry.clip_id: entry.frames for entry in windows.shards.entries}
    expected = {(clip, v, s) for clip, n in frames.items() for v in (0, 1) for s in range(0, n - 3, 2)}
    found = [(s["clip_id"], s["view"], s["start"]) for s in (windows[i] for i in range(len(windows)))]
    assert sorted(found) == sorted(expected)
    assert len(windows) == 2 * (2 + 3)
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_a_window_holds_the_very_frames_of_its_place(folder: Path) -> None:
    windows = Windows(folder, length=4)
    sample = windows[len(windows) - 1]
    with ShardReader(folder / f"{sample['clip_id']}.h5") as reader:
        wanted = reader.window(sample["view"], sample["start"], 4, ("rgb", "keypoints_2d", "smpl/betas"))
    assert sample["rgb"].shape == (4, 3, 64, 64)
    assert np.array_equal(sample["rgb"].permute(0, 2, 3, 1).numpy(), wanted["rgb"])
    assert np.allclose(sample["keypoints_2d"].numpy(), wanted["keypoints_2d"], atol=1e-4)
    assert np.allclose(sample["smpl/betas"].numpy(), wanted["smpl/betas"], atol=1e-6)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_read_the_same_windows_as_the_process_itself(folder: Path, context: str) -> None:
    # catches an HDF5 handle shared between processes: read once before the workers start
    windows = Windows(folder, length=4)
    before = windows[0]["rgb"].clone()
    loader = DataLoader(windows, batch_size=4, num_workers=2, collate_fn=collate, multiprocessing_context=context)
    seen = 0
    for batch in loader:
        for i in range(len(batch["clip_id"])):
            alone = windows[seen]
            assert key(batch, i) == (alone["clip_id"], alone["view"], alone["start"])
            assert torch.equal(batch["rgb"][i], alone["rgb"])
            seen += 1
    assert seen == len(windows)
    assert torch.equal(windows[0]["rgb"], before)


def test_the_stream_gives_every_window_once_whatever_the_workers_and_a_new_order_each_epoch(folder: Path) -> None:
    windows = Windows(folder, length=3)
    stream = WindowStream(windows, seed=5, buffer=4)
    wanted = sorted((windows[i]["clip_id"], windows[i]["view"], windows[i]["start"]) for i in range(len(windows)))

    def read(workers: int) -> list[tuple[str, int, int]]:
        loader = DataLoader(stream, batch_size=3, num_workers=workers, collate_fn=collate)
        return [key(batch, i) for batch in loader for i in range(len(batch["clip_id"]))]

    first = read(0)
    assert sorted(first) == wanted
    assert first != wanted
    assert read(0) == first
    assert sorted(read(2)) == wanted
    stream.set_epoch(1)
    assert read(0) != first
    halves = [WindowStream(windows, seed=5, process=p, processes=2) for p in (0, 1)]
    both = [(s["clip_id"], s["view"], s["start"]) for half in halves for s in half]
    assert sorted(both) == wanted


def test_windows_that_do_not_stack_are_named(folder: Path, tmp_path: Path) -> None:
    for source in folder.glob("*.h5"):
        shutil.copy(source, tmp_path)
        Manifest(tmp_path).record(tmp_path / source.name)
    other = factory.make_shard(tmp_path, frames=4, views=1, size=32, seed=9)
    Manifest(tmp_path).record(other)
    windows = Windows(tmp_path, length=3)
    with pytest.raises(SynthError, match=other.stem):
        collate([windows[i] for i in range(len(windows))])


def test_too_long_a_window_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(SynthError, match="longest has 8"):
        Windows(folder, length=9)


def test_the_command_says_what_there_is(folder: Path) -> None:
    result = CliRunner().invoke(
        train, ["data", "--data", str(folder), "--frames", "4", "--batches", "2", "--batch", "2"]
    )
    assert result.exit_code == 0, result.output
    assert "3 clips, 34 images, 16 windows of 4 frames" in result.output
    assert "(2, 4, 3, 64, 64)" in result.output
    assert "windows/s" in result.output


def test_an_unknown_field_is_a_clear_error(folder: Path) -> None:
    result = CliRunner().invoke(train, ["data", "--data", str(folder), "--frames", "4", "--field", "nonsense"])
    assert isinstance(result.exception, SynthError)
    assert "nonsense" in str(result.exception)
