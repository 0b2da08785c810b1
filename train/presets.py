"""Sets of options for each model.

"paper" as published, "small" for one GPU and some hours, "cpu" for one core and an hour or two, "smoke" for trying.
"""

from collections.abc import Mapping
from typing import Any

from synth.errors import SynthError

__all__ = ["CROP", "ENCODER", "PRESETS", "model_options", "settings_options"]

PRESETS = ("paper", "small", "cpu", "smoke")

_TINY = {"features": 64, "hidden": 64}
_SMOKE: dict[str, dict[str, Any]] = {
    "hmr": {"backbone": "resnet-tiny", "hidden": 64, "window": 2},
    "mviper": {"backbone": "resnet-tiny", "hidden": 64, "attention_hidden": 32, "window": 4},
    "hpof": {**_TINY, "channels": 64, "blocks": 1, "window": 4, "flow_size": 32},
    "spsnet": {**_TINY, "window": 4, "mask_size": 32},
    "tar": {
        "backbone": "resnet-tiny",
        "width": 64,
        "local_width": 32,
        "local": 3,
        "state": 16,
        "markers": 26,
        "window": 3,
    },
    "vibe": {**_TINY, "gru_hidden": 64, "gru_layers": 1, "window": 4},
    "tcmr": {**_TINY, "gru_hidden": 64, "gru_layers": 1, "attention": 32, "window": 4},
    "smoothnet": {"hidden": 64, "inner": 32, "window": 4},
}
_SMALL: dict[str, dict[str, Any]] = {"hmr": {"window": 4}, "mviper": {"window": 8}}

_LITTLE = {"backbone": "resnet18-half", "hidden": 512}
_FROZEN = {"features": 256, "hidden": 512, "window": 8}
_CPU: dict[str, dict[str, Any]] = {
    "hmr": {**_LITTLE, "window": 2},
    "mviper": {**_LITTLE, "attention_hidden": 128, "window": 8},
    "hpof": {**_FROZEN, "channels": 256, "blocks": 1, "flow_size": 32},
    "spsnet": {**_FROZEN, "mask_size": 32},
    "tar": {"backbone": "resnet18-half", "width": 256, "local_width": 64, "window": 8},
    "vibe": {**_FROZEN, "gru_hidden": 256},
    "tcmr": {**_FROZEN, "gru_hidden": 256, "attention": 64},
    "smoothnet": {"hidden": 128, "inner": 64, "window": 8},
}

CROP = {"paper": 224, "small": 128, "cpu": 64, "smoke": 64}
"""Pixels of a crop's side."""
ENCODER = {"cpu": "resnet18-half", "smoke": "resnet-tiny"}
"""Whose features are extracted where neither these nor a frame model are given; elsewhere ResNet-50's."""

_SETTINGS: dict[str, dict[str, Any]] = {
    "paper": {},
    "small": {"steps": 20_000, "batch": 16, "lr": 1e-4, "save_every": 500, "validate_every": 500},
    # 4 windows of 8 frames a step; the frame model reads as many pictures
    "cpu": {
        "steps": 3000,
        "batch": 4,
        "lr": 5e-4,
        "schedule": "cosine",
        "warmup": 100,
        "log_every": 100,
        "save_every": 500,
        "validate_every": 1000,
    },
    "smoke": {"steps": 60, "batch": 4, "lr": 1e-3, "log_every": 10, "save_every": 30, "validate_every": 30},
}
_SMOKE_SETTINGS: dict[str, dict[str, Any]] = {
    # these two draw meshes in every step
    "hpof": {"steps": 16, "batch": 2, "log_every": 4, "save_every": 8, "validate_every": 8},
    "spsnet": {"steps": 16, "batch": 2, "log_every": 4, "save_every": 8, "validate_every": 8},
}
_CPU_SETTINGS: dict[str, dict[str, Any]] = {"hmr": {"batch": 16}}
_PAPER_SETTINGS: dict[str, dict[str, Any]] = {
    "hmr": {"lr": 1e-5, "batch": 64},
    "mviper": {"lr": 1e-5, "batch": 16},
    "hpof": {"lr": 5e-5, "schedule": "plateau"},
    "spsnet": {"lr": 5e-5, "lr_adversary": 1e-4, "batch": 16},
    "tar": {"lr": 1e-4, "clip": 4.0},
}


def model_options(preset: str, model: str) -> dict[str, Any]:
    """Options of a model that differ from the published ones.

    Raises:
        SynthError: there is no such preset.
    """
    _check(preset)
    return dict({"small": _SMALL, "cpu": _CPU, "smoke": _SMOKE}.get(preset, {}).get(model, {}))


def settings_options(preset: str, model: str) -> Mapping[str, Any]:
    """Settings of training that differ from the defaults.

    Raises:
        SynthError: there is no such preset.
    """
    _check(preset)
    own = {"paper": _PAPER_SETTINGS, "cpu": _CPU_SETTINGS, "smoke": _SMOKE_SETTINGS}.get(preset, {})
    return _SETTINGS[preset] | own.get(model, {})


def _check(preset: str) -> None:
    if preset not in PRESETS:
        raise SynthError(f"preset {preset!r} is unknown", f"Presets: {', '.join(PRESETS)}")
