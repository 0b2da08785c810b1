import dataclasses
import json
import multiprocessing
import pickle
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import shard_factory as factory
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synth.body.lbs import posed
from synth.body.model import load_named
from synth.cli.shards import info, sheet, verify
from synth.errors import SynthError
from synth.shards import schema
from synth.shards.manifest import Manifest, open_dataset
from synth.shards.read import ShardReader, check_checksums
from synth.shards.write import Provenance, ShardWriter, publish, write_shard


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return factory.make_shard(tmp_path_factory.mktemp("shard"), frames=5, views=2, dressed=True, texture=3.0)


def test_what_is_read_is_what_was_drawn_to_the_stated_precision(shard: Path) -> None:
    body = load_named("free", "neutral")
    clip = factory.make_clip(body, 5, dressed=True)
    cameras = factory.make_cameras(clip, 2)
    passes = factory.draw(clip, body, cameras[1], 2, 1, texture=3.0)
    with ShardReader(shard) as reader:
        frame = reader.frame(1, 2)
        assert np.abs(frame["depth"] - passes.depth).max() <= 0.00051
        assert np.abs(frame["flow"] - passes.flow).max() <= 1 / 128 + 1e-6
        assert np.abs(frame["normal"] - passes.normal).max() <= 1 / 254 + 1e-6
        assert np.array_equal(frame["parts"], passes.parts)
        assert np.array_equal(frame["garments"], passes.garments)
        assert np.abs(frame["rgb"].astype(int) - passes.rgb).mean() < 5
        assert frame["flow_valid"].shape == ()
        assert np.array_equal(frame["T_camera_world"], cameras[1].T_camera_world[2])
        assert frame["flow_valid"] == 1
        assert reader.frame(1, 4, ["flow_valid", "flow"])["flow"].max() == 0
        assert np.abs(reader.clip("vertices_world") - clip.body_vertices_world).max() <= 2**-17 + 1e-6
        assert np.array_equal(reader.clip("smpl/body_pose"), clip.motion.body_pose)
        camera = reader.window(1, 0, 5, ["smpl_camera/global_orient", "smpl_camera/transl"])
    vertices, _ = posed(body, clip.betas, camera["smpl_camera/global_orient"], clip.motion.body_pose,
                        camera["smpl_camera/transl"])  # fmt: skip
    pose = cameras[1].T_camera_world
    there = np.einsum("tij,tnj->tni", pose[:, :3, :3], clip.body_vertices_world) + pose[:, None, :3, 3]
    assert np.abs(vertices - there).max() < 1e-6


def test_a_window_is_its_frames_one_by_one(shard: Path) -> None:
    with ShardReader(shard) as reader:
        window = reader.window(0, 1, 3)
        for i in range(3):
            for name, array in reader.frame(0, 1 + i).items():
                assert np.array_equal(array, window[name] if name == "K" else window[name][i], equal_nan=True), name
        for start, length in ((-1, 2), (4, 2), (0, 6)):
            with pytest.raises(ValueError, match="outside the clip"):
                reader.window(0, start, length)
        with pytest.raises(ValueError, match="no field"):
            reader.frame(2, 0, ["depth"])


def test_label_maps_lie_in_one_chunk_a_frame_and_pictures_in_one_piece(shard: Path) -> None:
    # catches a chunk shape that makes one frame cost several
    with h5py.File(shard) as file:
        for name in ("depth", "flow", "normal", "parts", "garments"):
            dataset = file[f"views/0/{name}"]
            assert dataset.chunks == (1, *dataset.shape[1:])
        assert file["views/0/rgb"].chunks is None
        jpeg = file["views/0/rgb"][: file["views/0/rgb_offsets"][1]].tobytes()
        assert jpeg[:2] == b"\xff\xd8"
        assert jpeg[-2:] == b"\xff\xd9"


def test_the_same_input_gives_the_same_bytes(shard: Path, tmp_path: Path) -> None:
    time.sleep(1.1)  # catches times inside the file
    again = factory.make_shard(tmp_path, frames=5, views=2, dressed=True, texture=3.0)
    assert again.name == shard.name
    assert again.read_bytes() == shard.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [shard.name]


def writer_for(folder: Path, frames: int = 2) -> tuple[ShardWriter, tuple]:
    body = load_named("free", "neutral")
    clip = factory.make_clip(body, frames)
    cameras = factory.make_cameras(clip, 1, 64)
    spec = factory.make_spec(clip, cameras)
    writer = ShardWriter(
        folder / f"{spec.clip_id}.h5", spec=spec, clip=clip, body=body, cameras=cameras, provenance=Provenance()
    )
    return writer, (clip, body, cameras, spec)


