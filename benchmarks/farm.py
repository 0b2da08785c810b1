"""The farm: jobs a second and the driver's memory over a million jobs of no work, and scaling of real jobs.

    python benchmarks/farm.py [--only jobs|scaling|start] [--jobs 1000000] [--bundle 50] [--clips 8] [--rounds 3]

No-op jobs go all the way from the plan through driver, scheduler (in a process of its own, as on a cluster), worker
and back; only the node's work is left out, so nothing is read or written. They are handed out in bundles;
jobs_per_s_single is the rate of 2,000 without. driver_mb is the most that the driver's process held, driver_mb_growth
what it gained from the first tenth of the jobs to the end.

Real jobs are small clips of equal cost through Blender, on one worker that has one core, then on two workers that
have two; the driver and the scheduler share those cores. scaling_efficiency is T1 / (2 T2), from the first job handed
out to the last one taken in, of the median round. It is the product of two things: slot_use / slot_use_one, the shares
of the slots' time that jobs had on two workers and on one (what the farm loses: starts, gaps, the end at which one
slot has nothing left), and 1 / job_slowdown, how much longer a job takes while another one runs (what the machine
loses: two cores share memory, cache and clock, and with other programs). So two processes that know nothing of each
other do not run twice as fast as one either: independent_efficiency is T1 / (2 T2) of the same clips in processes
without any farm, measured in turns with it, forwards and backwards, and efficiency_of_independent is the quotient.
Higher is better for all but memory and job_slowdown. A busy machine spoils the efficiencies, and not slot_use.

own_cores: what driver, scheduler and two workers take of a core while jobs run, measured without any.

start: seconds until something can work, and memory without any job, of the farm on this machine and of the loop over
processes that `synth render` has.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from render_farm import cluster
from render_farm.driver import Driver, Options
from render_farm.plan import Job, make_job
from render_farm.store import FolderStore
from synth.config import load_config
from synth.local import run_jobs
from synth.plan import Planner
from synth.spec import ClipSpec

SMALL = {
    "motion.frames": 6,
    "motion.interpolated_share": 0.0,
    "cloth.garments": ("none",),
    "scene.views": 2,
    "scene.width": 160,
    "scene.height": 160,
    "render.samples": 16,
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


@contextlib.contextmanager
def cores(count: int) -> Iterator[None]:
    """This process, and those that it starts meanwhile, on so many cores."""
    every = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, every[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def farmed(specs: list[ClipSpec], workers: int) -> tuple[float, float]:
    """Make these clips on so many workers of one core each; seconds, and the share of the slots' time that was used."""
    with cores(workers), tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder) / "out")
        store.prepare()
        farm = cluster.local(workers, "cpu")
        try:
            with contextlib.closing(farm.connect()) as client:
                client.wait_for_workers(workers, timeout=120)
            summary = Driver(store, farm, (make_job(spec) for spec in specs), Options(device="cpu")).run()
        finally:
            farm.close()
    assert summary.counts == {"done": len(specs)}, summary.counts
    return summary.seconds, summary.slot_seconds / (workers * summary.seconds)


def independent(specs: list[ClipSpec], processes: int) -> float:
    """Make these clips in so many processes at a time, with no farm; seconds."""
    with cores(processes), tempfile.TemporaryDirectory() as folder:
        clock = time.monotonic()
        found = list(run_jobs(deque(specs), Path(folder), jobs=processes, device="cpu", watch=lambda *_: None))
        seconds = time.monotonic() - clock
    assert [outcome.event.kind for outcome in found] == ["done"] * len(specs), found
    return seconds


def scaling(clips: int, rounds: int) -> dict[str, float]:
    """Real jobs on one worker and on two, in turns with processes that know nothing of each other."""
    specs = plans(clips)
    kinds = [("farm", 1), ("alone", 1), ("farm", 2), ("alone", 2)]
    took: dict[tuple[str, int], list[float]] = {kind: [] for kind in kinds}
    used: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        for kind in kinds if number % 2 == 0 else kinds[::-1]:  # so that what drifts favours neither
            if kind[0] == "farm":
                seconds, share = farmed(specs, kind[1])
                used[kind[1]].append(share)
            else:
                seconds = independent(specs, kind[1])
            took[kind].append(seconds)
        told = ", ".join(f"{name} on {count}: {took[name, count][-1]:.1f} s" for name, count in kinds)
        print(f"round {number + 1}, {clips} clips: {told}; load {os.getloadavg()[0]:.1f}", flush=True)
    return ratios({kind: statistics.median(seconds) for kind, seconds in took.items()}, used)


