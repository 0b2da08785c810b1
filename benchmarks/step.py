"""What the loader and the loop's bookkeeping cost beside the network's own forward and backward pass.

    python benchmarks/step.py [--steps 12] [--device cpu]

Two cases, each with the published sizes: VIBE on frozen features (batch 16 x 16 frames), HMR on pictures out of JPEGs
(8 frames of 250 x 250, cut to 224). A step of the loop is timed against the floor, forward, loss and backward of the
same model on one batch that lies in memory, and against a bare update by Adam; what is left is the loader and the
loop's bookkeeping. All go by turns. On the CPU the loader works in the same process and
all runs in one thread, and CPU time is taken: the share is then what loading costs if nothing is hidden behind
the network, and other programs on the machine do not matter. On CUDA the clock is taken and two processes read.

Smaller is better. The last line is JSON: the loader's share of a step, and the share of all that is neither floor nor
update. Targets: 0.10 with features, 0.20 from JPEGs.
"""

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from synth.shards.manifest import Manifest, open_dataset
from train.augment import Augmentation
from train.batch import State
from train.body import BodyLayer
from train.clips import Clips
from train.loop import Loop, Settings, loader
from train.models import build
from train.store import FeatureStore


def make_data(folder: Path, clips: int = 2, frames: int = 32) -> tuple[Path, Path]:
    """Shards of toy people at 250 pixels, and random features of 2048 numbers."""
    path = Path(__file__).parents[1] / "tests" / "shards" / "shard_factory.py"
    spec = importlib.util.spec_from_file_location("shard_factory", path)
    assert spec is not None
    assert spec.loader is not None
    factory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(factory)
    shards = folder / "shards"
    shards.mkdir()
    for seed in range(clips):
        Manifest(shards).record(factory.make_shard(shards, frames=frames, views=1, seed=seed, texture=4.0))
    rng = np.random.default_rng(0)
    store = FeatureStore.create(folder / "features", {"width": 2048, "kinds": ["features"]})
    for entry in open_dataset(shards).entries:
        values = rng.normal(0, 1, (entry.views, entry.frames, 2048)).astype(np.float32)
        store.write(entry.clip_id, entry.sha256, {"features": values})
    return shards, folder / "features"


def measure(name: str, clips: Clips, batch: int, steps: int, device: str) -> dict[str, float]:
    """Median times [ms] of a step and of its floor."""
    clock: Callable[[], float] = time.process_time if device == "cpu" else time.perf_counter
    model = build(name, {"adversarial": 0.0} if name == "vibe" else {"window": clips.windows.length})
    workers = 0 if device == "cpu" else 2
    settings = Settings(steps=10_000, batch=batch, workers=workers)
    with tempfile.TemporaryDirectory() as out:
        loop = Loop(model, [clips], BodyLayer.named("free"), settings, Path(out), device=device)
        model.train()
        batches = iter(loader([clips], settings, pin=device != "cpu"))
        resident = next(batches).to(device)

        def wait() -> None:
            if device != "cpu":
                torch.cuda.synchronize()

        def floor() -> None:
            model.zero_grad(set_to_none=True)
            loss = model.loss(model(resident), resident, State(step=0, body=loop.body))["total"]
            loss.backward()
            wait()

        def step() -> None:
            loop.one_step(next(batches).to(device, non_blocking=True))
            wait()

        def update() -> None:
            loop.optimizer.step()
            wait()

        def load() -> None:
            next(batches).to(device)
            wait()

        times: dict[str, list[float]] = {"floor": [], "update": [], "step": [], "load": []}
        for turn in range(steps + 2):
            for what, function in (("floor", floor), ("update", update), ("step", step), ("load", load)):
                started = clock()
                function()
                if turn >= 2:
                    times[what].append(1000 * (clock() - started))
    return {what: statistics.median(values) for what, values in times.items()}


def main() -> None:
    """Run both cases and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each case")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    shares = {}
    with tempfile.TemporaryDirectory() as folder:
        shards, features = make_data(Path(folder))
        big = arguments.device == "cuda"
        cases = {
            "features": ("vibe", Clips(shards, 16, frozenset({"features"}), features=features), 32 if big else 16),
            "jpeg": ("hmr", Clips(shards, 2, frozenset({"images"}), augmentation=Augmentation()), 32 if big else 4),
        }
        for case, (name, clips, batch) in cases.items():
            found = measure(name, clips, batch, arguments.steps, arguments.device)
            rest = found["step"] - found["floor"] - found["update"]
            shares[f"loader_share_{case}"] = round(found["load"] / found["step"], 4)
            shares[f"rest_share_{case}"] = round(rest / found["step"], 4)
            print(
                f"{case:<9} {name}, batch {batch} x {clips.windows.length}: step {found['step']:.1f} ms; floor "
                f"{found['floor']:.1f} ms, update {found['update']:.1f} ms, the rest {rest:.1f} ms, of which loading "
                f"{found['load']:.1f} ms"
            )
    print(json.dumps(shares))


if __name__ == "__main__":
    main()
