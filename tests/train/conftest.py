"""A small folder of shards made without Blender, for all tests of training."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from synth.body.model import load_named
from synth.shards.manifest import Manifest

torch.set_num_threads(1)  # tiny tensors: threads cost more than they bring


def _factory() -> ModuleType:
    path = Path(__file__).parents[1] / "shards" / "shard_factory.py"
    spec = importlib.util.spec_from_file_location("shard_factory", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def clips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of six frames and two views at 96 pixels, one of each gender, the second one dressed."""
    folder = tmp_path_factory.mktemp("clips") / "shards"
    folder.mkdir()
    for seed, gender in enumerate(("neutral", "male", "female")):
        body = load_named("free", gender)
        path = _factory().make_shard(folder, frames=6, views=2, size=96, seed=seed, body=body, dressed=seed == 1)
        Manifest(folder).record(path)
    return folder
