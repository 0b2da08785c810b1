"""The commands as a user runs them, in this process: what works, and the one line that a mistake gets."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from synth.errors import SynthError
from synth.shards.manifest import Manifest
from train.backbones import load_weights, resnet_tiny
from train.catalog import MODELS
from train.cli import main

Result = tuple[int, str, str]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run `train` and give exit status, stdout, stderr."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


QUICK = ("--preset", "smoke", "--steps", 4, "--batch", 2, "--size", 32, "--log-every", 2, "--save-every", 4)


@pytest.fixture(scope="module")
def hmr(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame model's checkpoint, hardly trained."""
    from train.run import Run, fit

    settings = {"steps": 2, "batch": 2}
    out = tmp_path_factory.mktemp("hmr")
    return fit(Run(model="hmr", data=(clips_folder,), out=out, preset="smoke", settings=settings, size=32))


def test_two_stages_features_and_evaluation(
    hmr: Path, clips_folder: Path, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    status, said, _ = cli("mviper", "--data", clips_folder, *QUICK, "--init", hmr, "--out", tmp_path / "mviper")
    assert status == 0
    assert "step 4/4" in said
    assert "windows/s" in said
    rows = list(csv.DictReader((tmp_path / "mviper" / "log.csv").open()))
    assert [row["step"] for row in rows] == ["2", "4"]
    config = json.loads((tmp_path / "mviper" / "config.json").read_text())
    assert config["options"]["hidden"] == 64

    features = tmp_path / "features"
    extraction = ("extract", "--data", clips_folder, "--encoder", hmr, "--out", features, "--size", 32)
    status, said, _ = cli(*extraction)
    assert (status, said.count("\n")) == (0, 4)
    status, said, _ = cli(*extraction)
    assert (status, said.count("\n")) == (0, 1)  # nothing left to do
    status, *_ = cli("vibe", "--data", clips_folder, *QUICK, "--features", features, "--out", tmp_path / "vibe")
    assert status == 0

    result = tmp_path / "result.json"
    arguments = ("--data", clips_folder, "--features", features, "--by-motion", "--json", result)
    status, said, _ = cli("evaluate", tmp_path / "vibe" / "last.pt", *arguments)
    assert status == 0
    assert "cmu/01_01" in said
    report = json.loads(result.read_text())
    assert report["frames"] == 36
    assert report["sequences"] == 6
    mean = report["mean"]
    assert mean["accel_m_per_s2"] == pytest.approx(mean["accel_mm_per_frame2"] * 0.9)
    assert mean["mpvpe_sum_m"] == pytest.approx(mean["mpvpe_mm"] * 6.850, rel=1e-6)
    assert mean["pa_mpjpe_mm"] < mean["mpjpe_mm"]
    status, *_, error = cli("evaluate", tmp_path / "vibe" / "last.pt", "--data", clips_folder)
    assert status == 2
    assert "reads frozen features" in error
    status, *_ = cli("extract", "--data", clips_folder, "--backbone", "resnet-tiny", "--out", tmp_path / "other")
    assert status == 0
    wrong = ("--features", tmp_path / "other")
    status, *_, error = cli("evaluate", tmp_path / "vibe" / "last.pt", "--data", clips_folder, *wrong)
    assert status == 2
    assert "another encoder" in error


def test_smoothing_learns_from_another_model_s_predictions(
    hmr: Path, clips_folder: Path, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    said = tmp_path / "said"
    assert cli("extract", "--data", clips_folder, "--predictions", hmr, "--out", said)[0] == 0
    out = tmp_path / "smooth"
    assert cli("smoothnet", "--data", clips_folder, *QUICK, "--lr", 1e-9, "--features", said, "--out", out)[0] == 0
    # hardly trained it must still be what it was given: the pipeline loses no frame and no convention
    results = []
    for checkpoint, extra in ((hmr, ()), (out / "last.pt", ("--features", said))):
        path = tmp_path / f"{len(results)}.json"
        assert cli("evaluate", checkpoint, "--data", clips_folder, *extra, "--json", path)[0] == 0
        results.append(json.loads(path.read_text())["mean"])
    for name in ("mpjpe_mm", "mpvpe_mm", "accel_mm_per_frame2", "mrsv_l2"):
        assert results[0][name] == pytest.approx(results[1][name], rel=1e-3, abs=1e-3)
    assert cli("evaluate", hmr, "--data", clips_folder, "--one-euro", "--json", tmp_path / "calm.json")[0] == 0
    calm = json.loads((tmp_path / "calm.json").read_text())["mean"]
    assert calm["jitter_m_per_s3"] < results[0]["jitter_m_per_s3"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("hmr", "--data", "nowhere"), "no manifest"),
        (("hmr", "--data", "{shards}", "--preset", "smoke", "--set", "window=99"), "no clip has 99 frames"),
        (("hmr", "--data", "{shards}", "--preset", "smoke", "--set", "widow=9"), "unknown field 'widow'"),
        (("hmr", "--data", "{shards}", "--preset", "smock"), "preset 'smock' is unknown"),
        (("hmr", "--data", "{shards}", "--preset", "smoke", "--set", "window"), "NAME=VALUE"),
        (("hmr", "--data", "{shards}", "--preset", "smoke", "--amp", "fp8"), "--amp"),
        (("hmr", "--data", "{shards}", "--preset", "smoke", "--init", "{junk}"), "cannot be read"),
        (("hmr", "--data", "{shards}", "--preset", "smoke", "--backbone-weights", "{junk}"), "cannot be read"),
        (("hmr", "--data", "{shards}", "--preset", "smoke", "--body", "nobody"), "no such file or folder"),
        (("hmr", "--data", "{shards}", "--preset", "smoke", "--body", "{body}"), "body is not"),
        (("hmr", "--data", "{shards}", "--preset", "smoke", "--device", "cuda:7"), "device 'cuda:7'"),
        (("smoothnet", "--data", "{shards}", "--preset", "smoke"), "--features is missing"),
        (("vibe", "--data", "{shards}", "--preset", "smoke", "--features", "{junk}"), "holds no features"),
        (("evaluate", "{junk}", "--data", "{shards}"), "cannot be read"),
        (("evaluate", "nothing.pt", "--data", "{shards}"), "no such checkpoint"),
        (("evaluate", "{hmr}", "--data", "nowhere"), "no manifest"),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    arguments: tuple[str, ...],
    part: str,
    clips_folder: Path,
    hmr: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cli: Callable[..., Result],
) -> None:
    from synth.assets import asset

    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk").write_text("no weights")
    places = {"shards": clips_folder, "junk": tmp_path / "junk", "hmr": hmr, "body": asset("bodies/free_male.npz")}
    status, _, error = cli(*(word.format(**places) for word in arguments))
    assert status == 2
    assert part.replace("no manifest", "holds no manifest") in error
    assert error.strip().count("\n") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["junk"]


def test_a_shard_of_another_schema_version_is_named(
    clips_folder: Path, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    shutil.copytree(clips_folder, tmp_path / "shards")
    path = sorted((tmp_path / "shards").glob("*.h5"))[0]
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 99
    manifest = tmp_path / "shards" / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    sizes = [line | {"bytes": (tmp_path / "shards" / line["file"]).stat().st_size} for line in lines]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in sizes))
    status, _, error = cli("hmr", "--data", tmp_path / "shards", *QUICK, "--out", tmp_path / "run")
    assert status == 2
    assert path.name in error
    assert "schema version 99" in error
    assert not (tmp_path / "run").exists()


