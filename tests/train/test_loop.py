"""The loop: a resumed run is an uninterrupted one; what is not finite or does not fit stops it and harms nothing."""

import csv
import multiprocessing
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from synth.errors import SynthError
from train.batch import Output
from train.body import BodyLayer
from train.checkpoint import load, load_model
from train.clips import Clips
from train.loop import Loop
from train.models import build
from train.models.vibe import VIBE
from train.presets import model_options
from train.processes import Processes
from train.run import Run, fit, label_mean
from train.settings import Progress, Settings


def run_of(folder: Path, out: Path, model: str = "mviper", **settings: Any) -> Run:
    return Run(
        model=model,
        data=(folder,),
        out=out,
        preset="smoke",
        settings={"steps": 6, "batch": 2, "log_every": 2, "save_every": 2, **settings},
        device="cpu",
        size=32,
    )


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load(path)["state"]


@pytest.mark.parametrize("model", ["mviper", "vibe"])
def test_a_resumed_run_equals_an_uninterrupted_one(model: str, clips_folder: Path, tmp_path: Path) -> None:
    # catches: dropout, augmentation, order, Adam's moments or the discriminator's not carried over
    whole = fit(run_of(clips_folder, tmp_path / "whole", model))
    run = run_of(clips_folder, tmp_path / "cut", model)

    def stop(progress: Progress) -> None:
        if progress.step == 4:  # two steps after the last checkpoint that is kept
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(run, report=stop)
    assert load(run.out / "last.pt")["step"] == 2
    resumed = fit(run, resume=True)
    assert load(resumed)["step"] == 6
    wanted, found = weights(whole), weights(resumed)
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    first, second = (list(csv.DictReader((p.parent / "log.csv").open())) for p in (whole, resumed))
    timeless = [name for name in first[0] if name not in ("samples_per_s", "loader_share")]
    assert [[row[n] for n in timeless] for row in first] == [[row[n] for n in timeless] for row in second]


