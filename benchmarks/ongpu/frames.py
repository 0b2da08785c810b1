"""Stages that run inside Blender: devices, compile, render, split, labels.

One clip of a dressed walking person (`benchmarks/render.py` makes it), four cameras. An image is everything that
`ClipRenderer.frame` does: picture, ground truth, background, composition.
"""

import dataclasses
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import render as scenes  # benchmarks/render.py

from ongpu.ledger import BudgetError, Ledger, Task, measure
from synth.blender import device, passes
from synth.blender.render import ClipRenderer, person_box
from synth.config import SceneConfig
from synth.rng import generator
from synth.scene.cameras import cameras, extents
from synth.scene.sample import SceneFiles, sample_scene, studio_lights

VIEWS = 4


def make_renderer(
    name: str, *, size: int, samples: int, frames: int, threads: int = 0, truth: str = "cpu"
) -> ClipRenderer:
    """A renderer of the benchmark's clip.

    Args:
        name: Device.
        size: Side of the picture [px].
        samples: A pixel.
        frames: Of the clip.
        threads: CPU threads; 0: all.
        truth: Device of the ground truth.
    """
    body, clip = scenes.make_clip(frames)
    spec = scenes.make_spec(clip, samples, VIEWS)
    if size != 250:
        extent, travel = extents(clip.body_vertices_world, clip.joints_world[:, 0])
        sampled = sample_scene(
            generator(3, "benchmark"),
            config=SceneConfig(views=VIEWS, width=size, height=size, focal_mm=180.0),
            files=SceneFiles(hdris=studio_lights()),
            extent=extent,
            travel=travel,
        )
        spec = dataclasses.replace(spec, scene=dataclasses.replace(spec.scene, cameras=sampled.cameras))
    views = cameras(spec.scene.cameras, clip.joints_world[:, 0])
    return ClipRenderer(spec, clip, body, views, name, truth_device=truth, threads=threads)


def configure(renderer: ClipRenderer, samples: int, denoise: str) -> None:
    """Change samples and denoiser in place: "none", "gpu" or "cpu"."""
    cycles = renderer._picture.cycles
    cycles.samples, cycles.use_denoising = samples, denoise != "none"
    if denoise != "none":
        cycles.denoising_use_gpu = denoise == "gpu"


def shots(renderer: ClipRenderer) -> Iterator[tuple[int, int]]:
    """All views of a frame, then the next frame, for ever."""
    while True:
        for t in range(renderer.frames):
            for view in range(len(renderer.cameras)):
                yield view, t


def rate(renderer: ClipRenderer, seconds: float, least: int) -> dict[str, Any]:
    """Images a second over a stretch of time, after one image that does not count."""
    order = shots(renderer)
    renderer.frame(*next(order))
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < least or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        renderer.frame(*next(order))
        times.append(time.perf_counter() - before)
    spent = time.perf_counter() - started
    low, middle, high = (round(1000 * float(np.percentile(times, q)), 2) for q in (10, 50, 90))
    return {
        "images": len(times),
        "images_per_s": round(len(times) / spent, 3),
        "median_ms": middle,
        "p10_ms": low,
        "p90_ms": high,
    }


# devices


def devices_stage(task: Task, ledger: Ledger) -> None:
    """What is there."""

    def found() -> dict[str, Any]:
        query = "name,driver_version,memory.total,memory.used,compute_cap,clocks.max.sm,power.limit"
        try:
            said = subprocess.run(
                ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True
            ).stdout.splitlines()
        except OSError:
            said = []
        processor = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
        return {
            "blender": device.blender_version(),
            "cycles_devices": device.available(),
            "nvidia_smi": said,
            "processor": processor[1] if processor else platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "date": time.strftime("%Y-%m-%d"),
        }

    measure(task, ledger, "devices/blender", 5, found)


# compile


def first_frames(name: str) -> dict[str, Any]:
    """Seconds to the first image in this process, and of the next ones."""
    started = time.perf_counter()
    renderer = make_renderer(name, size=250, samples=16, frames=2)
    built = time.perf_counter()
    took = []
    for shot in [(0, 0), (1, 0), (0, 1)]:
        before = time.perf_counter()
        renderer.frame(*shot)
        took.append(round(time.perf_counter() - before, 3))
    renderer.close()
    return {"build_s": round(built - started, 3), "first_s": took[0], "second_s": took[1], "third_s": took[2]}


