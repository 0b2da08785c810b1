"""Models by name. Each is imported only when it is asked for."""

import importlib
from collections.abc import Mapping
from typing import Any

from synth.errors import SynthError
from train.batch import TemporalModel
from train.catalog import MODELS

__all__ = ["MODELS", "build", "model_class"]


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
