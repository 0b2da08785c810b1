import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
import real_formats as formats
import torch
from click.testing import CliRunner

from synth.body.joints import PAIRS
from synth.body.model import load_named
from synth.errors import SynthError
from synth.shards.manifest import Manifest
from train.augment import Augmentation, Change
from train.body import BodyLayer
from train.clips import Clips, stack
from train.joints import joint_set
from train.loop import Loop, Settings, loader
from train.models import build
from train.presets import model_options
from train.real import open_source
from train.real.clips import RealClips

IMAGES = frozenset({"images"})


def opened(form: str, tmp_path: Path, length: int = 4, needs: frozenset[str] = IMAGES, **settings: object) -> RealClips:
    name, split, write = formats.WRITERS[form]
    source = open_source(name, write(tmp_path / form), split)
    return RealClips(source, length, needs, size=32, **settings)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(__file__).parents[1] / "shards" / "shard_factory.py"
    spec = importlib.util.spec_from_file_location("shard_factory", path)
    assert spec is not None
    assert spec.loader is not None
    factory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(factory)
    folder = tmp_path_factory.mktemp("real") / "shards"
    folder.mkdir()
    made = factory.make_shard(folder, frames=6, views=2, size=64, seed=0, body=load_named("free", "neutral"))
    Manifest(folder).record(made)
    return folder


def test_a_sample_has_the_shards_fields_and_shapes(shards: Path, tmp_path: Path) -> None:
    made = Clips(shards, 4, IMAGES, size=32)[0]
    for form in ("3dpw", "coco", "penn", "insta"):
        real = opened(form, tmp_path)[0]
        assert real.keys() == made.keys(), form
        for name, value in made.items():
            if isinstance(value, torch.Tensor):
                assert (real[name].shape, real[name].dtype) == (value.shape, value.dtype), f"{form}: {name}"
                assert torch.isfinite(real[name].float()).all(), f"{form}: {name}"


def test_masks_say_what_is_known(tmp_path: Path) -> None:
    whole = opened("3dpw", tmp_path)[0]
    assert whole["joints_valid"].all(dim=1).tolist() == [True, True, True, False]
    assert whole["smpl_valid"].tolist() == [True, True, True, False]
    still = opened("coco", tmp_path)[0]
    assert not still["joints_valid"].any()
    assert not still["smpl_valid"].any()
    assert (still["images"] == still["images"][:1]).all()
    assert (still["keypoints_2d"] == still["keypoints_2d"][:1]).all()
    limbs = [i for i, name in enumerate(joint_set("smpl24")) if name in joint_set("coco17")]
    assert still["keypoints_2d"][0, :, 2].nonzero().ravel().tolist() == [j for j in limbs if j != 8]  # not annotated
    studio = opened("3dhp", tmp_path)[0]  # limbs and neck only, rooted between the hips
    assert studio["joints_valid"][0].nonzero().ravel().tolist() == sorted([*limbs, 12])
    hips = studio["joints_3d"][:, 1:3].mean(dim=1)
    assert torch.allclose(hips, torch.zeros_like(hips), atol=1e-6)
    assert not studio["joints_3d"][~studio["joints_valid"]].any()


def test_keypoints_count_by_their_confidence(tmp_path: Path) -> None:
    # catches detections of 0.8, and hidden joints, that train as much as joints that are seen
    detected = opened("3dpw", tmp_path)[0]["keypoints_2d"]
    limbs = [i for i, name in enumerate(joint_set("smpl24")) if name in joint_set("coco18")]
    assert torch.allclose(detected[0, limbs, 2], torch.tensor(0.8))
    still = opened("coco", tmp_path).window(0, Change())["keypoints_2d"]
    flipped = opened("coco", tmp_path / "again").window(0, Change(flip=True))["keypoints_2d"]
    assert (still[0, 7, 2], flipped[0, 8, 2]) == (0.5, 0.5)  # the left ankle is hidden; mirrored, it is the right one