def compile_stage(task: Task, ledger: Ledger) -> None:
    """Kernels on first use, in a process of their own, then in another one with the driver's cache filled."""
    for name in (*task.devices, "cpu"):
        for turn in ("first", "again"):

            def case(name: str = name) -> dict[str, Any]:
                caches = [Path(os.environ[v]) for v in ("CUDA_CACHE_PATH", "OPTIX_CACHE_PATH") if v in os.environ]
                before = sum(
                    f.stat().st_size for folder in caches if folder.is_dir() for f in folder.rglob("*") if f.is_file()
                )
                started = time.perf_counter()
                code = f"import ongpu.frames as f; f.say_first({name!r})"
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=task.left())
                wall = time.perf_counter() - started
                lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
                if not lines:
                    raise RuntimeError(done.stderr[-400:])
                values = json.loads(lines[-1])
                inside = values["build_s"] + values["first_s"] + values["second_s"] + values["third_s"]
                return values | {
                    "process_start_s": round(wall - inside, 3),
                    "cache_bytes_before": before,
                }

            measure(task, ledger, f"compile/{name}/{turn}", 20, case)


def say_first(name: str) -> None:
    """Print `first_frames` and leave."""
    print(json.dumps(first_frames(name)), flush=True)
    os._exit(0)


# render


def render_stage(task: Task, ledger: Ledger) -> None:
    """Images a second of one process: sizes, samples, denoiser."""
    sizes = (64,) if task.tiny else (250, 512)
    counts = (1, 2) if task.tiny else (16, 8, 64)
    for size in sizes:
        for name in (*task.devices, "cpu"):
            denoisers = ("none", "cpu") if name == "cpu" else ("gpu", "none", "cpu")
            todo = [(n, d) for n in counts for d in denoisers if f"render/{name}/{size}/{n}/{d}" not in ledger]
            if not todo:
                continue
            if task.left() < 8:
                raise BudgetError(f"render/{name}/{size}")
            renderer = make_renderer(name, size=size, samples=counts[0], frames=2 if task.tiny else 4)
            try:
                for samples, denoise in todo:
                    slow = name == "cpu"
                    measure(
                        task,
                        ledger,
                        f"render/{name}/{size}/{samples}/{denoise}",
                        6,
                        lambda r=renderer, n=samples, d=denoise, s=slow: _configured_rate(r, n, d, task.tiny, s),
                    )
            finally:
                renderer.close()


def _configured_rate(renderer: ClipRenderer, samples: int, denoise: str, tiny: bool, slow: bool) -> dict[str, Any]:
    configure(renderer, samples, denoise)
    return rate(renderer, 0.0 if tiny else 3.0, 2 if tiny else (3 if slow else 12))


# split


PHASES = (
    ("bvh", r"BVH"),
    ("denoise", r"[Dd]enois"),
    ("kernels", r"Loading render kernels"),
    ("trace", r"Sample \d+/\d+"),
    ("sync", r"Synchronizing|Initializing|Waiting"),
    ("update", r"Updating"),
    ("output", r"Finished|Saving"),
)
"""Which part of a render a line of Blender's status belongs to, the first that matches."""


def phase_of(line: str) -> str:
    """Part of a render that begins with this line of Blender's status."""
    return next((name for name, pattern in PHASES if re.search(pattern, line)), "other")


def add_up(events: list[tuple[float, str, str]]) -> dict[str, float]:
    """Seconds of each phase of each scene, as "picture/trace".

    Args:
        events: Times and lines, in order; a render begins with "start" and ends with "end", the scene's name third.
    """
    spent: dict[str, float] = {}
    current, since, used = "", 0.0, ""
    for at, line, name in events:
        if line == "start":
            current, since, used = "depsgraph", at, name
            continue
        if current:
            spent[f"{used}/{current}"] = spent.get(f"{used}/{current}", 0.0) + at - since
        current, since = ("", at) if line == "end" else (phase_of(line), at)
    return spent


@contextmanager
def watched(renderer: ClipRenderer) -> Iterator[tuple[list[tuple[float, str, str]], dict[str, float]]]:
    """Note Blender's status lines while rendering, and the time of what Python does beside."""
    events: list[tuple[float, str, str]] = []
    python: dict[str, float] = {}

    def status(*said: Any) -> None:
        events.append((time.perf_counter(), str(said[0] if said else ""), ""))

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            before = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                python[name] = python.get(name, 0.0) + time.perf_counter() - before

        return wrapped

    inner = renderer._render

    def rendered(used: Any, *rest: Any) -> Any:
        events.append((time.perf_counter(), "start", used.name))
        return inner(used, *rest)

    def read(path: Path) -> Any:
        events.append((time.perf_counter(), "end", ""))
        return reading(path)

    reading = timed("python/read", passes.read_layers)
    kept = passes.read_layers, renderer._figure.pose, renderer.background, renderer._passes
    renderer._render, passes.read_layers = rendered, read  # type: ignore[method-assign]
    renderer._figure.pose = timed("python/pose", kept[1])  # type: ignore[method-assign]
    renderer.background = timed("python/background", kept[2])  # type: ignore[method-assign]
    renderer._passes = timed("python/compose", kept[3])  # type: ignore[method-assign]
    bpy.app.handlers.render_stats.append(status)
    try:
        yield events, python
    finally:
        # a handler that is left makes Blender hang at the end of the process
        bpy.app.handlers.render_stats.remove(status)
        passes.read_layers = kept[0]
        for name in ("_render", "background", "_passes"):
            delattr(renderer, name)
        del renderer._figure.pose