def ratios(took: dict[tuple[str, int], float], used: dict[int, list[float]]) -> dict[str, float]:
    """What the times of the median round come to; see the top of this file."""
    ours, floor = (took[name, 1] / (2 * took[name, 2]) for name in ("farm", "alone"))
    one, two = (statistics.median(used[count]) for count in (1, 2))
    return {
        "scaling_efficiency": round(ours, 3),
        "independent_efficiency": round(floor, 3),
        "efficiency_of_independent": round(ours / floor, 3),
        "slot_use": round(two, 3),
        "slot_use_one": round(one, 3),
        "job_slowdown": round(two / one / ours, 3),
        "farm_over_independent": round(took["farm", 2] / took["alone", 2], 3),
    }


START = {
    "pool": "import synth.plan, synth.run",
    "farm": "from render_farm import cluster, driver, submit; cluster.configure()\n"
    "    farm = cluster.local({workers}, 'cpu'); client = farm.connect(); client.wait_for_workers({workers})",
}
"""What is ready to start the first job, of `synth render` and of the farm on this machine."""


def start_costs(workers: int = 2) -> dict[str, float]:
    """Seconds and memory (each page counted once) until the first job can start, without any job."""
    found = {}
    for name, code in START.items():
        body = f"import sys\nif __name__ == '__main__':\n    {code.format(workers=workers)}\n    print(flush=True)\n"
        body += "    sys.stdin.read()\n" + ("    client.close(); farm.close()\n" if name == "farm" else "")
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "start.py"
            script.write_text(body)
            clock = time.monotonic()
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            with subprocess.Popen([sys.executable, str(script)], **pipes) as process:
                process.stdout.readline()
                found[f"start_s_{name}"] = round(time.monotonic() - clock, 2)
                found[f"start_mb_{name}"] = round(sum(proportional(pid) for pid in family(process.pid)), 1)
    return found


def own_work(workers: int = 2, seconds: float = 10.0) -> dict[str, float]:
    """What a farm on this machine takes of a core while its jobs, which sleep here, run."""
    farm = cluster.local(workers, "cpu")
    try:
        with contextlib.closing(farm.connect()) as client:
            client.wait_for_workers(workers)
            futures = client.map(time.sleep, [seconds + 4.0] * workers, resources={"CPU": 1}, pure=False)
            time.sleep(2.0)  # until all have begun
            before = cpu_seconds()
            time.sleep(seconds)
            spent = cpu_seconds() - before
            client.gather(futures)
    finally:
        farm.close()
    return {"own_cores": round(spent / seconds, 3)}


def cpu_seconds() -> float:
    """Time of a core that this process and those that it started, and which still run, have used [s]."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in family(os.getpid())]
    return sum(int(words[11]) + int(words[12]) for words in stats) / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for one in found:  # grows meanwhile
        for path in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(word) for word in path.read_text().split()]
    return found


def proportional(pid: int) -> float:
    """Memory of a process, shared pages divided among those that share them [MB]."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Pss:\s+(\d+)", text, re.M)[0]) * 1024 / 1e6


def main() -> None:
    """Run what is asked for, print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("jobs", "scaling", "start"))
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--bundle", type=int, default=50)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cluster.configure()
    found: dict[str, float] = {}
    if arguments.only in (None, "jobs"):
        found["jobs_per_s_single"] = no_op_jobs(min(2000, arguments.jobs), 1)["jobs_per_s"]
        found |= no_op_jobs(arguments.jobs, arguments.bundle)
    if arguments.only in (None, "scaling"):
        found |= scaling(arguments.clips, arguments.rounds)
    if arguments.only in (None, "start"):
        found |= start_costs() | own_work()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
