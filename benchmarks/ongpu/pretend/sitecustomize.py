"""Rehearsal without a card: Python starts by this file where its folder is in PYTHONPATH, and Blender then "has" CUDA.

    there=benchmarks/ongpu/pretend
    PYTHONPATH=$there PATH=$PWD/$there:$PATH python benchmarks/gpu.py --tiny --torch-device cpu --out pretended.jsonl

All that is done for a card is done (its stages, its processes, the denoiser's switch, the ground truth on it, the
readings of nvidia-smi, which lies beside this file); what is told to run on it runs on the CPU, so no figure means
anything. The card's name says so.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

NAME = "pretended card (this CPU)"


class Pretending(importlib.abc.MetaPathFinder):
    """Changes `synth.blender.device` when it is imported, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own place; only its loading is changed."""
        if fullname != "synth.blender.device":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                pretend(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def pretend(device: ModuleType) -> None:
    """Let the module find a card; Blender, told to use a GPU and having none, renders on the CPU."""
    choose = device.choose

    def chosen(wanted: str) -> str:
        if wanted not in ("auto", "cuda"):
            return choose(wanted)
        choose("cpu")
        return "cuda"

    device.available = lambda: {"cpu": ["CPU"], "cuda": [NAME]}  # type: ignore[attr-defined]
    device.choose = chosen  # type: ignore[attr-defined]


sys.meta_path.insert(0, Pretending())