def test_features_of_a_shard_that_was_rendered_anew_are_refused(
    clips_folder: Path, hmr: Path, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    shutil.copytree(clips_folder, tmp_path / "shards")
    features = tmp_path / "features"
    assert cli("extract", "--data", tmp_path / "shards", "--encoder", hmr, "--out", features, "--size", 32)[0] == 0
    path = sorted((tmp_path / "shards").glob("*.h5"))[0]
    with h5py.File(path, "r+") as file:
        file.attrs["device"] = "another"
    Manifest(tmp_path / "shards").record(path)
    status, _, error = cli("vibe", "--data", tmp_path / "shards", *QUICK, "--features", features)
    assert status == 2
    assert f"first {path.stem}" in error


def test_folders_and_losses_that_cannot_train_get_one_line(
    clips_folder: Path, hmr: Path, tmp_path: Path, cli: Callable[..., Result]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "manifest.jsonl").write_text("")
    (tmp_path / "broken.mp4").write_bytes(b"nothing of a video")
    shutil.copytree(clips_folder, tmp_path / "poor")
    path = sorted((tmp_path / "poor").glob("*.h5"))[0]
    with h5py.File(path, "r+") as file:
        del file["views/0/visibility"]
    Manifest(tmp_path / "poor").record(path)
    out = tmp_path / "run"
    smoke = ("--preset", "smoke", "--size", 32, "--out", out)
    cases = [
        (("hmr", "--data", tmp_path / "empty", *smoke), "holds no manifest"),
        (("hmr", "--data", tmp_path / "none", *smoke), "its manifest holds no clip"),
        (("hmr", "--data", tmp_path / "poor", *smoke, "--set", "window=6"), path.name),
        (("mviper", "--data", clips_folder, *smoke, "--init", hmr, "--set", "hidden=32"), "another size"),
        (("hmr", "--data", clips_folder, *smoke, "--set", "weights.pose=1e300"), "step 0: the loss 'pose' is inf"),
        (("predict", hmr, tmp_path / "broken.mp4", "--out", out), "cannot be read as a video"),
        (("evaluate", hmr, "--data", clips_folder, "--split", "test"), "is not split yet"),
        (("table", "mviper", "--data", clips_folder, "--out", out), "is not split yet"),
    ]
    for arguments, part in cases:
        status, _, error = cli(*arguments)
        assert status == 2, arguments
        assert part in error, (arguments, error)
        assert error.strip().count("\n") == 0, error
        assert not list(out.glob("*.pt")), arguments
        shutil.rmtree(out, ignore_errors=True)


def test_tensorboard_gets_what_the_logs_hold(
    clips_folder: Path, tmp_path: Path, cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    # catches events that are not flushed, scalars under another step, pictures with their axes in another order
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    status, *_ = cli("hmr", "--data", clips_folder, *QUICK, "--tensorboard", "--out", out)
    assert status == 0
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    rows = list(csv.DictReader((out / "log.csv").open()))
    told = [(event.step, event.value) for event in events.Scalars("train/total")]
    assert [step for step, _ in told] == [int(row["step"]) for row in rows] == [2, 4]
    assert np.allclose([value for _, value in told], [float(row["total"]) for row in rows], rtol=1e-4)
    (picture,) = events.Images("predictions")
    with Image.open(out / "pictures" / "step-000004.png") as file:
        assert (picture.width, picture.height) == file.size
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    status, _, said = cli("hmr", "--data", clips_folder, *QUICK, "--tensorboard", "--out", tmp_path / "other")
    assert (status, said.count("\n")) == (2, 1)
    assert "raiment[tensorboard]" in said
    assert not (tmp_path / "other" / "last.pt").exists()


def test_info_tells_parameters_and_receptive_field(cli: Callable[..., Result]) -> None:
    status, said, _ = cli("info", "hmr", "--json")
    facts = json.loads(said.splitlines()[-1])
    assert status == 0
    assert facts["parameters"] == 26_977_501
    assert facts["receptive_field"] == 1
    status, said, _ = cli("info", "vibe")
    assert "21,309,597" in said


def test_published_weights_are_read_by_name_and_nothing_else(tmp_path: Path) -> None:
    # SPIN's files hold the encoder beside a regressor, with or without "module."
    torch.manual_seed(1)
    source, target = resnet_tiny(), resnet_tiny()
    state = {f"module.{k}": v for k, v in source.state_dict().items()} | {"module.fc1.weight": torch.zeros(3)}
    torch.save({"model": state}, tmp_path / "spin.pt")
    assert load_weights(target, tmp_path / "spin.pt") == ["fc1.weight"]
    assert torch.equal(target.layer4[0].conv2.weight, source.layer4[0].conv2.weight)


@pytest.mark.parametrize(
    ("form", "left"),
    [
        # torchvision: a bare state dict with the classifier; SPIN: everything under "model", its regressor beside
        ("torchvision", ["fc.bias", "fc.weight"]),
        ("spin", ["decpose.weight", "fc1.weight", "init_pose"]),
        ("lightning", ["head.weight"]),
    ],
)
def test_files_as_they_are_published_load_by_name(form: str, left: list[str], tmp_path: Path) -> None:
    torch.manual_seed(2)
    source, target = resnet_tiny(), resnet_tiny()
    state = source.state_dict()
    extra = {name: torch.zeros(3) for name in left}
    held = {
        "torchvision": {**state, **extra},
        "spin": {"model": {**state, **extra}, "optimizer": {"state": {}}, "epoch": 5},
        "lightning": {"state_dict": {f"backbone.{k}": v for k, v in state.items()} | extra, "epoch": 1},
    }[form]
    torch.save(held, tmp_path / "weights.pt")
    assert load_weights(target, tmp_path / "weights.pt") == left
    assert all(torch.equal(value, state[name]) for name, value in target.state_dict().items())
    wrong = {
        "parameters are missing": {k: v for k, v in state.items() if "layer3" not in k},
        "has shape": {**state, "conv1.weight": torch.zeros(5, 3, 7, 7)},
    }
    for message, weights in wrong.items():
        torch.save(weights, tmp_path / "wrong.pt")
        with pytest.raises(SynthError, match=message):
            load_weights(target, tmp_path / "wrong.pt")


def test_hrnet_has_its_published_parameter_names() -> None:
    # as in hrnetv2_w48_imagenet_pretrained.pth and pose_hrnet_w48_256x192.pth, which share them up to the heads
    from train.backbones import backbone

    with torch.device("meta"):
        state = backbone("hrnet-w48").state_dict()
    shapes = {
        "conv2.weight": (64, 64, 3, 3),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "transition1.0.0.weight": (48, 256, 3, 3),
        "transition1.1.0.0.weight": (96, 256, 3, 3),
        "stage2.0.branches.1.3.conv2.weight": (96, 96, 3, 3),
        "stage2.0.fuse_layers.0.1.0.weight": (48, 96, 1, 1),
        "stage2.0.fuse_layers.1.0.0.0.weight": (96, 48, 3, 3),
        "transition2.2.0.0.weight": (192, 96, 3, 3),
        "stage3.3.fuse_layers.2.0.0.0.weight": (48, 48, 3, 3),
        "stage3.3.fuse_layers.2.0.1.0.weight": (192, 48, 3, 3),
        "transition3.3.0.0.weight": (384, 192, 3, 3),
        "stage4.2.branches.3.0.bn1.running_mean": (384,),
        "stage4.0.fuse_layers.3.2.0.1.weight": (384,),
    }
    for name, shape in shapes.items():
        assert tuple(state[name].shape) == shape, name


def test_the_encoder_has_torchvision_s_parameter_names() -> None:
    from train.backbones import backbone

    with torch.device("meta"):
        state = backbone("resnet50").state_dict()
    assert sum(v.numel() for k, v in state.items() if k.endswith(("weight", "bias"))) == 23_508_032
    assert state["layer3.5.conv2.weight"].shape == (256, 256, 3, 3)
    assert state["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert state["layer4.2.bn3.running_var"].shape == (2048,)
    assert len([k for k in state if not k.endswith("num_batches_tracked")]) == 265


def test_help_needs_no_torch_and_every_command_shows_an_example(cli: Callable[..., Result]) -> None:
    code = "import sys; sys.argv = ['train', '--help']\ntry:\n import train.__main__\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'h5py', 'scipy', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in MODELS)
    for name in ("data", "extract", "evaluate", "info", "predict", "table", "flow", *MODELS):
        status, said, _ = cli(name, "--help")
        assert status == 0
        assert "Example" in said, name


def test_a_feature_file_that_is_damaged_is_named(hmr: Path, clips_folder: Path, tmp_path: Path) -> None:
    from train.extract import encoder_of, extract

    store = extract(clips_folder, tmp_path / "f", encoder_of(hmr, "", None), size=32, maps=True, occluded=2)
    clip = sorted(tmp_path.glob("f/*.h5"))[0].stem
    found = store.read(clip, 1, slice(2, 5), ("features", "feature_maps", "features_occluded"))
    assert found["features"].shape == (3, 64)
    assert np.allclose(found["feature_maps"].mean((2, 3)), found["features"], atol=5e-3)
    assert not np.allclose(found["features_occluded"], found["features"], atol=1e-4)
    with h5py.File(store.path(clip), "r+") as file:
        del file["features"]
    with pytest.raises(SynthError, match=clip):
        store.read(clip, 0, slice(0, 2), ("features",))
