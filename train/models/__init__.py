"""Models by name. Each is imported only when it is asked for."""

import importlib
from collections.abc import Mapping
from typing import Any

from synth.errors import SynthError
from train.batch import TemporalModel

__all__ = ["MODELS", "build", "model_class"]

MODELS: dict[str, tuple[str, str, str]] = {
    "hmr": ("train.models.hmr", "HMR", "ResNet-50 and iterative regression, frame by frame (Kanazawa et al. 2018)"),
    "mviper": ("train.models.mviper", "MVIPER", "attention and LSTM over a shared frame model (Liu et al. 2019)"),
    "hpof": ("train.models.hpof", "HPOF", "causal dilated convolutions with an optical-flow loss"),
    "spsnet": ("train.models.spsnet", "SPSNet", "self-attention and forecasting with occlusion losses"),
    "tar": ("train.models.tar", "TAR", "global transformer, local ConvGRU, recurrent refinement"),
    "vibe": ("train.models.vibe", "VIBE", "GRU over frozen features with a motion discriminator (Kocabas et al. 2020)"),
    "tcmr": ("train.models.tcmr", "TCMR", "past, future and whole-window GRUs (Choi et al. 2021)"),
}
"""Module, class and one line for each model."""


def model_class(name: str) -> type[TemporalModel]:
    """The class of a model.

    Raises:
        SynthError: there is no such model.
    """
    if name not in MODELS:
        raise SynthError(f"model {name!r} is unknown", f"Models: {', '.join(MODELS)}")
    module, kind, _ = MODELS[name]
    return getattr(importlib.import_module(module), kind)


def build(name: str, options: Mapping[str, Any] | None = None) -> TemporalModel:
    """Build a model with fresh weights.

    Args:
        name: As in `MODELS`.
        options: Fields of its `Config`; everything else is as published.

    Raises:
        SynthError: no such model or option.
    """
    return model_class(name).from_config(options)
