"""Native Slurm arrays through submitit: no scheduler of ours runs, and Slurm's own can die without losing work.

Each task of the array does a share of the plan, job after job. What is missing afterwards goes into another array.
"""

import json
import logging
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from render_farm import board, records
from render_farm.driver import Options, Summary
from render_farm.job import Order, Outcome, perform, version
from render_farm.plan import Job
from render_farm.records import DriverReport
from render_farm.store import Store, open_store
from render_farm.submit import Replacer, unsettled
from synth.errors import SynthError

__all__ = ["run_share", "submit_arrays"]

log = logging.getLogger(__name__)

ROUNDS = 20
"""So many arrays are submitted before what is still missing is given up."""


def submit_arrays(
    store: Store,
    path: Path | None,
    options: Options,
    workers: int,
    queue: str | None = None,
    system: str = "slurm",
    log_folder: Path | None = None,
) -> Summary:
    """Do all that is not done of the plans on a store, by arrays of `workers` tasks.

    Args:
        store: A prepared store.
        path: A plan to add first.
        options: How jobs are done.
        workers: Tasks of an array.
        queue: Slurm's partition.
        system: submitit's name of the system; "local" runs the tasks here.
        log_folder: Where submitit keeps its files; every node must see it. By default below the store's folder.

    Returns:
        What was done.

    Raises:
        SynthError: there is no plan, no folder, or jobs are still missing after `ROUNDS` arrays.
    """
    if path is not None:
        board.keep_plan(store, path)
    folder = log_folder or (store.folder / "farm" / "slurm" if store.folder else Path.cwd() / "farm-slurm")
    summary, clock = Summary(), time.monotonic()
    for _ in range(ROUNDS):
        jobs = list(unsettled(store, Replacer(store)))
        if not jobs:
            summary.seconds = time.monotonic() - clock
            return summary
        images = {job.clip_id: job.cost.images for job in jobs}
        for outcome in _one_array(store, jobs, options, workers, queue, system, folder):
            summary.counts[outcome.kind] += 1
            summary.slot_seconds += outcome.seconds
            summary.images += images[outcome.clip_id] if outcome.kind == "done" else 0
    raise SynthError(f"{store.url}: jobs are missing after {ROUNDS} arrays", f"See {folder}, and `synth farm status`")


def _one_array(
    store: Store, jobs: list[Job], options: Options, workers: int, queue: str | None, system: str, folder: Path
) -> list[Outcome]:
    """Submit one array, wait for it, and collect what its tasks said."""
    run = uuid.uuid4().hex[:8]
    shares = [jobs[start::workers] for start in range(min(workers, len(jobs)))]
    names = []
    for number, share in enumerate(shares):
        names.append(f"shares/{run}-{number}.jsonl")
        orders = [_order(job, store, options, run).to_json() for job in share]
        store.write(names[-1], "\n".join(orders))
    executor = _executor(system, folder, options, workers, queue)
    with executor.batch():
        tasks = [executor.submit(run_share, store.url, name) for name in names]
    report = DriverReport(driver=f"array-{run}", cluster=system, plan="", started=time.time(), slots=len(tasks))
    outcomes = []
    for task, name in zip(tasks, names, strict=True):
        _follow(task, store, report, jobs)
        try:
            outcomes += [Outcome(**json.loads(text)) for text in task.result()]
        except Exception as error:  # submitit raises many kinds: the task was killed, lost, cancelled
            log.warning("a task of the array was lost: %s", str(error).splitlines()[0] if str(error) else error)
        store.remove(name)
    report.ended, report.slot_seconds = True, round(sum(outcome.seconds for outcome in outcomes), 1)
    _look(store, report, jobs)
    return outcomes


def _follow(task: Any, store: Store, report: DriverReport, jobs: list[Job], every: float = 10.0) -> None:
    """Wait for a task of an array; meanwhile the report tells `synth farm status` how far all of them are."""
    told = 0.0
    while not task.done():
        if time.monotonic() - told > every:
            _look(store, report, jobs)
            told = time.monotonic()
        time.sleep(1.0)


def _look(store: Store, report: DriverReport, jobs: list[Job]) -> None:
    """Write a report: what is there now of an array's jobs, which ones are claimed, how long slots had work."""
    now, before = time.time(), report.updated or report.started
    try:
        present, claimed = store.shards(), {Path(name).stem for name in store.names("claims")}
        there = [job for job in jobs if job.clip_id in present]
        report.running = [job.clip_id for job in jobs if job.clip_id in claimed and not report.ended]
        report.done, report.images = len(there), sum(job.cost.images for job in there)
        report.slot_seconds = round(report.slot_seconds + len(report.running) * (now - before), 1)
        report.point()
        report.write(store)
    except OSError as error:  # the array works on, or waits; its tasks see to it
        log.warning("%s: %s", store.url, error)


def _executor(system: str, folder: Path, options: Options, workers: int, queue: str | None) -> Any:
    import submitit

    executor = submitit.AutoExecutor(folder=str(folder), cluster=system)
    executor.update_parameters(name="raiment", timeout_min=24 * 60, cpus_per_task=1)
    if options.limits.memory:
        executor.update_parameters(mem_gb=options.limits.memory / 2**30 + 0.5)
    if system == "slurm":
        executor.update_parameters(slurm_array_parallelism=workers)
        if queue:
            executor.update_parameters(slurm_partition=queue)
        if options.device not in ("cpu", "auto"):
            executor.update_parameters(slurm_gres="gpu:1")
    return executor


def _order(job: Job, store: Store, options: Options, run: str) -> Order:
    return Order(
        clip_id=job.clip_id,
        spec=job.text,
        store=store.url,
        driver=f"array-{run}",
        device=options.device,
        limits=options.limits,
        version=version(),
    )


def run_share(url: str, name: str, patience: float = 600.0) -> list[str]:
    """Do a share of the plan on a node, job after job; failed jobs are tried again until they are in quarantine.

    Args:
        url: The store.
        name: Record with the orders, one a line.
        patience: How long a store that fails is waited for [s].

    Returns:
        The last outcome of each job, as JSON.
    """
    store = open_store(url)
    return [_persist(store, text, patience) for text in (store.read(name) or "").splitlines()]


def _persist(store: Store, text: str, patience: float) -> str:
    """Try a job until it is settled."""
    deadline = time.monotonic() + patience
    while True:
        told = perform(text)
        outcome = Outcome(**json.loads(told))
        if outcome.kind == "failed":
            known = records.failures(store, outcome.clip_id)
            if records.quarantined(records.counts(known).get(outcome.clip_id, Counter())):
                return json.dumps(json.loads(told) | {"kind": "quarantined"})
        elif outcome.kind != "storage" or time.monotonic() > deadline:
            return told
        time.sleep(1.0)
