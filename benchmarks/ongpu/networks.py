"""Stages that need PyTorch: ceilings of the card, training steps, the loader, the rasteriser."""

import contextlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import step as steps  # benchmarks/step.py
import torch
from torch.utils.flop_counter import FlopCounterMode

from ongpu.ledger import Ledger, Task, measure
from train.augment import Augmentation
from train.batch import Batch, TemporalModel
from train.body import BodyLayer
from train.clips import Clips
from train.loop import Loop, Settings, loader
from train.models import build
from train.presets import model_options, settings_options

PEAK_BF16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bf16 multiply-adds counted as two operations, per second, by the vendors' data sheets."""

FROZEN = {"hmr": {"backbone": ""}, "mviper": {"backbone": ""}, "hpof": {"backbone": ""}, "spsnet": {"backbone": ""}}
PICTURES = {name: {"backbone": "resnet50"} for name in ("hmr", "mviper", "hpof", "spsnet", "tar")}
PRECISIONS = {"fp32": ("none", "highest"), "tf32": ("none", "high"), "bf16": ("bf16", "high")}
"""Autocast, and how PyTorch multiplies single-precision matrices."""


def peak(name: str) -> float | None:
    """Data sheet's bf16 rate of a card [FLOP/s]; None: not known."""
    return next((rate for part, rate in PEAK_BF16.items() if part in name), None)


