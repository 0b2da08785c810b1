"""Checkpoints: one file with everything a run needs to go on, written all or nothing, read without running code."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from synth.errors import SynthError
from synth.files import replacing
from synth.provenance import commit
from synth.spec import to_plain
from train.batch import TemporalModel
from train.models import build

__all__ = ["FORMAT", "load", "load_model", "save"]

FORMAT = 1
_FIELDS = ("format", "model", "options", "state", "step", "body")


def save(path: Path, model: TemporalModel, *, step: int, body: Mapping[str, Any], **more: Any) -> None:
    """Write a checkpoint.

    Args:
        path: The file; replaced only once the new one is whole.
        model: Whose weights and options are kept.
        step: Optimiser steps done.
        body: Name of the body model and SHA-256 of each gender's file.
        more: Plain values and tensors, such as the optimiser's state.

    Raises:
        SynthError: it cannot be written.
    """
    held = {
        "format": FORMAT,
        "model": model.name,
        "options": to_plain(model.config),
        "state": model.state_dict(),
        "step": step,
        "body": dict(body),
        "commit": commit(),
        **more,
    }
    try:
        with replacing(path) as part:
            torch.save(held, part)
    except (OSError, RuntimeError) as error:
        raise SynthError(f"{path}: cannot be written ({error})", "Make room or choose another --out folder") from error


def load(path: Path, model: str | None = None) -> dict[str, Any]:
    """Read a checkpoint.

    Args:
        path: The file.
        model: Name of the model it must be of; None for any.

    Raises:
        SynthError: no such file, not a checkpoint, or one of another model.
    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SynthError(f"{path}: no such checkpoint", "`train MODEL --out DIR` writes DIR/last.pt") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SynthError(f"{path}: cannot be read ({reason[:120]})", "Give a checkpoint of `train`") from error
    if not isinstance(held, dict) or any(name not in held for name in _FIELDS):
        raise SynthError(f"{path}: is not a checkpoint of `train`", "For an encoder's weights use --backbone-weights")
    if held["format"] != FORMAT:
        raise SynthError(f"{path}: has format {held['format']}, this program reads {FORMAT}", "Train it anew")
    if model is not None and held["model"] != model:
        raise SynthError(
            f"{path}: is a checkpoint of {held['model']!r}, not of {model!r}", "Give one of the same model"
        )
    return held


def load_model(path: Path) -> tuple[TemporalModel, dict[str, Any]]:
    """Build the model of a checkpoint, in evaluation mode.

    Returns:
        The model, and everything else the checkpoint holds.

    Raises:
        SynthError: as `load`, or weights and options do not fit.
    """
    held = load(path)
    model = build(held["model"], held["options"])
    try:
        model.load_state_dict(held["state"])
    except RuntimeError as error:
        raise SynthError(f"{path}: weights do not fit {held['model']} ({str(error).splitlines()[0]})") from None
    return model.eval(), held
