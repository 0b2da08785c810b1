"""What each fault of the drill begins and ends with: a plan with its store, and the look at what was left behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import drill_kit

from synth.spec import ClipSpec


class Skip(Exception):  # noqa: N818 - not an error
    """This machine cannot be broken in this way; says why."""


@dataclass(slots=True)
class Verdict:
    """What a fault left behind."""

    fault: str
    jobs: int = 0
    lost: int = 0
    corrupt: int = 0
    duplicated: int = 0
    orphans: int = 0
    rerun: int = 0
    stale: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """What else is not as it should be."""

    @property
    def well(self) -> bool:
        """Whether nothing was lost, spoilt or left behind."""
        return not (self.lost or self.corrupt or self.duplicated or self.orphans or self.stale or self.wrong)


class Scene:
    """A plan, its store and its ledger in a folder of their own.

    Args:
        folder: The folder.
        actions: What the jobs do.
        bad: Actions that end in quarantine, with a part of the reason.
    """

    def __init__(self, folder: Path, actions: list[str], bad: dict[str, str] | None = None) -> None:
        self.folder, self.out, self.ledger = folder, folder / "out", folder / "ledger"
        self.ledger.mkdir(parents=True)
        (folder / "scratch").mkdir()
        self.bad, self.plan = bad or {}, folder / "plan.jsonl"
        self.specs = drill_kit.make_plan(self.plan, actions)
        self.environment = drill_kit.environment(self.ledger, RAIMENT_SCRATCH=str(folder / "scratch"))
        self.environment["DRILL_STORE"] = str(self.out)
        self.wrong: list[str] = []
        self._said = 0

    def command(self, *arguments: str) -> list[str]:
        """A `synth farm` command."""
        return [sys.executable, "-m", "synth", "farm", *arguments]

    def start(self, *arguments: str, on: Callable[[list[str]], list[str]] = list) -> subprocess.Popen[bytes]:
        """Start one, with what it says in a file."""
        self._said += 1
        with (self.folder / f"said-{self._said}-{arguments[0]}").open("wb") as said:
            command = on(self.command(*arguments))
            return subprocess.Popen(command, stdout=said, stderr=said, env=self.environment, start_new_session=True)

    def submit(self, *more: str, on: Callable[[list[str]], list[str]] = list) -> subprocess.Popen[bytes]:
        """Start a submit."""
        options = ["--time-limit", "60", *more]
        if "--cluster" not in more:
            options += ["--jobs", "2"]
        return self.start("submit", str(self.plan), "--out", str(self.out), *options, on=on)

    def said(self, what: str) -> str:
        """All that the commands of a name have said."""
        return "".join(p.read_text(errors="replace") for p in sorted(self.folder.glob(f"said-*-{what}")))

    def wait(self, process: subprocess.Popen[bytes], status: int = 0, timeout: float = 400.0) -> None:
        """Wait for a command to end."""
        try:
            found = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            found = process.wait()
            self.wrong.append(f"did not end in {timeout:.0f} s")
        if found != status:
            self.wrong.append(f"status {found} instead of {status}")

    def begun(self) -> int:
        """Jobs begun so far."""
        return len([path for path in self.ledger.iterdir() if not path.name.startswith(("twice-", "once-"))])

    def shards(self) -> int:
        """Shards so far."""
        return len(list(self.out.glob("*.h5")))

    def is_good(self, spec: ClipSpec) -> bool:
        """Whether the job should end in a shard."""
        return spec.motion.names[0] not in self.bad

    def judge(self, fault: str) -> Verdict:
        """Look at what was left, submit again, collect."""
        verdict = Verdict(fault, jobs=len(self.specs), wrong=self.wrong)
        good = {spec.clip_id for spec in self.specs if self.is_good(spec)}
        until(lambda: not drill_kit.orphans(self.ledger), 5.0)
        verdict.orphans = len(drill_kit.orphans(self.ledger))
        begun = self.begun()
        verdict.rerun = begun - len(self.specs)
        again = self.submit()
        self.wait(again, 0, 120.0)
        last = (self.folder / f"said-{self._said}-submit").read_text(errors="replace")
        if self.begun() != begun or "nothing to do" not in last:
            verdict.wrong.append("the second submit did something")
        collected = self.start("collect", "--out", str(self.out))
        self.wait(collected, 1 if self.bad else 0, 120.0)
        sound = drill_kit.sound(self.out)
        verdict.lost = len(good - sound)
        verdict.corrupt = self.shards() - len(sound)
        verdict.duplicated = len(list(self.ledger.glob("twice-*")))  # made although the shard was there by then
        verdict.stale = len(drill_kit.leftovers(self.out)) + len(list((self.folder / "scratch").iterdir()))
        listed = subprocess.run(
            self.command("quarantine", "--out", str(self.out)), capture_output=True, text=True, env=self.environment
        ).stdout
        for spec in self.specs:
            reason = self.bad.get(spec.motion.names[0])
            line = next((text for text in listed.splitlines() if text.startswith(spec.clip_id)), "")
            if (reason is None) != (not line) or (reason or "") not in line:
                verdict.wrong.append(f"quarantine of {spec.motion.names[0]}: {line or 'not there'}")
        return verdict


def until(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def parent_of(pid: int) -> int:
    """A process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextlib.contextmanager
def services(scene: Scene) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts schedulers and workers, and ends them all at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, on: Callable[[list[str]], list[str]] = list) -> subprocess.Popen[bytes]:
        started.append(scene.start(*arguments, on=on))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                scene.wrong.append("a service did not end when it was told to")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
