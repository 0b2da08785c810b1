"""The farm: jobs a second and the driver's memory over a million jobs of no work, and scaling of real jobs.

    python benchmarks/farm.py [--jobs 1000000] [--bundle 50] [--clips 8] [--rounds 1]

No-op jobs go all the way from the plan through driver, scheduler (in a process of its own, as on a cluster), worker
and back; only the node's work is left out, so nothing is read or written. They are handed out in bundles;
jobs_per_s_single is the rate of 2,000 without. Driver memory is what the process holds at the end of each tenth,
without what it held before the first job; if it grew with the number of jobs, the last tenth would show it.
Real jobs are small clips through Blender on one worker that has one core, then on two workers with a core each.
scaling_efficiency is T1 / (2 T2), from the first job handed out to the last one taken in; slot_use is the share of the
two slots' time that jobs had. Higher is better for all but memory. A busy machine spoils efficiency more than use.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from render_farm import cluster
from render_farm.driver import Driver, Options
from render_farm.plan import Job, make_job
from render_farm.store import FolderStore
from synth.config import load_config
from synth.plan import Planner
from synth.spec import ClipSpec

SMALL = {
    "motion.frames": 4,
    "motion.interpolated_share": 0.0,
    "cloth.garments": ("none",),
    "scene.views": 2,
    "scene.width": 96,
    "scene.height": 96,
    "render.samples": 4,
    "render.device": "cpu",
}


def no_work(text: str) -> str:
    """What a node would do with an order, left out."""
    clip_id = text[13:29]  # json.loads would be half of the work
    return f'{{"clip_id": "{clip_id}", "kind": "done", "seconds": 0.0}}'


def plans(clips: int) -> list[ClipSpec]:
    """Small real clips."""
    return Planner(load_config(None, {**SMALL, "motion.clips": clips})).clips()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where a run stood."""

    jobs: int
    """Handed out by then."""
    at: float
    """Time [s]."""
    cpu: float
    """Time of a core that this process has used [s]."""
    driver: float
    """Its memory [MB]."""
    scheduler: float
    """The scheduler's [MB]."""


def numbered(base: ClipSpec, count: int, scheduler: int, marks: list[Mark]) -> Iterator[Job]:
    """Jobs that differ in their number, made while they are asked for; notes twenty times where it stands."""
    for index in range(count):
        if index % max(1, count // 20) == 0:
            at, cpu = time.monotonic(), time.process_time()
            marks.append(Mark(jobs=index, at=at, cpu=cpu, driver=resident(), scheduler=resident(scheduler)))
            tell(marks)
        yield make_job(dataclasses.replace(base, index=index))


def tell(marks: list[Mark]) -> None:
    """Print the last mark, now, so that a run that is stopped has said how far it was."""
    last, before = marks[-1], marks[max(0, len(marks) - 2)]
    rate = (last.jobs - before.jobs) / (last.at - before.at) if last is not before else 0.0
    print(
        f"{last.jobs:9d} jobs handed out {last.at - marks[0].at:8.1f} s {rate:7.0f} jobs/s  "
        f"driver {last.driver:6.1f} MB, scheduler {last.scheduler:6.1f} MB, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def resident(pid: int | str = "self") -> float:
    """Memory of a process [MB]."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def service(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A scheduler or worker in a process of its own, and the address that it names."""
    process = subprocess.Popen(
        [sys.executable, "-m", "synth", "farm", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        yield process, next(found[0] for found in (re.search(r"tcp://\S+", line) for line in lines) if found)
    finally:
        process.terminate()
        process.wait(60)


def no_op_jobs(count: int, bundle: int) -> dict[str, float]:
    """Hand out `count` jobs of no work, so many at a time."""
    import farm  # this module by its name, so that the worker finds the function

    marks: list[Mark] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        service("scheduler", "--port", "0") as (scheduler, address),
        service("worker", address, "--jobs", "2", "--device", "cpu"),
    ):
        store = FolderStore(Path(folder))
        store.prepare()
        options = Options(device="cpu", window=max(4, 200 // bundle), bundle=bundle, perform=farm.no_work)
        before = resident()
        jobs = numbered(plans(1)[0], count, scheduler.pid, marks)
        driver = Driver(store, cluster.at(address, None), jobs, options)
        clock = time.monotonic()
        summary = driver.run()
        seconds = time.monotonic() - clock
    assert summary.counts == {"done": count}, summary.counts
    settled = marks[len(marks) // 10 :]  # what a connection and its buffers take has been taken by then
    return {
        "jobs": count,
        "jobs_per_s": round(count / seconds, 1),
        "driver_mb": round(max(mark.driver for mark in marks), 1),
        "driver_mb_at_start": round(before, 1),
        "driver_mb_growth": round(settled[-1].driver - settled[0].driver, 1),
        "driver_cpu_ms_per_job": round(1e3 * (marks[-1].cpu - marks[0].cpu) / max(1, marks[-1].jobs), 3),
        "scheduler_mb": round(settled[-1].scheduler, 1),
        "scheduler_mb_growth": round(settled[-1].scheduler - settled[0].scheduler, 1),
    }


def real_jobs(specs: list[ClipSpec], workers: int) -> tuple[float, float]:
    """Make these clips on so many workers of one core each; seconds, and the share of the slots' time that was used."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:workers])
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder) / "out")
        store.prepare()
        farm = cluster.local(workers, "cpu")
        try:
            with contextlib.closing(farm.connect()) as client:
                client.wait_for_workers(workers, timeout=120)
            summary = Driver(store, farm, (make_job(spec) for spec in specs), Options(device="cpu")).run()
        finally:
            farm.close()
            os.sched_setaffinity(0, cores)
    assert summary.counts == {"done": len(specs)}, summary.counts
    return summary.seconds, summary.slot_seconds / (workers * summary.seconds)


def main() -> None:
    """Run both, print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--bundle", type=int, default=50)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    cluster.configure()
    single = no_op_jobs(min(2000, arguments.jobs), 1)["jobs_per_s"]
    found = no_op_jobs(arguments.jobs, arguments.bundle) | {"jobs_per_s_single": single}
    specs, one, two, used = plans(arguments.clips), 0.0, 0.0, 0.0
    for _ in range(arguments.rounds):
        one += real_jobs(specs, 1)[0]
        seconds, share = real_jobs(specs, 2)
        two, used = two + seconds, used + share / arguments.rounds
        print(f"{len(specs)} clips: one worker {one:.1f} s, two workers {two:.1f} s so far")
    efficiency = one / (2 * two)
    print(json.dumps({**found, "scaling_efficiency": round(efficiency, 3), "slot_use": round(used, 3)}))


if __name__ == "__main__":
    main()
