"""Measures on real data: what is annotated is compared, by itself, and no difference crosses a gap."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import real_formats as formats
import torch
from click.testing import CliRunner

from synth.errors import SynthError
from train.annotated import annotated_set, known_frames, measure_annotated
from train.augment import Change
from train.body import BodyLayer
from train.checkpoint import save
from train.data import Place
from train.evaluate import evaluate
from train.extract import encoder_of, weights_digest
from train.inference import View, stretches, views
from train.measure import measure
from train.models import build
from train.presets import model_options
from train.real import Record, labels, open_source
from train.real.clips import RealClips

IMAGES = frozenset({"images"})


@pytest.fixture(scope="module")
def body() -> BodyLayer:
    return BodyLayer.named("free")


def saved(model: str, path: Path, body: BodyLayer, **more: object) -> Path:
    """A checkpoint with fresh weights."""
    torch.manual_seed(0)
    about = {"size": 32, **more}
    held = {"name": body.name, "sha256": list(body.sha256)}
    save(path, build(model, model_options("smoke", model)), step=1, body=held, about=about, settings={"steps": 1})
    return path


def track(frames: int, known: np.ndarray) -> Record:
    """Joints that fly about, some of them not annotated."""
    joints = np.random.default_rng(0).normal(size=(frames, 24, 3))
    return Record(
        source="3dpw",
        name="made",
        fps=30.0,
        frame_ids=np.arange(frames),
        bbox=np.tile([0.0, 0.0, 100.0, 100.0], (frames, 1)),
        joints_3d=np.where(known[..., None], joints, np.nan),
    )


def whole(record: Record) -> View:
    """All of a record's frames."""
    return View(shard=0, number=0, clip_id="", frames=len(record.frame_ids), fps=30.0, motion="")


def test_annotated_joints_are_compared_and_others_are_not() -> None:
    # by hand: one joint of ten is 49 mm off, so the mean is 4.9 mm; PCK 100 %; the hips stay, so centring moves nothing
    known = np.zeros((3, 24), bool)
    known[:, [1, 2, 4, 5, 7, 8, 16, 17, 18, 19]] = True
    record = track(3, known)
    points = np.where(known[..., None], np.nan_to_num(record.joints_3d), 123.0)
    points[:, 18, 1] += 0.049
    (found,) = measure_annotated(points, record, whole(record), "smpl24")
    assert np.allclose(found["mpjpe_mm_annotated"], 4.9)
    assert np.allclose(found["accel_mm_per_frame2_annotated"], 0.0, atol=1e-9)
    assert np.allclose(found["pck150_annotated"], 100.0)
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    (turned,) = measure_annotated(2 * np.nan_to_num(record.joints_3d) @ quarter, record, whole(record), "smpl24")
    assert np.allclose(turned["pa_mpjpe_mm_annotated"], 0.0, atol=1e-6)
    assert (turned["mpjpe_mm_annotated"] > 100).all()
    assert np.allclose(found["auc_annotated"], 100.0 * (0.9 + 0.1 * 21 / 31))  # 49 mm is within 21 of 31 thresholds


def test_no_difference_crosses_frames_that_are_not_annotated() -> None:
    # catches masked frames that are dropped before differencing (TCMR): frame 3 of 0-7 knows nothing
    known = np.ones((8, 24), bool)
    known[3] = False
    record = track(8, known)
    shift = np.arange(8.0) ** 3  # a jump would show
    points = np.nan_to_num(record.joints_3d)
    points[:, 20, 0] += shift
    found = list(measure_annotated(points, record, whole(record), "smpl24"))
    accelerations = np.concatenate([part["accel_mm_per_frame2_annotated"] for part in found])
    expected = [np.diff(part, n=2) for part in (shift[:3], shift[4:])]
    assert np.allclose(accelerations, np.abs(np.concatenate(expected)) * 1000 / 24)
    assert sum(len(part["mpjpe_mm_annotated"]) for part in found) == 7


def test_a_frame_without_both_hips_or_with_few_joints_is_left_out() -> None:
    known = np.ones((4, 24), bool)
    known[1, 2] = False  # a hip
    known[2, 3:] = False  # three joints
    record = track(4, known)
    assert known_frames(record, whole(record), "smpl24").tolist() == [True, False, False, True]
    found = list(measure_annotated(np.nan_to_num(record.joints_3d), record, whole(record), "smpl24"))
    assert [len(part["mpjpe_mm_annotated"]) for part in found] == [1, 1]


