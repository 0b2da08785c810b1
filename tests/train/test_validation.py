"""Parts of a split, validation, the best checkpoint and the plateau."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synth.errors import SynthError
from synth.shards.manifest import open_dataset
from train.batch import Prediction, TemporalModel
from train.body import BodyLayer
from train.checkpoint import load
from train.clips import Clips
from train.inference import labels_of, views
from train.measure import measure
from train.metrics import acceleration_error, aligned, centred, position_error
from train.run import Run, fit, label_mean, part_of
from train.schedule import Plateau, rate_factor
from train.settings import Progress, Settings
from train.validate import chosen_views, validate


@pytest.fixture(scope="module")
def divided(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips, one for each part, as `synth split` notes it."""
    folder = tmp_path_factory.mktemp("divided") / "shards"
    shutil.copytree(clips_folder, folder)
    ids = [entry.clip_id for entry in open_dataset(folder).entries]
    record = {"by": ["body"], "shares": {}, "seed": 0, "train": ids[:1], "val": ids[1:2], "test": ids[2:]}
    (folder / "split.json").write_text(json.dumps(record))
    return folder


def quick(folder: Path, out: Path, model: str = "hmr", **settings: Any) -> Run:
    values = {"steps": 6, "batch": 2, "log_every": 2, "save_every": 2, "validate_every": 2, **settings}
    return Run(model=model, data=(folder,), out=out, preset="smoke", settings=values, device="cpu", size=32)


def test_training_sees_the_train_part_and_validation_the_val_part(divided: Path, tmp_path: Path) -> None:
    # catches a model that is trained on what it is chosen or measured by
    parts = json.loads((divided / "split.json").read_text())
    seen: list[Progress] = []
    run = quick(divided, tmp_path / "run")
    path = fit(run, report=seen.append)
    held = load(path)
    assert held["about"]["parts"] == ["train"]
    for part in ("train", "val", "test"):
        clips = Clips(divided, 1, frozenset(), part=part)
        assert [entry.clip_id for entry in clips.windows.shards.entries] == parts[part]
    rows = list(csv.DictReader((run.out / "validation.csv").open()))
    assert [int(row["step"]) for row in rows] == [2, 4, 6]
    assert all("pa_mpjpe_mm" in progress.validation for progress in seen)
    best = min(rows, key=lambda row: float(row["pa_mpjpe_mm"]))
    assert load(run.out / "best.pt")["step"] == int(best["step"])
    assert load(run.out / "best.pt")["validation"]["pa_mpjpe_mm"] == pytest.approx(float(best["pa_mpjpe_mm"]), abs=1e-3)
    with Image.open(run.out / "pictures" / "step-000006.png") as picture:
        assert picture.size == (64, 128)  # two windows of each part, each beside its mesh
    # what was noted while training is what an evaluation of that part finds
    report = measure(run.out / "best.pt", (divided,), split="val")
    assert report.mean["pa_mpjpe_mm"] == pytest.approx(float(best["pa_mpjpe_mm"]), rel=1e-4)
    assert report.sequences == 2
    assert measure(path, (divided,)).notes["part"] == "test"
    assert measure(path, (divided,), split="all").sequences == 6


def test_without_its_split_a_folder_is_trained_on_as_a_whole(divided: Path, tmp_path: Path) -> None:
    run = quick(divided, tmp_path / "run", steps=2)
    path = fit(Run(**{**{name: getattr(run, name) for name in Run.__slots__}, "split": False}))
    assert load(path)["about"]["parts"] == [""]
    assert not (run.out / "best.pt").exists()
    assert part_of(divided, "test") == "test"
    assert part_of(divided.parent, "test") == ""