def test_a_windows_shape_is_that_of_the_frames_that_have_one(tmp_path: Path) -> None:
    # catches the zeros of a first frame without a fit, which would train under the masks of the others
    import json

    path = formats.write_h36m_json(tmp_path) / "annotations" / "Human36M_subject1_SMPL_NeuralAnnot.json"
    content = json.loads(path.read_text())
    del content["2"]["1"]["0"]
    path.write_text(json.dumps(content))
    sample = RealClips(open_source("h36m", tmp_path), 4, IMAGES, size=32)[0]
    assert sample["smpl_valid"].tolist() == [False, True, True, False]
    _, betas, _ = formats.smpl_numbers()
    assert np.allclose(sample["betas"][1:3], betas, atol=1e-6)


def test_labels_lie_on_the_picture_also_when_it_is_changed(tmp_path: Path) -> None:
    # the figure is brighter near its joints: catches a mirrored picture with unmirrored labels, or a shifted crop
    clips = opened("3dpw", tmp_path)
    for change in (Change(), Change(flip=True), Change(rotation=0.4), Change(shift=(0.1, -0.05), scale=1.3)):
        sample = clips.window(0, change)
        red = sample["images"][:3, 0]
        points = sample["keypoints_2d"][:3]
        seen = points[..., 2] > 0
        at = ((points[..., :2] + 1) * 16).long().clamp(0, 31)
        values = red[torch.arange(3)[:, None], at[..., 1], at[..., 0]]
        assert values[seen].mean() > red.mean() + 0.5 * red.std()
    left, right = np.array(PAIRS).T
    flipped = clips.window(0, Change(flip=True))
    straight = clips.window(0, Change())
    for sample in (straight, flipped):  # a figure that faces the camera has its left on the right, mirrored or not
        assert (sample["joints_3d"][:3, left, 0] > sample["joints_3d"][:3, right, 0]).all()
    assert torch.equal(straight["joints_valid"], flipped["joints_valid"])


def test_windows_follow_from_number_and_draw_also_in_workers(tmp_path: Path) -> None:
    clips = opened("penn", tmp_path, length=2, augmentation=Augmentation(), seed=3)
    again = pickle.loads(pickle.dumps(clips))
    assert len(clips) == 3
    for name, value in clips[1, 5].items():
        other = again[1, 5][name]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
    assert not torch.equal(clips[1, 5]["images"], clips[1, 6]["images"])
    with pytest.raises(IndexError):
        clips.place_of(3)


def test_a_window_without_boxes_gives_way_to_the_next(tmp_path: Path) -> None:
    clips = opened("posetrack", tmp_path, length=1)
    assert clips[1]["start"] == 2  # nothing is labelled in frame 1
    assert clips[0]["start"] == 0


def opened_again(clips: RealClips) -> RealClips:
    return RealClips(open_source(clips.source.name, clips.source.path), clips.length, clips.needs, size=32)


def test_features_that_came_with_the_data_are_used(tmp_path: Path) -> None:
    clips = opened("vibe", tmp_path, needs=frozenset({"features"}))
    assert clips[0]["features"].shape == (4, 16)
    crops = opened("vibe-insta", tmp_path, needs=frozenset({"features"}))[1]
    assert crops["image_size"].tolist() == [224, 224]
    assert torch.allclose(crops["box"], torch.tensor([112.0, 112.0, 224.0]))  # keypoints in the crop of the features
    for picture in (tmp_path / "vibe").rglob("*.jpg"):
        picture.unlink()  # they come with the data sets, the databases alone are enough for features
    assert opened_again(clips)[0]["features"].shape == (4, 16)
    with pytest.raises(SynthError, match="coco has no features"):
        opened("coco", tmp_path, needs=frozenset({"features"}))
    with pytest.raises(SynthError, match="lsp has no feature_maps"):
        opened("lsp", tmp_path, needs=frozenset({"images", "feature_maps"}))
    with pytest.raises(SynthError, match="amass has no pictures"):
        opened("amass", tmp_path)
    with pytest.raises(SynthError, match="no track has 9 frames"):
        opened("penn", tmp_path, length=9)