def test_an_unfinished_clip_leaves_nothing(tmp_path: Path) -> None:
    writer, (clip, body, cameras, spec) = writer_for(tmp_path)
    drawn = [(0, 0, factory.draw(clip, body, cameras[0], 0, 0))]
    make = {"spec": spec, "clip": clip, "body": body, "cameras": cameras, "provenance": Provenance()}
    with pytest.raises(SynthError, match="1 of 2 frames"):
        write_shard(writer.path, frames=drawn, **make)
    with pytest.raises(ValueError, match="expected frame 0"):
        write_shard(writer.path, frames=[(0, 1, drawn[0][2])], **make)
    with pytest.raises(KeyboardInterrupt), writer:
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_impossible_values_are_refused_with_the_field_named(tmp_path: Path) -> None:
    _, (clip, body, cameras, spec) = writer_for(tmp_path)
    good = factory.draw(clip, body, cameras[0], 0, 0)
    make = {"spec": spec, "clip": clip, "body": body, "cameras": cameras, "provenance": Provenance()}
    for field, value, word in (("depth", 70.0, "depth"), ("flow", np.nan, "not finite"), ("flow", 600.0, "flow")):
        bad = dataclasses.replace(good, **{field: np.full_like(getattr(good, field), value)})
        with pytest.raises(SynthError, match=word):
            write_shard(tmp_path / "x.h5", frames=[(0, 0, bad), (0, 1, good)], **make)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path) -> None:
    writer, _ = writer_for(Path("/proc/nowhere"))
    with pytest.raises(SynthError, match="cannot be written"), writer:
        pass


def test_publishing_never_overwrites(tmp_path: Path) -> None:
    first, second, path = tmp_path / "a.part.1", tmp_path / "a.part.2", tmp_path / "a.h5"
    first.write_text("first")
    second.write_text("second")
    assert publish(first, path)
    assert not publish(second, path)
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 65.5), st.floats(-511, 511), st.floats(-1, 1))
def test_quantised_values_come_back_within_half_a_step(depth: float, flow: float, normal: float) -> None:
    for name, value in (("depth", depth), ("flow", flow), ("normal", normal)):
        kind = schema.VIEW[name]
        back = schema.decode(kind, schema.encode(kind, np.array([value]), name))
        assert abs(back[0] - value) <= kind.scale * 0.5 + 1e-5


def test_a_reader_is_small_to_send_and_opens_again(shard: Path) -> None:
    reader = ShardReader(shard)
    wanted = reader.frame(0, 0, ["rgb"])["rgb"]
    assert len(pickle.dumps(reader)) < 500
    assert np.array_equal(pickle.loads(pickle.dumps(reader)).frame(0, 0, ["rgb"])["rgb"], wanted)
    reader.close()
    assert np.array_equal(reader.frame(0, 0, ["rgb"])["rgb"], wanted)


