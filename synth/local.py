"""Runs jobs on this machine: a few processes at a time, each job in its own, Ctrl-C at any moment."""

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

from synth.events import Event, parse
from synth.files import sweep
from synth.layout import log_path
from synth.spec import ClipSpec, to_json

log = logging.getLogger(__name__)

ATTEMPTS = 2  # a job whose process died (killed, out of memory, crashed) is tried once more


@dataclass(slots=True, kw_only=True)
class Job:
    """A job that runs."""

    spec: ClipSpec
    process: subprocess.Popen[bytes]
    pipe: int
    attempt: int
    pending: bytes = b""
    last: Event = field(default_factory=lambda: Event(kind="progress"))


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
    arguments = ["--out", str(out), "--device", device]
    running: dict[int, Job] = {}
    selector = selectors.DefaultSelector()
    try:
        while True:
            while queue and len(running) < jobs:
                _start(queue.popleft(), 1, out, [worker, *arguments], running, selector)
            if not running:
                return
            for key, _ in selector.select(timeout=1.0):
                job = running[key.fd]
                if _read(job, watch):
                    continue
                selector.unregister(job.pipe)
                del running[key.fd]
                outcome = _finish(job, out)
                if outcome is not None:
                    yield outcome
                else:
                    _start(job.spec, job.attempt + 1, out, [worker, *arguments], running, selector)
    finally:
        _stop(list(running.values()))
        if running:
            sweep(out)
        selector.close()


def _start(
    spec: ClipSpec, attempt: int, out: Path, call: list[str], running: dict[int, Job], selector: selectors.BaseSelector
) -> None:
    """Start one job's process."""
    log_path(out, spec).parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    command = [sys.executable, "-m", *call, "--events", str(writing), "--parent", str(os.getpid())]
    with log_path(out, spec).open("ab") as log_file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log_file,
            stderr=log_file,
            pass_fds=(writing,),
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    os.close(writing)
    running[reading] = Job(spec=spec, process=process, pipe=reading, attempt=attempt)
    selector.register(reading, selectors.EVENT_READ)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as file:  # a process that died at once is seen by its pipe
        file.write(to_json(spec).encode())


def _read(job: Job, watch: Callable[[ClipSpec, Event], None]) -> bool:
    """Take in what a job says; False once it has closed its end."""
    chunk = os.read(job.pipe, 65536)
    *lines, job.pending = (job.pending + chunk).split(b"\n")
    for line in lines:
        job.last = parse(line)
        watch(job.spec, job.last)
    return bool(chunk)


def _finish(job: Job, out: Path) -> Outcome | None:
    """Collect an ended job; None means that its process died and it deserves another try."""
    os.close(job.pipe)
    status = job.process.wait()
    if job.last.kind in ("done", "rejected", "error"):
        return Outcome(spec=job.spec, event=job.last)
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    log.warning("clip %s: its process %s (attempt %d)", job.spec.clip_id, how, job.attempt)
    sweep(out)
    if job.attempt < ATTEMPTS:
        return None
    text = f"the process of clip {job.spec.clip_id} {how}, {ATTEMPTS} times"
    return Outcome(spec=job.spec, event=Event(kind="crashed", text=text, hint=f"See {log_path(out, job.spec)}"))


def _stop(jobs: list[Job], patience: float = 20.0) -> None:
    """End the processes: politely, so that they remove their temporary files, then not."""
    for job in jobs:
        _signal(job, signal.SIGTERM)
    deadline = time.monotonic() + patience
    for job in jobs:
        try:
            job.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(job, signal.SIGKILL)
            job.process.wait()
        os.close(job.pipe)


def _signal(job: Job, number: signal.Signals) -> None:
    """Signal a job's whole process group."""
    try:
        os.killpg(job.process.pid, number)
    except ProcessLookupError:
        log.debug("process %d is gone already", job.process.pid)
