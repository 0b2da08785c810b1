"""One job's process: started, fed its spec, listened to, limited, ended with all that it started.

`synth.local` has several at a time on this machine; a node of `render_farm` has one a slot.
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synth.events import Event, parse

__all__ = ["Ending", "JobProcess", "Limits", "memory_limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may take."""

    seconds: float = 6 * 3600.0
    """Wall-clock time of a stage [s]."""
    memory: int = 0
    """Bytes; 0: all that the machine has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a process ended."""

    event: Event
    """The last that it said."""
    status: int
    """Exit status; minus the signal's number if it was killed."""
    stopped: str = ""
    """The limit for which it was stopped."""

    @property
    def how(self) -> str:
        """The exit status in words."""
        killed = self.status < 0
        return f"was killed by {signal.Signals(-self.status).name}" if killed else f"ended with status {self.status}"


def memory_limit(limits: Limits) -> int:
    """A job's memory limit in bytes."""
    return limits.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class JobProcess:
    """`python -m module`, run as `synth.worker` is, in a process group of its own.

    Args:
        module: What does the job.
        spec: JSON for its standard input.
        out: Where it writes.
        device: What it renders on.
        log: What it prints is appended here.
        limits: `check` tells when it breaks one of them; address space beyond the memory limit it does not get at all.
            None: it may take what there is.
    """

    def __init__(
        self, module: str, spec: str, *, out: Path, device: str, log: Path, limits: Limits | None = None
    ) -> None:
        self.last = Event(kind="progress")
        self.stopped = ""
        self._limits, self._pending = limits, b""
        self.pipe, writing = os.pipe()
        try:
            self._process = _start(module, out, device, log, writing)
        except BaseException:
            os.close(self.pipe)
            raise
        finally:
            os.close(writing)
        self._deadline = time.monotonic() + (limits.seconds if limits else float("inf"))
        if limits is not None:
            memory = memory_limit(limits)
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self._process.pid, resource.RLIMIT_DATA, (memory, memory))
        self._feed(spec)

    def _feed(self, spec: str) -> None:
        assert self._process.stdin is not None
        # one that died at once shows by its pipe
        with contextlib.suppress(BrokenPipeError), self._process.stdin as file:
            file.write(spec.encode())

    def read(self) -> Iterator[Event]:
        """Take in what it says, once `pipe` can be read.

        Raises:
            EOFError: it has closed its end.
        """
        chunk = os.read(self.pipe, 65536)
        if not chunk:
            raise EOFError
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            self.last = parse(line)
            yield self.last

    def check(self) -> bool:
        """Whether it keeps to its limits; if not, `stopped` says which one it has broken, and it is to be ended."""
        if self._limits is not None:
            if time.monotonic() > self._deadline:
                self.stopped = f"ran longer than its {self._limits.seconds:g} s"
            elif _resident(self._process.pid) > (memory := memory_limit(self._limits)):
                self.stopped = f"needed more than its {memory / 2**30:.3g} GiB of memory"
        return not self.stopped

    def ask_to_end(self) -> None:
        """Ask it and all that it started to end; it has then time to remove its temporary files."""
        self._signal(signal.SIGTERM)

    def end(self, patience: float = 20.0, grace: float = 20.0) -> Ending:
        """Wait for it, then end it politely, then not; and whatever is left of its group.

        Args:
            patience: How long it is waited for [s].
            grace: How long it has to end once it is asked to [s].
        """
        for wait, number in ((patience, signal.SIGTERM), (grace, signal.SIGKILL)):
            try:
                self._process.wait(wait)
                break
            except subprocess.TimeoutExpired:
                self._signal(number)
        status = self._process.wait()
        self._signal(signal.SIGKILL)
        os.close(self.pipe)
        return Ending(event=self.last, status=status, stopped=self.stopped)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


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


def _resident(pid: int) -> int:
    """Memory that a process holds now [bytes]; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
