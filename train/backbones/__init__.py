"""Image encoders by name, with loading of published weights."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synth.errors import SynthError
from train.backbones.hrnet import HRNet, hrnet_w48
from train.backbones.resnet import ResNet, resnet18, resnet18_half, resnet50, resnet_tiny

__all__ = ["BACKBONES", "HRNet", "ResNet", "backbone", "load_weights"]

BACKBONES: dict[str, Callable[[], "ResNet | HRNet"]] = {
    "resnet50": resnet50,
    "hrnet-w48": hrnet_w48,
    "resnet18": resnet18,
    "resnet18-half": resnet18_half,
    "resnet-tiny": resnet_tiny,
}
"""ResNet-50 (2048 features at stride 32), HRNet-W48 (384), ResNet-18 (512), the same with half the channels (256), and
a toy ResNet for smoke tests (64)."""


def backbone(name: str) -> "ResNet | HRNet":
    """A fresh encoder.

    Raises:
        SynthError: there is no such encoder.
    """
    if name not in BACKBONES:
        raise SynthError(f"backbone {name!r} is unknown", f"Backbones: {', '.join(BACKBONES)}")
    return BACKBONES[name]()


def load_weights(module: nn.Module, path: Path) -> list[str]:
    """Load published encoder weights: torchvision's, SPIN's (and HMR's in its form), HRNet's, by parameter name.

    The file is read without running code from it. Prefixes such as "module." and "backbone." are taken off, a
    classifier ("fc.*" of 1000 classes) and a regressor are left out; every parameter of the encoder must be there.

    Args:
        module: The encoder.
        path: A state dict, or a checkpoint that holds one as "model" or "state_dict".

    Returns:
        Names in the file that were not used.

    Raises:
        SynthError: not such a file, or a parameter is missing or of another shape.
    """
    state = _strip(_state_dict(path))
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    if missing:
        hint = f"It should hold weights of {type(module).__name__} under torchvision's names"
        raise SynthError(f"{path}: {len(missing)} of {len(own)} parameters are missing, first {missing[0]!r}", hint)
    wrong = [name for name in own if name in state and state[name].shape != own[name].shape]
    if wrong:
        shapes = f"{tuple(state[wrong[0]].shape)}, not {tuple(own[wrong[0]].shape)}"
        raise SynthError(f"{path}: {wrong[0]!r} has shape {shapes}", "These are the weights of another encoder")
    module.load_state_dict({name: value for name, value in state.items() if name in own}, strict=False)
    return sorted(state.keys() - own.keys())


def _state_dict(path: Path) -> Mapping[str, Any]:
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SynthError(f"{path}: no such file", "Give --backbone-weights an existing file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SynthError(f"{path}: cannot be read as weights ({reason})", "Give a PyTorch state dict") from error
    for key in ("model", "state_dict"):
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
    if not isinstance(held, Mapping):
        raise SynthError(f"{path}: holds a {type(held).__name__}", "Give a PyTorch state dict")
    return held


def _strip(state: Mapping[str, Any]) -> dict[str, Tensor]:
    plain = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for prefix in ("module.", "model.", "backbone.", "encoder.", "trunk."):
        if any(name.startswith(prefix) for name in plain):
            plain = {name.removeprefix(prefix): value for name, value in plain.items()}
    return plain
