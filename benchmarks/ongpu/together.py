"""Stages of several processes at once: renderers that share a card, cloth beside them, and the whole pipeline."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ongpu.ledger import BudgetError, Ledger, Task, measure

MILLIONS = 3_000_000
"""Frames of a data set as large as MVIPER's."""


def memory_used() -> float | None:
    """Memory in use on all cards [MiB], as nvidia-smi says; None without it."""
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except OSError:
        return None
    numbers = re.findall(r"^\s*(\d+)\s*$", said, re.MULTILINE)
    return float(sum(map(int, numbers))) if numbers else None


def utilisation() -> float | None:
    """Share of the last moments in which a kernel ran, 0-1, as nvidia-smi says; None without it."""
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except OSError:
        return None
    numbers = re.findall(r"^\s*(\d+)\s*$", said, re.MULTILINE)
    return sum(map(int, numbers)) / len(numbers) / 100 if numbers else None


def crew(orders: Sequence[dict[str, Any]], seconds: float, patience: float) -> dict[str, Any]:
    """Let processes work at the same time and add up what they did.

    Args:
        orders: One for each process.
        seconds: How long all work.
        patience: Seconds in which all must be ready.

    Returns:
        "workers": what each did, beside its order's kind; memory on the card, before and during; its mean utilisation.

    Raises:
        RuntimeError: a process ended or was not ready in time.
    """
    before = memory_used()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ongpu.worker"]
    started = time.time()
    with tempfile.TemporaryFile("w+") as errors:
        processes = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )
            for _ in orders
        ]
        try:
            for process, order in zip(processes, orders, strict=True):
                _tell(process, order)
            for process in processes:
                _wait(process, "READY", started + patience, errors)
            ready = time.time()
            during = memory_used()
            times = [time.time() + 0.2, time.time() + 0.2 + seconds]
            for process in processes:
                _tell(process, times)
            busy = _watch(times[1])
            said = [_wait(process, "DONE", times[1] + patience, errors) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
    workers = [json.loads(line) | {"kind": order["kind"]} for line, order in zip(said, orders, strict=True)]
    return {
        "workers": workers,
        "memory_before_mib": before,
        "memory_during_mib": during,
        "utilisation": busy,
        "ready_s": round(ready - started, 2),
    }


def _tell(process: subprocess.Popen[str], said: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(said) + "\n")
    process.stdin.flush()


def _wait(process: subprocess.Popen[str], word: str, until: float, errors: Any) -> str:
    """The rest of the line that begins with a word."""
    import select

    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], max(0.1, until - time.time()))
    line = process.stdout.readline() if ready else ""
    if not line.startswith(word):
        errors.seek(0)
        raise RuntimeError(f"a process was not {word.lower()} in time or ended: {errors.read()[-400:]}")
    return line[len(word) :]


def _watch(until: float) -> float | None:
    """Mean utilisation of the card up to a moment."""
    seen = []
    while time.time() < until - 1.0:
        now = utilisation()
        if now is None:
            return None
        seen.append(now)
        time.sleep(0.4)
    return round(sum(seen) / len(seen), 3) if seen else None


def painters(
    count: int, device: str, *, tiny: bool, threads: int, truth: str = "cpu", denoise: str = ""
) -> list[dict[str, Any]]:
    """Orders of so many renderers at the default size and quality."""
    order = {
        "kind": "painter",
        "device": device,
        "size": 64 if tiny else 250,
        "samples": 1 if tiny else 16,
        "denoise": denoise or ("cpu" if device == "cpu" else "gpu"),
        "threads": threads,
        "truth": truth,
        "warm": 1 if tiny else 4,
    }
    return [order] * count


def tailors(count: int, *, tiny: bool) -> list[dict[str, Any]]:
    """Orders of so many simulators, each of other clips."""
    settings = {"motion.clips": 4 if tiny else 16, "motion.frames": 4 if tiny else 30}
    return [{"kind": "tailor", "settings": settings, "first": k} for k in range(count)]