def test_shards_and_two_real_data_sets_train_one_model(shards: Path, tmp_path: Path) -> None:
    needs = IMAGES
    options = model_options("smoke", "mviper")
    torch.manual_seed(0)
    model = build("mviper", options)
    sources = [
        Clips(shards, model.window, needs, size=32),
        RealClips(open_source("3dpw", formats.write_3dpw(tmp_path / "3dpw")), model.window, needs, size=32),
        RealClips(open_source("coco", formats.write_coco(tmp_path / "coco")), model.window, needs, size=32),
    ]
    settings = Settings(steps=4, batch=3, log_every=2, save_every=4)
    seen = {clip for batch in loader(sources, settings, weights=(1, 1, 1)) for clip in batch.clip_id}
    assert {clip.partition(":")[0] for clip in seen if ":" in clip} == {"3dpw", "coco"}
    assert any(":" not in clip for clip in seen)
    reports = []
    (tmp_path / "run").mkdir()
    loop = Loop(
        model,
        sources,
        BodyLayer.named("free"),
        settings,
        tmp_path / "run",
        weights=(1, 1, 1),
        device=torch.device("cpu"),
    )
    loop.run(reports.append)
    assert reports[-1].step == 4
    assert all(np.isfinite(value) for report in reports for value in report.terms.values())
    assert stack([source[0] for source in sources]).joints_valid.any(dim=(1, 2)).tolist() == [True, True, False]


def test_the_command_mixes_and_says_what_it_read(shards: Path, tmp_path: Path) -> None:
    import json

    from train.cli import train

    formats.write_3dpw(tmp_path / "3dpw")
    formats.write_coco(tmp_path / "coco")
    out = tmp_path / "run"
    arguments = [
        *("mviper", "--data", str(shards), "--preset", "smoke", "--out", str(out), "--size", "32", "--device", "cpu"),
        *("--steps", "2", "--batch", "3", "--weight", "1", "--weight", "1", "--weight", "1"),
        *("--real", f"3dpw={tmp_path / '3dpw'}", "--real", f"coco={tmp_path / 'coco'}"),
    ]
    done = CliRunner().invoke(train, arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    about = json.loads((out / "config.json").read_text())["about"]
    assert [text.partition("=")[0] for text in about["real"]] == ["3dpw", "coco"]
    wrong = CliRunner().invoke(train, [*arguments, "--real", "coco"])
    assert isinstance(wrong.exception, SynthError)
    assert "NAME=PATH" in str(wrong.exception)


def test_smpls_numbers_are_not_put_on_another_body(tmp_path: Path) -> None:
    sample = opened("3dpw", tmp_path, smpl=False)[0]
    assert not sample["smpl_valid"].any()
    assert sample["joints_valid"].any()


def test_the_command_hands_the_bodies_to_the_readers(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # EMDB's joints and translations take the licensed body of the person's gender; without it both are masked
    from synth.assets import asset
    from train.cli import train
    from train.run import Run, open_sources

    (tmp_path / "bodies").mkdir()
    with np.load(asset("bodies/free_female.npz")) as arrays:
        np.savez(tmp_path / "bodies" / "SMPL_FEMALE.npz", **dict(arrays) | {"name": np.array("like_smpl")})
    formats.write_emdb(tmp_path / "emdb")
    given: list[Run] = []
    monkeypatch.setattr("train.run.fit", lambda run, **_: given.append(run))
    arguments = ["mviper", "--data", str(shards), "--preset", "smoke", "--real", f"emdb={tmp_path / 'emdb'}"]
    for more in ([], ["--bodies", str(tmp_path / "bodies")]):
        done = CliRunner().invoke(train, [*arguments, *more])
        assert done.exit_code == 0, (done.output, done.exception)
    model = build("mviper", model_options("smoke", "mviper"))
    masked, known = (open_sources(run, model, 32, [None], Augmentation(), 0)[1][0] for run in given)
    assert not masked["joints_valid"].any()
    assert known["joints_valid"].all(dim=1).tolist() == [True, True, False, True]
    spread = known["joints_3d"].norm(dim=-1).amax(dim=1)
    assert (spread[[0, 1, 3]] > 0.5).all()  # metres: a body, not a point


def test_bodies_that_are_not_there_are_named(tmp_path: Path) -> None:
    source = open_source("emdb", formats.write_emdb(tmp_path / "emdb"), bodies=tmp_path / "bodies")
    with pytest.raises(SynthError, match="bodies"):
        source[0]
