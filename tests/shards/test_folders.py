"""Folders merged, split and compared."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import run_command
from shard_factory import make_shard

from synth.cli.folders import merge, split
from synth.errors import SynthError
from synth.regenerate import compare, regenerate
from synth.shards.manifest import Manifest, open_dataset
from synth.shards.merge import merge as join
from synth.shards.split import _groups, make_split, open_split, read_split
from synth.shards.verify import verify


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [make_shard(folder, frames=2, views=1, dressed=seed < 2, size=48, seed=seed) for seed in range(4)]


def folder_of(path: Path, *clips: Path) -> Path:
    path.mkdir()
    for clip in clips:
        shutil.copy(clip, path)
        Manifest(path).record(path / clip.name, {"render": 1.5})
    return path


@pytest.mark.parametrize("link", [True, False])
def test_merged_folders_hold_each_clip_once_and_pass_verify(link: bool, clips: list[Path], tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "a", *clips[:2]), folder_of(tmp_path / "b", *clips[1:3])
    assert join((one, two), tmp_path / "out", link) == (3, 1)
    assert [e.clip_id for e in open_dataset(tmp_path / "out").entries] == sorted(c.stem for c in clips[:3])
    assert all(e.seconds == {"render": 1.5} for e in Manifest(tmp_path / "out").entries().values())
    assert verify(tmp_path / "out").all_faults == []
    with pytest.raises(SynthError, match="already"):
        join((one,), tmp_path / "out")


def test_a_damaged_shard_is_not_merged(clips: list[Path], tmp_path: Path) -> None:
    one = folder_of(tmp_path / "a", *clips[:2])
    with (one / clips[1].name).open("r+b") as file:
        file.seek(5000)
        file.write(b"xx")
    with pytest.raises(SynthError, match="not the file"):
        join((one,), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*.part.*"))


def test_clips_tied_through_others_stay_together() -> None:
    # catches grouping by one key after the other instead of by chains
    tied = {"a": {("m", "1")}, "b": {("m", "1"), ("t", "x")}, "c": {("t", "x")}, "d": {("m", "2")}, "e": set()}
    assert _groups(tied) == [["a", "b", "c"], ["d"], ["e"]]


def test_a_split_leaks_nothing_and_is_the_same_each_time(clips: list[Path], tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", *clips)
    parts = make_split(folder, ("body",), {"train": 0.5, "val": 0.25, "test": 0.25}, seed=3)
    assert [len(parts[name]) for name in ("train", "val", "test")] == [2, 1, 1]
    assert sorted(clip for part in parts.values() for clip in part) == sorted(c.stem for c in clips)
    assert read_split(folder) == parts
    assert make_split(folder, ("body",), {"train": 0.5, "val": 0.25, "test": 0.25}, seed=3) == parts
    for name, ids in parts.items():
        assert [e.clip_id for e in open_split(folder, name).entries] == ids
    outfits = make_split(folder, ("outfit",), {"train": 0.5, "val": 0.0, "test": 0.5})
    assert sorted(map(sorted, (outfits["train"], outfits["test"]))) == sorted(
        [sorted(c.stem for c in clips[:2]), sorted(c.stem for c in clips[2:])]
    )


def test_what_cannot_be_split_is_said(clips: list[Path], tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", *clips[:2])
    with pytest.raises(SynthError, match="leave val, test empty") as error:
        make_split(folder, ("motion",), {"train": 0.8, "val": 0.1, "test": 0.1})
    assert "cmu/01_01 (2 of 2)" in (error.value.hint or "")
    with pytest.raises(SynthError, match="not split"):
        open_split(folder, "train")
    make_split(folder, ("body",), {"train": 1.0, "test": 1.0})
    shutil.copy(clips[2], folder)
    Manifest(folder).record(folder / clips[2].name)
    with pytest.raises(SynthError, match="newer than its split"):
        open_split(folder, "train")


def test_the_commands(clips: list[Path], tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "a", clips[0]), folder_of(tmp_path / "b", clips[1])
    done = CliRunner().invoke(merge, [str(one), str(two), "--out", str(tmp_path / "c")])
    assert done.exit_code == 0, done.output
    assert "2 clips of 2 folders" in done.output
    done = CliRunner().invoke(split, [str(tmp_path / "c"), "--by", "body", "--val", "0"])
    assert "1 train, 0 val, 1 test" in done.output
    assert json.loads((tmp_path / "c/split.json").read_text())["by"] == ["body"]


def test_compare_names_what_differs(clips: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / clips[0].name
    shutil.copy(clips[0], copy)
    same = compare(clips[0], copy)
    assert (same.other_labels, same.other_pictures) == ((), ())
    assert same.same_labels > 30
    with h5py.File(copy, "r+") as file:
        file["views/0/parts"][0, 0, 0] = 1
        file["views/0/rgb"][10] ^= 1
    assert compare(clips[0], copy).other_labels == ("views/0/parts",)
    assert compare(clips[0], copy).other_pictures == ("views/0/rgb",)


@pytest.mark.blender
@pytest.mark.slow
def test_a_clip_made_again_is_the_same_bit_for_bit(small_shards: Path, tmp_path: Path) -> None:
    clip_id = open_dataset(small_shards).entries[0].clip_id
    arguments = ("--shards", str(small_shards), "--out", str(tmp_path / "again"))
    done = run_command("synth", "regenerate", clip_id, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same, bit for bit" in done.stdout
    assert "pictures: the same" in done.stdout
    with pytest.raises(SynthError, match="already"):
        regenerate(small_shards, clip_id, tmp_path / "again")
    with pytest.raises(SynthError, match="no finished clip"):
        regenerate(small_shards, "0" * 16, tmp_path / "other")
    assert np.all([entry.status == "done" for entry in Manifest(tmp_path / "again").entries().values()])