def wait(device: str) -> None:
    """Until the device has done all it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def median_seconds(work: Callable[[], object], device: str, *, warm: int, least: int, seconds: float) -> list[float]:
    """Times of repeated calls, device waited for, without the first ones."""
    for _ in range(warm):
        work()
    wait(device)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < least or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - before)
    return times


# ceilings


def ceilings_stage(task: Task, ledger: Ledger) -> None:
    """What the card gives at best: copying and bf16 products of random matrices."""
    device = task.torch_device

    def found() -> dict[str, Any]:
        size, side = (2**20, 64) if task.tiny else (2**31, 8192)
        source = torch.randn(size // 4, device=device)
        target = torch.empty_like(source)
        copying = median_seconds(lambda: target.copy_(source), device, warm=3, least=10, seconds=0.2)
        a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
        product = median_seconds(lambda: a @ b, device, warm=3, least=10, seconds=0.2)
        name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
        return {
            "torch": torch.__version__,
            "python": sys.version.split()[0],
            "card": name,
            "data_sheet_bf16_tflops": None if peak(name) is None else (peak(name) or 0.0) / 1e12,
            "copy_gb_per_s": round(2 * size / statistics.median(copying) / 1e9, 1),
            "bf16_tflops": round(2 * side**3 / statistics.median(product) / 1e12, 2),
        }

    measure(task, ledger, "ceilings", 10, found)


# train


def random_batch(model: TemporalModel, count: int, size: int, width: int, device: str) -> Batch:
    """A batch as the model wants it, of random pictures or features and plausible labels, on the device."""
    frames, generator = model.window, torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    rotations = torch.linalg.qr(torch.eye(3) + 0.2 * normal(count, frames, 24, 3, 3))[0]
    rotations = rotations * torch.linalg.det(rotations)[..., None, None]
    rotations[:, :, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    wanted, inside = model.needs | model.labels, slice(size // 4, 3 * size // 4)
    values: dict[str, Any] = {
        "keypoints_2d": torch.cat(
            [0.4 * normal(count, frames, 24, 2).clamp(-2, 2), torch.ones(count, frames, 24, 1)], -1
        ),
        "joints_3d": 0.3 * normal(count, frames, 24, 3),
        "joints_valid": torch.ones(count, frames, 24, dtype=torch.bool),
        "rotations": rotations,
        "betas": normal(count, 1, 10).repeat(1, frames, 1),
        "smpl_valid": torch.ones(count, frames, dtype=torch.bool),
        "pelvis": torch.tensor([0.0, 0.0, 10.0]).repeat(count, frames, 1),
        "box": torch.tensor([125.0, 125.0, 200.0]).repeat(count, frames, 1),
        "image_size": torch.full((count, 2), 250.0),
        "K": torch.tensor([[1406.25, 0.0, 125.0], [0.0, 1406.25, 125.0], [0.0, 0.0, 1.0]]).repeat(count, 1, 1),
        "box_rotation": torch.zeros(count),
        "flipped": torch.zeros(count, dtype=torch.bool),
        "fps": torch.full((count,), 30.0),
        "gender": torch.zeros(count, dtype=torch.int64),
    }
    if "images" in wanted:
        values["images"] = normal(count, frames, 3, size, size)
    for name in {"features", "features_occluded"} & wanted:
        values[name] = normal(count, frames, width).abs()
    if "feature_maps" in wanted:
        values["feature_maps"] = normal(count, frames, width, size // 32, size // 32).abs()
    if "flow" in wanted:
        values["flow"] = 0.01 * normal(count, frames, 2, size, size)
        values["flow_valid"] = torch.ones(count, frames, dtype=torch.bool)
        values["flow_valid"][:, -1] = False
    if "parts" in wanted:
        values["parts"] = torch.zeros(count, frames, size, size, dtype=torch.uint8)
        values["parts"][:, :, inside, inside] = 1
    return Batch(**values).to(device)


@contextlib.contextmanager
def training(model: TemporalModel, settings: Settings, device: str) -> Iterator[Loop]:
    """A loop that is only asked for steps."""
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(model, [], BodyLayer.named("free"), settings, Path(folder), device=device)
        loop.model.train()
        yield loop


@contextlib.contextmanager
def matrix_products(precision: str, device: str) -> Iterator[None]:
    """How single-precision matrices are multiplied on the card; a CPU may not even have what the faster ways need."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision if device == "cuda" else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def operations(loop: Loop, batch: Batch) -> float:
    """Floating-point operations of a step's matrix products and convolutions, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        loop.one_step(batch)
    return float(counter.get_total_flops())


def one_training(
    task: Task, name: str, options: Mapping[str, Any], *, precision: str, compiled: bool, factor: int
) -> dict[str, Any]:
    """Step time of a model on a batch that lies on the device."""
    device, (amp, matrices) = task.torch_device, PRECISIONS[precision]
    torch.cuda.empty_cache()
    preset = "smoke" if task.tiny else "paper"
    chosen = model_options(preset, name) | dict(options)
    if task.tiny and chosen.get("backbone"):
        chosen["backbone"] = "resnet-tiny"
    given = settings_options(preset, name)
    count = (2 if task.tiny else int(given.get("batch", 16))) * factor
    size = 64 if task.tiny else 224
    model = build(name, chosen)
    width = int(getattr(model.config, "features", 2048))
    settings = Settings(steps=1_000_000, batch=count, amp=amp, clip=float(given.get("clip", 1.0)))
    with matrix_products(matrices, device), training(model, settings, device) as loop:
        batch = random_batch(model, count, size, width, device)
        flops = operations(loop, batch)
        if compiled:
            loop.model.compile()
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        loop.one_step(batch)
        wait(device)
        first = time.perf_counter() - started
        warm, least, seconds = (1, 2, 0.0) if task.tiny else (3, 8, 2.0)
        times = median_seconds(lambda: loop.one_step(batch), device, warm=warm, least=least, seconds=seconds)
        memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    middle = statistics.median(times)
    card = torch.cuda.get_device_name() if device == "cuda" else ""
    ceiling = peak(card)
    return {
        "batch": count,
        "frames": model.window,
        "step_ms": round(1000 * middle, 3),
        "step_ms_p90": round(1000 * sorted(times)[int(0.9 * (len(times) - 1))], 3),
        "first_step_s": round(first, 2),
        "windows_per_s": round(count / middle, 2),
        "frames_per_s": round(count * model.window / middle, 1),
        "gflop_per_step": round(flops / 1e9, 2),
        "tflops": round(flops / middle / 1e12, 3),
        "share_of_bf16_peak": None if ceiling is None else round(flops / middle / ceiling, 4),
        "memory_gib": None if memory is None else round(memory, 2),
    }


def train_stage(task: Task, ledger: Ledger) -> None:
    """Every model with and without frozen features; precisions; a larger batch; torch.compile last."""
    kinds = {"pictures": PICTURES, "features": FROZEN}
    plan = [("bf16", False, 1), ("fp32", False, 1), ("tf32", False, 1), ("bf16", False, 4), ("bf16", True, 1)]
    if task.tiny:
        plan = [("bf16", False, 1), ("fp32", False, 1)]
    for precision, compiled, factor in plan:
        for kind, models in kinds.items():
            if compiled and kind == "features":
                continue  # minutes of compiling for steps that are short already
            for name, options in models.items():
                key = f"train/{name}/{kind}/{precision}{'/compiled' if compiled else ''}/batch x{factor}"
                case = partial(one_training, task, name, options, precision=precision, compiled=compiled, factor=factor)
                measure(task, ledger, key, 90 if compiled else 12, case)


# loader


def fed(loop: Loop, clips: Clips, settings: Settings, task: Task, seconds: float) -> dict[str, Any]:
    """Steps fed by the loader against steps on a batch that lies on the device."""
    device = task.torch_device
    batches = iter(loader([clips], settings, pin=device == "cuda"))
    resident = next(batches).to(device)
    least = 2 if task.tiny else 8
    floor = median_seconds(lambda: loop.one_step(resident), device, warm=2, least=least, seconds=seconds / 3)

    def step() -> None:
        loop.one_step(next(batches).to(device, non_blocking=True))

    for _ in range(2 if task.tiny else 2 + 2 * settings.workers // 4):
        step()
    wait(device)
    done, started = 0, time.perf_counter()
    while done < least or time.perf_counter() - started < seconds:
        step()
        done += 1
    wait(device)
    spent = (time.perf_counter() - started) / done
    busy = statistics.median(floor) / spent
    return {
        "step_ms": round(1000 * spent, 3),
        "resident_step_ms": round(1000 * statistics.median(floor), 3),
        "busy": round(min(1.0, busy), 4),
        "frames_per_s": round(settings.batch * loop.model.window / spent, 1),
    }


def one_feeding(
    task: Task,
    shards: Path,
    features: Path,
    name: str,
    options: Mapping[str, Any],
    needs: frozenset[str],
    batch: int,
    workers: int,
) -> dict[str, Any]:
    """One model on shards, read by so many processes."""
    chosen = model_options("smoke", name) if task.tiny else {}
    if "features" in needs:
        chosen = chosen | {"features": 2048}
    model = build(name, chosen | dict(options))
    clips = Clips(
        shards,
        model.window,
        needs,
        features=features if "features" in needs else None,
        size=64 if task.tiny else 224,
        augmentation=Augmentation(),
    )
    settings = Settings(steps=1_000_000, batch=2 if task.tiny else batch, workers=workers, amp="bf16")
    with training(model, settings, task.torch_device) as loop:
        return fed(loop, clips, settings, task, 0.0 if task.tiny else 5.0)


def loader_stage(task: Task, ledger: Ledger) -> None:
    """How much of the time the card computes when shards on the local disk feed it."""
    cases: dict[str, tuple[str, dict[str, Any], frozenset[str], int]] = {
        "features": ("vibe", {"adversarial": 0.0}, frozenset({"features"}), 32),
        "pictures": ("hmr", {}, frozenset({"images"}), 64),
        "pictures, video": ("mviper", {}, frozenset({"images"}), 16),
    }
    workers = (0,) if task.tiny else (0, 4, 8, 12)
    keys = [f"loader/{kind}/{count} workers" for kind in cases for count in workers]
    if all(key in ledger for key in keys):
        return
    with tempfile.TemporaryDirectory() as folder:
        shards, features = steps.make_data(Path(folder), clips=1 if task.tiny else 4)
        for count in reversed(workers):
            for kind, (name, options, needs, batch) in cases.items():
                case = partial(one_feeding, task, shards, features, name, options, needs, batch, count)
                measure(task, ledger, f"loader/{kind}/{count} workers", 15, case)


# raster


def raster_stage(task: Task, ledger: Ledger) -> None:
    """`benchmarks/rasterize.py` on the device, several pictures at once."""
    script = Path(__file__).parents[1] / "rasterize.py"
    for batch in (1,) if task.tiny else (16, 64, 4):

        def case(batch: int = batch) -> dict[str, Any]:
            more = ["--rounds", "2", "--size", "64"] if task.tiny else ["--rounds", "20"]
            command = [sys.executable, str(script), "--device", task.torch_device, "--batch", str(batch)]
            done = subprocess.run(
                [*command, "--clock", "wall", *more], capture_output=True, text=True, timeout=max(5.0, task.left())
            )
            if done.returncode:
                raise RuntimeError(done.stderr[-400:])
            hard = re.search(r"^hard\s+([\d.]+)", done.stdout, re.MULTILINE)
            values = json.loads(done.stdout.splitlines()[-1])
            return values | {"hard_ms": None if hard is None else float(hard[1]), "batch": batch}

        measure(task, ledger, f"raster/{task.torch_device}/{batch}", 15, case)


STAGES = {"ceilings": ceilings_stage, "train": train_stage, "loader": loader_stage, "raster": raster_stage}

__all__ = ["STAGES", "one_training", "peak", "random_batch"]
