"""One job's process: started, fed its spec, followed, limited, ended with all that it started."""

import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synth.events import Event, parse

__all__ = ["Ending", "Limits", "memory_limit", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may take."""

    seconds: float = 6 * 3600.0
    """Wall-clock time of a stage [s]."""
    memory: int = 0
    """Bytes; 0: all that the node has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a process ended."""

    event: Event
    """The last that it said."""
    status: int
    """Exit status; minus the signal's number if it was killed."""
    stopped: str = ""
    """The limit for which it was stopped."""


def memory_limit(limits: Limits) -> int:
    """A job's memory limit in bytes."""
    return limits.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def run(
    module: str, spec: str, *, out: Path, device: str, log: Path, limits: Limits, tick: Callable[[], None]
) -> Ending:
    """Run `python -m module` as `synth.worker` is run, in a process group of its own.

    Args:
        module: What does the job.
        spec: JSON for its standard input.
        out: Where it writes.
        device: What it renders on.
        log: What it prints is appended here.
        limits: It is ended when it breaks one of them. Address space beyond the memory limit it does not get at all.
        tick: Called about twice a second.

    Returns:
        How it ended; nothing of it runs any more.
    """
    reading, writing = os.pipe()
    try:
        process = _start(module, out, device, log, writing)
    finally:
        os.close(writing)
    last, pending, stopped = Event(kind="progress"), b"", ""
    try:
        with contextlib.suppress(ProcessLookupError):
            limit = memory_limit(limits)
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit, limit))
        _feed(process, spec)
        deadline = time.monotonic() + limits.seconds
        while not stopped:
            if select.select([reading], [], [], 0.5)[0]:
                chunk = os.read(reading, 65536)
                if not chunk:
                    break
                *lines, pending = (pending + chunk).split(b"\n")
                last = parse(lines[-1]) if lines else last
            tick()
            stopped = _broken(process.pid, deadline, limits)
    finally:
        status = _end(process, patience=0.0 if stopped else 20.0)
        os.close(reading)
    return Ending(event=last, status=status, stopped=stopped)


def _start(module: str, out: Path, device: str, log: Path, writing: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", module, "--out", str(out), "--device", device]
    with log.open("a", encoding="utf-8") as file:
        file.write(f"--- attempt: {module} on {socket.gethostname()}, {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n")
        file.flush()
        return subprocess.Popen(
            [*command, "--events", str(writing), "--parent", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            pass_fds=(writing,),
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )


def _feed(process: subprocess.Popen[bytes], spec: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as file:  # one that died at once shows by its pipe
        file.write(spec.encode())


def _broken(pid: int, deadline: float, limits: Limits) -> str:
    """The limit that a process has broken, in words, or nothing."""
    if time.monotonic() > deadline:
        return f"ran longer than its {limits.seconds:g} s"
    if _resident(pid) > memory_limit(limits):
        return f"needed more than its {memory_limit(limits) / 2**30:.3g} GiB of memory"
    return ""


def _resident(pid: int) -> int:
    """Memory that a process holds now [bytes]; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _end(process: subprocess.Popen[bytes], patience: float) -> int:
    """Wait for the process, then end it politely, then not; and whatever is left of its group."""
    for wait, number in ((patience, signal.SIGTERM), (20.0, signal.SIGKILL)):
        try:
            process.wait(wait)
            break
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, number)
    status = process.wait()
    _signal_group(process.pid, signal.SIGKILL)
    return status


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