def test_a_part_that_is_empty_or_a_split_that_is_old_is_named(clips_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(clips_folder, tmp_path / "shards")
    ids = [entry.clip_id for entry in open_dataset(tmp_path / "shards").entries]
    split = tmp_path / "shards" / "split.json"
    split.write_text(json.dumps({"train": ids[:2], "val": [], "test": ids[2:]}))
    with pytest.raises(SynthError, match="the val part of its split holds no clip"):
        Clips(tmp_path / "shards", 1, frozenset(), part="val")
    split.write_text(json.dumps({"train": ids[:1], "val": [], "test": ids[2:]}))
    with pytest.raises(SynthError, match="newer than its split"):
        Clips(tmp_path / "shards", 1, frozenset(), part="train")


def test_a_resumed_run_keeps_best_plateau_and_rates(divided: Path, tmp_path: Path) -> None:
    # patience 0 and a tiny rate: the value hardly improves, so the rate falls; a lost plateau would show in the weights
    settings = {"schedule": "plateau", "patience": 0, "lr": 5e-2, "steps": 8}
    whole = fit(quick(divided, tmp_path / "whole", "vibe", **settings))
    run = quick(divided, tmp_path / "cut", "vibe", **settings)

    def stop(progress: Progress) -> None:
        if progress.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(run, report=stop)
    assert load(run.out / "last.pt")["step"] == 4
    resumed = fit(run, resume=True)
    one, other = load(whole), load(resumed)
    assert one["plateau"] == other["plateau"]
    assert one["plateau"]["scale"] < 1
    assert all(torch.equal(one["state"][name], other["state"][name]) for name in one["state"])
    texts = [(path.parent / "validation.csv").read_text() for path in (whole, resumed)]
    assert texts[0] == texts[1]
    assert load(whole.with_name("best.pt"))["step"] == load(resumed.with_name("best.pt"))["step"]


def test_the_plateau_by_hand() -> None:
    # HPOF: times 0.6 if there is no improvement for MORE than 5 epochs
    plateau = Plateau(factor=0.6, patience=5)
    assert plateau.update(10.0, 1)
    scales = []
    for step in range(2, 15):
        assert not plateau.update(10.0, step)
        scales.append(plateau.scale)
    assert scales == pytest.approx([1.0] * 5 + [0.6] * 6 + [0.36] * 2)
    assert plateau.update(9.0, 15)
    assert (plateau.best, plateau.best_step, plateau.waited) == (9.0, 15, 0)
    assert Plateau(**plateau.state()) == plateau
    assert rate_factor(Settings(schedule="plateau", warmup=4), 1, plateau) == pytest.approx(0.5 * 0.36)
    assert rate_factor(Settings(schedule="cosine", steps=10), 5, plateau) == pytest.approx(0.5)


def test_without_validation_the_mean_loss_tells_the_plateau(clips_folder: Path, tmp_path: Path) -> None:
    path = fit(quick(clips_folder, tmp_path / "run", "hmr", schedule="plateau", patience=0, lr=1e-9, steps=6))
    held = load(path)
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert held["plateau"]["best"] == pytest.approx(min(float(row["total"]) for row in rows), rel=1e-4)
    assert not (tmp_path / "run" / "validation.csv").exists()


class _Says(TemporalModel):
    """Says one pose for ever."""

    name = "says"
    needs = frozenset()
    window = 4

    def forward(self, batch: Any) -> Prediction:
        rotations = torch.eye(3).expand(len(batch), batch.length, 24, 3, 3)
        return Prediction(
            rotations=rotations,
            betas=torch.zeros(len(batch), batch.length, 10),
            camera=torch.ones(len(batch), batch.length, 3),
        )

    def loss(self, output: Any, batch: Any, state: Any) -> dict[str, torch.Tensor]:
        raise NotImplementedError


def test_validation_is_the_mean_over_frames_of_the_measures(clips_folder: Path) -> None:
    clips, body = Clips(clips_folder, 1, frozenset()), BodyLayer.named("free")
    found = validate(_Says().train(), [clips], body, torch.device("cpu"))
    errors: dict[str, list[np.ndarray]] = {"mpjpe_mm": [], "pa_mpjpe_mm": [], "accel_mm_per_frame2": []}
    for view in views(clips):
        labels = labels_of(clips, view)
        pose = torch.eye(3).expand(view.frames, 24, 3, 3)
        joints = body.joints(pose, torch.zeros(view.frames, 10), labels.gender.expand(view.frames))
        points = centred(joints.double().numpy(), (1, 2))
        wanted = centred(labels.joints_3d[0].double().numpy(), (1, 2))
        errors["mpjpe_mm"].append(position_error(points, wanted))
        errors["pa_mpjpe_mm"].append(position_error(aligned(points, wanted), wanted))
        errors["accel_mm_per_frame2"].append(acceleration_error(points, wanted))
    wanted_means = {name: np.concatenate(values).mean() for name, values in errors.items()}
    assert found == pytest.approx(wanted_means, rel=1e-6)
    assert len(chosen_views([clips], 4)) == 4
    assert [view.number for _, view in chosen_views([clips], 2)] == [0, 1]  # the first and the last


def test_the_mean_of_the_labels_leaves_out_what_is_not_known(clips_folder: Path) -> None:
    # catches the zeros of unknown labels in the mean: real data has frames without pose and shape
    clips = Clips(clips_folder, 2, frozenset())
    plain = [clips.plain_labels(i) for i in range(len(clips))]

    class Partly(Clips):
        def plain_labels(self, index: int) -> dict[str, Any]:
            sample = plain[index]
            if index % 2:
                return sample
            unknown = {"rotations": torch.eye(3).expand(2, 24, 3, 3), "betas": torch.full((2, 10), 50.0)}
            none = torch.zeros(2, dtype=torch.bool)
            return {**sample, **unknown, "smpl_valid": none, "joints_valid": torch.zeros(2, 24, dtype=torch.bool)}

    partly = Partly(clips_folder, 2, frozenset())
    rotations, betas, _ = label_mean([partly])
    known = [s for i, s in enumerate(plain) if i % 2]
    assert torch.allclose(betas, torch.cat([s["betas"] for s in known]).mean(0), atol=1e-5)
    assert torch.allclose(rotations @ rotations.mT, torch.eye(3).expand(24, 3, 3), atol=1e-4)
    for sample in plain:
        sample["smpl_valid"][:] = False
    assert torch.equal(label_mean([clips_of(plain, clips_folder)])[1], torch.zeros(10))
    assert math.isfinite(float(label_mean([clips])[2].sum()))


def clips_of(samples: list[dict[str, Any]], folder: Path) -> Clips:
    class Given(Clips):
        def plain_labels(self, index: int) -> dict[str, Any]:
            return samples[index]

    return Given(folder, 2, frozenset())