def test_damaged_files_are_errors_that_name_file_and_field(shard: Path, tmp_path: Path) -> None:
    path = tmp_path / shard.name
    content = shard.read_bytes()
    for size in (0, 64, len(content) // 3, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(SynthError, match=shard.name):
            ShardReader(path).frame(0, 0)
    rng = np.random.default_rng(0)
    for _ in range(30):  # wherever a byte is wrong, either an error that can be read or a wrong checksum
        at = int(rng.integers(len(content)))
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            faults = check_checksums(path)
            faults = faults or (path.read_bytes() != content and _same_content(path, shard))
        except SynthError as error:
            faults = shard.name in str(error)
        assert faults, at


def _same_content(path: Path, shard: Path) -> bool:
    """True if the changed byte lies where no content is (HDF5's padding)."""
    with ShardReader(path) as a, ShardReader(shard) as b:
        return all(
            np.array_equal(a.dataset(n)[()], b.dataset(n)[()], equal_nan=True) for n in schema.expected(b.layout)
        )


def hostile(shard: Path, folder: Path, change) -> ShardReader:
    path = folder / shard.name
    shutil.copy(shard, path)
    with h5py.File(path, "r+") as file:
        change(file)
    return ShardReader(path)


def test_hostile_files_are_refused(shard: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.h5").write_bytes(shard.read_bytes())

    def link(file: h5py.File) -> None:
        del file["views/0/depth"]
        file["views/0/depth"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "views/0/depth")

    def huge(file: h5py.File) -> None:
        del file["views/0/depth"]
        file.create_dataset("views/0/depth", shape=(2**40, 250, 250), dtype="<u2", chunks=(1, 250, 250))

    def outside(file: h5py.File) -> None:
        del file["views/0/depth"]
        file.create_dataset(
            "views/0/depth", shape=(5, 250, 250), dtype="<u2", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
        )

    def bomb(file: h5py.File) -> None:
        file["views/0/rgb_offsets"][...] = [0, 2**40, 2**41, 2**41, 2**41, 2**41]

    for change, field in ((link, "depth"), (huge, "depth"), (outside, "depth"), (bomb, "rgb")):
        with pytest.raises(SynthError, match=f"{shard.name}: views/0/{field}"):
            hostile(shard, tmp_path, change).frame(0, 0, [field])
    layout = ShardReader(shard).layout
    for plain in ({"frames": 10**9}, {"garments": [["../x", 1, 1]]}, {"height": "many"}, {"more": 1}):
        text = json.dumps(json.loads(layout.to_json()) | plain)
        with pytest.raises(SynthError, match="layout"):
            hostile(shard, tmp_path, lambda file, text=text: file.attrs.update({"layout": text})).frame(0, 0)
    with pytest.raises(SynthError, match="schema version 99"):
        hostile(shard, tmp_path, lambda file: file.attrs.update({"schema_version": 99})).frame(0, 0)


def test_only_what_the_manifest_names_exists(shard: Path, tmp_path: Path) -> None:
    path = tmp_path / shard.name
    shutil.copy(shard, path)
    with pytest.raises(SynthError, match=r"manifest\.jsonl"):
        open_dataset(tmp_path)
    manifest = Manifest(tmp_path)
    entry = manifest.record(path, {"render": 4.0})
    spec = factory.make_spec(factory.make_clip(load_named("free", "neutral"), 2), factory.make_cameras(
        factory.make_clip(load_named("free", "neutral"), 2), 1))  # fmt: skip
    manifest.reject(spec, ("exploded",), {"simulate": 2.0})
    shutil.copy(shard, tmp_path / "stranger.h5")
    folder = open_dataset(tmp_path)
    assert [reader.path.name for reader in folder] == [shard.name]
    assert entry.attributes["outfit"] == "shorts"
    (tmp_path / "stranger.h5").unlink()
    before = manifest.entries()
    (tmp_path / "manifest.jsonl").unlink()
    rebuilt = manifest.rebuild()
    assert set(rebuilt) == set(before) == {entry.clip_id, spec.clip_id}
    assert rebuilt[spec.clip_id] == before[spec.clip_id]
    assert rebuilt[entry.clip_id].sha256 == entry.sha256
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SynthError, match="another size"):
        open_dataset(tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"clip_id": "x", "status": "done", "file": "../../etc/passwd"}\n')
    with pytest.raises(SynthError, match="line 1"):
        open_dataset(tmp_path)


def _reject_many(folder: str, start: int) -> None:
    clip = factory.make_clip(load_named("free", "neutral"), 2)
    cameras = factory.make_cameras(clip, 1)
    for index in range(start, start + 10):
        Manifest(folder).reject(factory.make_spec(clip, cameras, index=index), ("made up",))


def test_several_processes_write_one_manifest(tmp_path: Path) -> None:
    # catches the lock left out: entries would be lost
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_reject_many, args=(str(tmp_path), 10 * k)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(Manifest(tmp_path).entries()) == 40
    assert not list(tmp_path.glob("*.part.*"))


def test_the_commands(shard: Path, tmp_path: Path) -> None:
    shutil.copy(shard, tmp_path)
    Manifest(tmp_path).record(tmp_path / shard.name)
    run = CliRunner().invoke
    result = run(verify, [str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output.splitlines()[-1])["ok"] is True
    found = json.loads(run(info, [str(tmp_path), "--json"]).output)
    assert (found["clips"], found["images"], found["outfit"]) == (1, 10, {"shorts": 1})
    assert found["bytes_per_image"] == shard.stat().st_size / 10
    assert "1 clips, 5 frames, 10 images" in run(info, [str(tmp_path)]).output
    assert run(sheet, [str(tmp_path), "--out", str(tmp_path / "s.png")]).exit_code == 0
    picture = np.asarray(Image.open(tmp_path / "s.png"))
    assert picture.shape[1] > 7 * 250
    assert picture.std() > 20
    with h5py.File(tmp_path / shard.name, "r+") as file:
        file["views/0/depth"][...] = file["views/0/depth"][()] + 5
    result = run(verify, [str(tmp_path), "--json"])
    assert result.exit_code == 1
    names = {fault["name"] for fault in json.loads(result.output.splitlines()[-1])["faults"]}
    assert {"checksum", "manifest"} <= names
    assert isinstance(run(verify, [str(tmp_path / "nowhere")]).exception, SynthError)