def test_runs_are_the_longest_ones() -> None:
    assert stretches(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert stretches(np.array([False, False])) == []


def test_frames_without_a_box_part_a_track(tmp_path: Path) -> None:
    formats.write_emdb(tmp_path)  # frame 2 is bad
    clips = RealClips(open_source("emdb", tmp_path, "emdb1"), 1, IMAGES, size=32)
    assert [(view.first, view.frames) for view in views(clips)] == [(0, 2), (3, 1)]
    sample = clips.sample(Place(0, 0, 3), Change(), 1, labels_only=True)
    assert sample["start"] == 3


def test_3dpw_is_measured_where_its_camera_is_known(tmp_path: Path, body: BodyLayer) -> None:
    formats.write_3dpw(tmp_path)
    checkpoint = saved("hmr", tmp_path / "hmr.pt", body)
    report = measure(checkpoint, (), real=[("3dpw", tmp_path)], real_split="train", device="cpu")
    assert (report.frames, report.sequences) == (7, 2)  # of two people's four frames; one camera is not valid
    assert report.mean["mpjpe_mm_annotated"] > 0
    assert "mpvpe_mm" not in report.mean  # SMPL's numbers on the free body would be another person
    assert "3dpw train" in report.notes["part"]
    source = open_source("3dpw", tmp_path, "train")
    clips = RealClips(source, 1, IMAGES, size=32, smpl=True)
    full = evaluate(build("hmr", model_options("smoke", "hmr")).eval(), [clips], body)
    assert full.mean["mpvpe_mm"] > 0
    assert full.frames == 7


def test_the_joints_of_a_studio_are_compared_in_the_papers_14(tmp_path: Path, body: BodyLayer) -> None:
    formats.write_3dhp_test(tmp_path)
    record = open_source("3dhp", tmp_path, "test")[0]
    assert annotated_set(record, body) == "lsp14"
    report = measure(saved("hmr", tmp_path / "hmr.pt", body), (), real=[("3dhp", tmp_path)])  # its test part
    assert report.mean["mpjpe_mm_lsp14_annotated"] > 0
    assert labels(record, 0, 1, "lsp14")["joints_valid"][0, [2, 3]].all()


def test_a_model_of_features_sees_real_pictures_by_its_encoder(tmp_path: Path, body: BodyLayer) -> None:
    formats.write_3dpw(tmp_path)
    frame = saved("hmr", tmp_path / "hmr.pt", body)
    digest = weights_digest(encoder_of(frame, "", None).network)
    vibe = saved("vibe", tmp_path / "vibe.pt", body, encoder_weights=digest)
    real = [("3dpw", tmp_path)]
    report = measure(vibe, (), real=real, real_split="train", encoder=frame, device="cpu")
    assert report.frames == 7
    other = saved("vibe", tmp_path / "other.pt", body, encoder_weights="another")
    with pytest.raises(SynthError, match="another encoder"):
        measure(other, (), real=real, real_split="train", encoder=frame)


def test_the_command_measures_real_data_and_says_what_is_wrong(tmp_path: Path, body: BodyLayer) -> None:
    from train.cli import train

    formats.write_3dpw(tmp_path / "3dpw")
    formats.write_coco(tmp_path / "coco")
    checkpoint = saved("hmr", tmp_path / "hmr.pt", body)
    out = tmp_path / "found.json"
    real = ("--real", f"3dpw={tmp_path / '3dpw'}")
    done = CliRunner().invoke(train, ["evaluate", str(checkpoint), *real, "--real-split", "train", "--json", str(out)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert json.loads(out.read_text())["mean"]["pa_mpjpe_mm_annotated"] > 0
    for arguments, said in (
        ((), "nothing to measure on"),
        (("--real", f"coco={tmp_path / 'coco'}", "--real-split", "train"), "no frame has a box and 3D joints"),
        (real, "no test data of 3dpw"),  # no test part was unpacked
        (("--real", "3dpw"), "NAME=PATH"),
    ):
        wrong = CliRunner().invoke(train, ["evaluate", str(checkpoint), *arguments])
        assert isinstance(wrong.exception, SynthError), (arguments, wrong.output, wrong.exception)
        assert said in str(wrong.exception)


def test_a_damaged_track_is_named(tmp_path: Path, body: BodyLayer) -> None:
    formats.write_3dpw(tmp_path)
    file = tmp_path / "sequenceFiles" / "train" / "walk_00.pkl"
    content = pickle.loads(file.read_bytes())
    del content["poses"]
    file.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(SynthError, match="walk_00"):
        measure(saved("hmr", tmp_path / "hmr.pt", body), (), real=[("3dpw", tmp_path)], real_split="train")
