import shutil
from pathlib import Path

import drill_kit
import drill_worker
import farm_fixtures
import pytest

from render_farm.store import Store, StoreLostError, open_store
from synth.config import load_config
from synth.errors import SynthError
from synth.provenance import COMMANDS, recorded_runs, run_line

bucket = farm_fixtures.bucket


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = str(tmp_path / "out")
    if request.param == "s3":
        url = f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    store = open_store(url)
    store.prepare()
    return store


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    spec = drill_kit.spec(0)
    drill_worker.make(spec, folder)
    return folder / f"{spec.clip_id}.h5"


def test_records_appear_change_and_go(store: Store) -> None:
    assert store.read("failures/a.json") is None
    assert store.names("failures") == []
    assert store.create("failures/a.json", "1")
    assert not store.create("failures/a.json", "2")  # catches an overwrite by the slower of two
    assert store.read("failures/a.json") == "1"
    store.write("failures/a.json", "3")
    assert store.read("failures/a.json") == "3"
    assert list(store.lines("failures/a.json")) == ["3"]
    assert list(store.lines("failures/c.json")) == []
    store.create("failures/b.json", "")
    assert store.names("failures") == ["failures/a.json", "failures/b.json"]
    assert 0 <= store.age("failures/a.json") < 600
    store.remove("failures/a.json")
    store.remove("failures/a.json")
    assert store.names("failures") == ["failures/b.json"]
    assert store.age("failures/a.json") == float("inf")


def test_commands_are_listed_in_order_where_the_shards_are(store: Store, tmp_path: Path) -> None:
    config = load_config(None, {})
    for word in ("first", "second"):
        store.add_command(run_line([word], config))
    if store.folder is None:
        import fsspec

        (tmp_path / COMMANDS).write_bytes(fsspec.filesystem("s3").cat_file(f"{store.url}/{COMMANDS}"))
    assert [run.command for run in recorded_runs(store.folder or tmp_path)] == ["synth first", "synth second"]


def test_the_first_shard_of_a_clip_stays(store: Store, shard: Path, tmp_path: Path) -> None:
    clip_id = shard.stem
    assert not store.has(clip_id)
    assert store.commit(shard, clip_id)
    stamp = store.shards()[clip_id]
    other = tmp_path / "other.h5"
    other.write_bytes(b"later")
    assert not store.commit(other, clip_id)
    assert store.has(clip_id)
    assert store.shards() == {clip_id: stamp}
    assert store.fault(clip_id) == ""
    assert shard.is_file()
    if store.folder:
        assert not list(store.folder.glob("*.part.*"))


def test_a_damaged_shard_is_told_and_removed(store: Store, shard: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.h5"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    damaged.write_bytes(content)
    store.commit(damaged, shard.stem)
    assert store.fault(shard.stem)
    store.drop(shard.stem)
    assert store.shards() == {}


def test_logs_of_all_attempts_are_kept(store: Store, tmp_path: Path) -> None:
    assert store.log("abc") == ""
    if store.folder is None:  # on a folder, jobs write their logs in place
        (tmp_path / "log").write_text("one\n")
        store.put_log("abc", tmp_path / "log")
        store.put_log("abc", tmp_path / "log")
        assert store.log("abc") == "one\none\n"


def test_a_folder_that_went_away_is_not_made_anew(tmp_path: Path, shard: Path) -> None:
    # catches mkdir on a node: shards would go below the mount point of a share that is not there
    store = open_store(str(tmp_path / "out"))
    store.prepare()
    shutil.rmtree(tmp_path / "out")
    for call in (
        store.probe,
        store.shards,
        lambda: store.commit(shard, shard.stem),
        lambda: store.write("a.json", ""),
        lambda: store.create("claims/a.json", ""),
        lambda: store.has("a"),
    ):
        with pytest.raises(StoreLostError):
            call()
    assert not (tmp_path / "out").exists()


def test_an_object_store_that_does_not_answer_is_lost(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"{bucket}-that-is-not-there/run")
    with pytest.raises(OSError, match=r"not-there|bucket"):
        store.probe()


def test_an_unknown_protocol_is_an_error_to_mend() -> None:
    with pytest.raises(SynthError, match="nosuch"):
        open_store("nosuch://bucket/run")