def shared(task: Task, orders: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Images a second of renderers that share a device, and memory of each."""
    found = crew(orders, seconds, min(120.0, max(20.0, task.left() - seconds)))
    images = [worker["images"] for worker in found["workers"]]
    before, during = found["memory_before_mib"], found["memory_during_mib"]
    return {
        "images_per_s": round(sum(images) / seconds, 3),
        "images": images,
        "host_mb_each": max(worker["peak_mb"] for worker in found["workers"]),
        "card_mib_each": None if before is None or during is None else round((during - before) / len(orders), 1),
        "cpu_cores_used": round(sum(worker["cpu_s"] for worker in found["workers"]) / seconds, 2),
        "utilisation": found["utilisation"],
        "ready_s": found["ready_s"],
    }


def processes_stage(task: Task, ledger: Ledger) -> None:
    """1, 2, 4, 8, 16 renderers on one card; as many as cores on the CPU; ground truth on the card; threads."""
    seconds = 2.0 if task.tiny else 6.0
    counts = (1, 2) if task.tiny else (1, 4, 8, 2, 16)
    needs = seconds + (2 if task.tiny else 12)

    def case(key: str, orders: list[dict[str, Any]]) -> None:
        measure(task, ledger, f"processes/{key}", needs, lambda: shared(task, orders, seconds))

    for place, device in enumerate(task.devices):
        for count in counts if place == 0 else counts[0::2][:2]:  # of the second choice, what is needed to compare
            case(f"{device}/{count}", painters(count, device, tiny=task.tiny, threads=1))
    cores = min(2, task.cores) if task.tiny else task.cores
    case(f"cpu/{cores}", painters(cores, "cpu", tiny=task.tiny, threads=1))
    for device in task.devices[:1]:
        middle = counts[len(counts) // 2]
        case(f"{device}/{middle}/truth on card", painters(middle, device, tiny=task.tiny, threads=1, truth=device))
        case(f"{device}/1/all threads", painters(1, device, tiny=task.tiny, threads=0))
        case(f"{device}/{middle}/no denoiser", painters(middle, device, tiny=task.tiny, threads=1, denoise="none"))


def beside(task: Task, painting: int, simulating: int, device: str, seconds: float) -> dict[str, Any]:
    """Renderers and simulators at the same time."""
    orders = painters(painting, device, tiny=task.tiny, threads=1) + tailors(simulating, tiny=task.tiny)
    found = crew(orders, seconds, min(120.0, max(20.0, task.left() - seconds)))
    images = sum(worker.get("images", 0) for worker in found["workers"])
    tailored = [worker for worker in found["workers"] if worker.get("solving_s")]
    return {
        "images_per_s": round(images / seconds, 3),
        "cloth_frames_per_s": round(sum(worker["frames"] / worker["solving_s"] for worker in tailored), 3),
        "dressing_s": round(max((worker["dressing_s"] for worker in tailored), default=0.0), 2),
        "clips_simulated": sum(worker.get("clips", 0) for worker in found["workers"]),
        "utilisation": found["utilisation"],
    }


def pipeline(task: Task, device: str, jobs: int, clips: int) -> dict[str, Any]:
    """`synth render` as a user gives it: clips an hour, images a second, and how the time divides."""
    sizes = ["--frames", "4", "--views", "2", "--width", "64", "--height", "64", "--samples", "1", "--garment", "none"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "shards"
        command = [sys.executable, "-m", "synth", "render", "--clips", str(clips), "--jobs", str(jobs)]
        command += ["--device", device, "--out", str(out), *(sizes if task.tiny else [])]
        started = time.time()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, said = process.communicate(timeout=max(5.0, task.left() - 5.0))
            whole = process.returncode == 0
        except subprocess.TimeoutExpired:
            process.terminate()
            said, whole = "the time was up", False
            process.wait(60)
        spent = time.time() - started
        lines = (out / "manifest.jsonl").read_text().splitlines() if (out / "manifest.jsonl").exists() else []
    done = [entry for entry in map(json.loads, lines) if entry.get("status") == "done"]
    if not done:
        raise RuntimeError(f"no clip was made in {spent:.0f} s: {said[-400:]}")
    images = sum(entry["frames"] * entry["views"] for entry in done)
    stages = {name: sum(entry["seconds"].get(name, 0.0) for entry in done) for name in ("simulate", "render", "write")}
    return {
        "whole": whole,
        "clips": len(done),
        "seconds": round(spent, 1),
        "clips_per_hour": round(3600 * len(done) / spent, 1),
        "images_per_s": round(images / spent, 3),
        "hours_of_3_million_frames": round(MILLIONS / (images / spent) / 3600, 1),
        "worker_seconds": {name: round(value, 1) for name, value in stages.items()},
    }


def cloth_stage(task: Task, ledger: Ledger) -> None:
    """Which side starves the other, and what the whole gives."""
    device = task.devices[0] if task.devices else "cpu"
    cores = min(2, task.cores) if task.tiny else task.cores
    seconds = 10.0 if task.tiny else 15.0
    half = max(1, cores // 2)
    mixes = [(half, 0), (0, half), (half, half), (half, cores), (0, cores), (2, max(1, cores - 2)), (4, cores)]
    for painting, simulating in dict.fromkeys(mixes[:3] if task.tiny else mixes):
        key = f"cloth/{device}/{painting} render, {simulating} simulate"
        measure(task, ledger, key, seconds + 12, lambda p=painting, s=simulating: beside(task, p, s, device, seconds))
    plans = [(2, 2)] if task.tiny else [(cores, 2 * cores), (2 * cores, 3 * cores), (half, 2 * half)]
    for jobs, clips in plans:
        key = f"pipeline/{device}/{jobs} jobs"
        if key not in ledger and task.left() < (10 if task.tiny else 60):
            raise BudgetError(key)
        measure(task, ledger, key, 10, lambda j=jobs, c=clips: pipeline(task, device, j, c))


STAGES = {"processes": processes_stage, "cloth": cloth_stage}
