"""Runs jobs on this machine: a few processes at a time, each job in its own, Ctrl-C at any moment."""

import logging
import selectors
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from synth.events import Event
from synth.files import sweep
from synth.layout import log_path
from synth.process import JobProcess
from synth.spec import ClipSpec, to_json

log = logging.getLogger(__name__)

ATTEMPTS = 2  # a job whose process died (killed, out of memory, crashed) is tried once more


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that runs."""

    spec: ClipSpec
    process: JobProcess
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended."""

    spec: ClipSpec
    event: Event
    """Of any kind but "progress"."""


def run_jobs(
    queue: deque[ClipSpec],
    out: Path,
    *,
    jobs: int,
    device: str,
    watch: Callable[[ClipSpec, Event], None],
    worker: str = "synth.worker",
) -> Generator[Outcome, None, None]:
    """Run each spec as a process, `jobs` at a time, and yield how each ended, in the order in which they end.

    Whatever ends this generator (Ctrl-C, an error, closing it) ends the processes too. Of what they had not finished
    only files stay that the next run goes on from; close the generator (`contextlib.closing`) to be sure of that.

    Args:
        queue: Jobs, taken from the left; the caller may append more between two outcomes.
        out: Folder of the shards; logs go to its `logs`.
        jobs: How many at a time.
        device: What to render on.
        watch: Called for each event of each job.
        worker: Module that does a job.
    """
    running: dict[int, Job] = {}
    selector = selectors.DefaultSelector()

    def start(spec: ClipSpec, attempt: int) -> None:
        job = Job(spec=spec, process=_process(worker, spec, out, device), attempt=attempt)
        running[job.process.pipe] = job
        selector.register(job.process.pipe, selectors.EVENT_READ)

    try:
        while True:
            while queue and len(running) < jobs:
                start(queue.popleft(), 1)
            if not running:
                return
            for key, _ in selector.select(timeout=1.0):
                job = running[key.fd]
                try:
                    for event in job.process.read():
                        watch(job.spec, event)
                    continue
                except EOFError:
                    selector.unregister(key.fd)
                    del running[key.fd]
                outcome = _finish(job, out)
                if outcome is not None:
                    yield outcome
                else:
                    start(job.spec, job.attempt + 1)
    finally:
        _stop([job.process for job in running.values()])
        if running:
            sweep(out)
        selector.close()


def _process(worker: str, spec: ClipSpec, out: Path, device: str) -> JobProcess:
    """Start one job's process."""
    log_path(out, spec).parent.mkdir(parents=True, exist_ok=True)
    return JobProcess(worker, to_json(spec), out=out, device=device, log=log_path(out, spec))


def _finish(job: Job, out: Path) -> Outcome | None:
    """Collect an ended job; None means that its process died and it deserves another try."""
    ending = job.process.end()
    if ending.event.kind in ("done", "rejected", "error"):
        return Outcome(spec=job.spec, event=ending.event)
    log.warning("clip %s: its process %s (attempt %d)", job.spec.clip_id, ending.how, job.attempt)
    sweep(out)
    if job.attempt < ATTEMPTS:
        return None
    text = f"the process of clip {job.spec.clip_id} {ending.how}, {ATTEMPTS} times"
    return Outcome(spec=job.spec, event=Event(kind="crashed", text=text, hint=f"See {log_path(out, job.spec)}"))


def _stop(processes: list[JobProcess], patience: float = 20.0) -> None:
    """End the processes: politely, so that they remove their temporary files, then not."""
    for process in processes:
        process.ask_to_end()
    deadline = time.monotonic() + patience
    for process in processes:
        process.end(max(0.0, deadline - time.monotonic()), grace=0.0)