def test_the_loss_falls_and_the_checkpoint_says_where_it_comes_from(clips_folder: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    path = fit(run_of(clips_folder, tmp_path / "run", "vibe", steps=40, log_every=10, lr=2e-3), report=seen.append)
    assert seen[-1].terms["total"] < 0.8 * seen[0].terms["total"]
    assert all(0 <= progress.loader_share <= 1 for progress in seen)
    with Image.open(tmp_path / "run" / "pictures" / "step-000040.png") as picture:
        assert picture.size == (64, 128)  # four windows, each beside its mesh, also of a model that reads features
    model, held = load_model(path)
    assert not model.training
    assert held["settings"]["lr"] == 2e-3
    assert held["about"]["size"] == 32
    assert held["body"]["name"] == "free"
    assert held["commit"]


def test_a_checkpoint_killed_mid_write_leaves_the_old_one(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(clips_folder, tmp_path / "run", "vibe")
    before = fit(run).read_bytes()

    def half(held: object, path: Path) -> None:
        Path(path).write_bytes(before[: len(before) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(SynthError, match="No space left"):
        fit(Run(**{**_fields(run), "settings": {**run.settings, "steps": 8}}), resume=True)
    assert (run.out / "last.pt").read_bytes() == before
    assert [p.name for p in run.out.glob("last*")] == ["last.pt"]


def _fields(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in Run.__slots__}


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = VIBE.loss

    def breaks(self: VIBE, output: Output, batch: Any, state: Any) -> dict[str, torch.Tensor]:
        terms = loss(self, output, batch, state)
        return {**terms, "pose": terms["pose"] * float("nan")} if state.step == 3 else terms

    monkeypatch.setattr(VIBE, "loss", breaks)
    with pytest.raises(SynthError, match=r"step 3: the loss 'pose' is nan; .*last.pt is as it was"):
        fit(run_of(clips_folder, tmp_path / "run", "vibe"))
    held = weights(tmp_path / "run" / "last.pt")
    assert all(torch.isfinite(value).all() for value in held.values())


def test_resuming_with_other_options_or_another_model_is_refused(clips_folder: Path, tmp_path: Path) -> None:
    run = run_of(clips_folder, tmp_path / "run", "vibe")
    fit(run)
    with pytest.raises(SynthError, match="already holds a run"):
        fit(run)
    with pytest.raises(SynthError, match=r"trained with lr 0\.001, not 0\.01"):
        fit(run_of(clips_folder, tmp_path / "run", "vibe", lr=0.01), resume=True)
    with pytest.raises(SynthError, match="of 'vibe', not of 'tcmr'"):
        fit(run_of(clips_folder, tmp_path / "run", "tcmr"), resume=True)
    with pytest.raises(SynthError, match="holds no run"):
        fit(run_of(clips_folder, tmp_path / "other", "vibe"), resume=True)


@pytest.mark.parametrize("amp", ["none", "bf16"])
def test_one_step_moves_the_weights_in_every_precision(amp: str, clips_folder: Path, tmp_path: Path) -> None:
    clips = [Clips(clips_folder, 4, frozenset({"images"}), size=32)]
    model = build("mviper", model_options("smoke", "mviper"))
    before = model.lstm.weight_hh.detach().clone()
    loop = Loop(model, clips, BodyLayer.named("free"), Settings(steps=1, batch=2, amp=amp), tmp_path)
    loop.run()
    assert not torch.equal(model.lstm.weight_hh, before)
    assert model.lstm.weight_hh.dtype == torch.float32


def test_the_mean_of_the_labels_is_where_the_regressor_starts(clips_folder: Path) -> None:
    clips = Clips(clips_folder, 2, frozenset())
    rotations, betas, camera = label_mean([clips])
    assert torch.allclose(rotations @ rotations.mT, torch.eye(3).expand(24, 3, 3), atol=1e-4)
    samples = [clips.plain_labels(i) for i in range(len(clips))]
    assert torch.allclose(betas, torch.stack([s["betas"][0] for s in samples]).mean(0), atol=1e-5)
    # the fitted camera puts the mean picture within a few per cent of the crop
    errors = []
    for s in samples:
        known = s["keypoints_2d"][..., 2] > 0
        projected = camera[0] * (s["joints_3d"][..., :2] + camera[1:])
        errors.append((projected - s["keypoints_2d"][..., :2])[known].abs().mean())
    assert torch.stack(errors).mean() < 0.1


def _train_in_a_group(rank: int, port: int, folder: str, out: str) -> None:
    import os

    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ["WORLD_SIZE"] = "2"
    # no dropout and no batch statistics: what two processes do apart must then equal what one does at once
    options = {"dropout": 0.0, "adversarial": 0.0}
    run = run_of(Path(folder), Path(out), "vibe", batch=4)
    fit(Run(**{**_fields(run), "options": options}))


@pytest.mark.slow
def test_two_processes_train_the_same_model_as_one(clips_folder: Path, tmp_path: Path) -> None:
    # catches gradients not averaged, or both processes reading the same windows
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_train_in_a_group, args=(rank, port, str(clips_folder), str(tmp_path / "two")))
        for rank in (0, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=300)
    assert [worker.exitcode for worker in workers] == [0, 0]
    options = {"dropout": 0.0, "adversarial": 0.0}
    alone = fit(Run(**{**_fields(run_of(clips_folder, tmp_path / "one", "vibe", batch=4)), "options": options}))
    wanted, found = weights(alone), weights(tmp_path / "two" / "last.pt")
    # Adam makes a full step of rounding noise where a gradient is nearly zero, so single weights may differ
    difference = torch.cat([(wanted[name] - found[name]).float().abs().flatten() for name in wanted])
    assert (difference > 1e-4).float().mean() < 1e-3
    assert Processes() == Processes.join("cpu")
