"""Presets fit the models and each other; ResNet-18 is torchvision's."""

import pytest
import torch

from synth.errors import SynthError
from synth.spec import from_plain
from train.backbones import backbone
from train.catalog import MODELS
from train.models import model_class
from train.presets import CROP, PRESETS, model_options, settings_options
from train.settings import Settings

_WINDOWED = ("mviper", "tar", "vibe", "tcmr", "hpof", "spsnet", "smoothnet")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_options_that_every_model_knows(preset: str) -> None:
    for name in MODELS:
        with torch.device("meta"):
            model = model_class(name).from_config(model_options(preset, name))
        settings = from_plain(Settings, dict(settings_options(preset, name)), "settings")
        assert model.trainable() > 0, name
        assert settings.steps >= 1, name
    assert CROP[preset] >= 64


def test_the_cpu_preset_gives_every_model_as_many_pictures_a_step() -> None:
    # catches one budget in name only: the frame model's windows are shorter, so it takes more of them
    seen = {name: model_class(name).from_config(model_options("cpu", name)).window for name in ("hmr", *_WINDOWED)}
    pictures = {name: window * int(settings_options("cpu", name)["batch"]) for name, window in seen.items()}
    assert set(pictures.values()) == {32}


@pytest.mark.parametrize("preset", ["cpu", "smoke"])
def test_models_of_features_are_as_wide_as_the_frame_model(preset: str) -> None:
    # catches a preset whose video models cannot start from its frame model
    frame = model_class("hmr").from_config(model_options(preset, "hmr"))
    for name in ("mviper", "vibe", "tcmr", "hpof", "spsnet"):
        video = model_class(name).from_config(model_options(preset, name))
        own, theirs = video.state_dict(), frame.state_dict()
        shared = [key for key in own if key.startswith("regressor.") and key in theirs]
        assert shared, name
        assert all(own[key].shape == theirs[key].shape for key in shared), name


def test_resnet18_is_torchvisions() -> None:
    # torchvision counts 11,689,512 parameters, 513,000 of them in the classifier
    network = backbone("resnet18")
    assert sum(p.numel() for p in network.parameters()) == 11_689_512 - 513_000
    state = network.state_dict()
    assert state["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert state["layer4.1.conv2.weight"].shape == (512, 512, 3, 3)
    assert "layer1.0.downsample.0.weight" not in state
    images = torch.zeros(1, 3, 64, 64)
    local, last = backbone("resnet18-half").eval().pyramid(images)
    assert (local.shape, last.shape) == ((1, 32, 16, 16), (1, 256, 2, 2))


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(SynthError, match="cpu"):
        model_options("quick", "hmr")