def split_frame(name: str, size: int, samples: int, images: int) -> dict[str, Any]:
    """Mean milliseconds of each part of an image, after a first frame that does not count."""
    renderer = make_renderer(name, size=size, samples=samples, frames=4)
    try:
        configure(renderer, samples, "cpu" if name == "cpu" else "gpu")
        order = shots(renderer)
        for _ in range(VIEWS):
            renderer.frame(*next(order))
        with watched(renderer) as (events, python):
            started = time.perf_counter()
            for _ in range(images):
                renderer.frame(*next(order))
            whole = time.perf_counter() - started
    finally:
        renderer.close()
    parts = add_up(events) | python
    parts["rest"] = whole - sum(parts.values())
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return {"image_ms": round(1000 * whole / images, 3)} | {k: round(1000 * v / images, 3) for k, v in ordered}


def split_stage(task: Task, ledger: Ledger) -> None:
    """Where the time of one image goes."""
    size, samples, images = (64, 1, 2) if task.tiny else (250, 16, 16)
    for name in (*task.devices, "cpu"):
        measure(
            task, ledger, f"split/{name}/{size}/{samples}", 10, lambda n=name: split_frame(n, size, samples, images)
        )


# labels


def one_set(name: str, size: int, samples: int, chosen: list[tuple[int, int]]) -> list[tuple[dict[str, Any], Any]]:
    """Raw passes of the ground truth on a device, and what `frame` gives."""
    renderer = make_renderer(name, size=size, samples=samples, frames=3, truth=name)
    try:
        made = []
        for view, t in chosen:
            done = renderer.frame(view, t)
            camera = renderer.cameras[view]
            made.append((renderer.truth(camera, person_box(renderer._figure.vertices(t), camera, t)), done))
        return made
    finally:
        renderer.close()


def differences(mine: list[tuple[dict[str, Any], Any]], theirs: list[tuple[dict[str, Any], Any]]) -> dict[str, Any]:
    """How far apart two devices' passes are."""
    found: dict[str, Any] = {}
    for layer in mine[0][0]:
        pairs = [(a[0][layer], b[0][layer]) for a, b in zip(mine, theirs, strict=True)]
        unequal = [float((a != b).any(-1).mean()) for a, b in pairs]
        found[f"raw/{layer}"] = {
            "identical": not any(unequal),
            "pixels_unequal": float(np.mean(unequal)),
            "largest": float(max(np.abs(a - b).max() for a, b in pairs)),
        }
    for field in ("depth", "normal", "flow", "parts", "garments"):
        pairs = [(getattr(a[1], field), getattr(b[1], field)) for a, b in zip(mine, theirs, strict=True)]
        found[field] = {
            "identical": all(np.array_equal(a, b) for a, b in pairs),
            "values_unequal": float(np.mean([(a != b).mean() for a, b in pairs])),
            "largest": float(max(np.abs(a.astype(np.float64) - b).max() for a, b in pairs)),
        }
    whole = [scenes.psnr(a[1].rgb, b[1].rgb) for a, b in zip(mine, theirs, strict=True)]
    person = [scenes.psnr(a[1].rgb, b[1].rgb, b[1].alpha > 0.02) for a, b in zip(mine, theirs, strict=True)]
    return found | {
        "psnr_whole_db": round(float(np.mean(whole)), 2),
        "psnr_person_db": round(float(np.mean(person)), 2),
        "labels_identical": all(v["identical"] for v in found.values()),
    }


def labels_stage(task: Task, ledger: Ledger) -> None:
    """Ground truth and pictures of each device against the CPU's."""
    size, samples = (64, 2) if task.tiny else (250, 16)
    chosen = [(0, 0), (1, 1)] if task.tiny else [(view, t) for t in range(3) for view in range(VIEWS)]
    others = task.devices or ("cpu",)
    if all(f"labels/{name}" in ledger for name in others):
        return
    if task.left() < 15:
        raise BudgetError("labels")
    reference = one_set("cpu", size, samples, chosen)
    for name in others:
        measure(
            task, ledger, f"labels/{name}", 8, lambda n=name: differences(one_set(n, size, samples, chosen), reference)
        )


STAGES = {
    "devices": devices_stage,
    "compile": compile_stage,
    "render": render_stage,
    "split": split_stage,
    "labels": labels_stage,
}

__all__ = ["STAGES", "add_up", "differences", "make_renderer", "phase_of", "rate", "shots"]
