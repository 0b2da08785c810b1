"""What the farm writes down on the store: failed attempts, who works on what, what the drivers do."""

import json
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from render_farm.store import Store

__all__ = [
    "Claim",
    "DriverReport",
    "Failure",
    "clear_failures",
    "counts",
    "failures",
    "note",
    "note_seconds",
    "reports",
    "seconds_of",
]

APPLICATION, INFRASTRUCTURE = "application", "infrastructure"
CAPS = {APPLICATION: 3, INFRASTRUCTURE: 20}
"""So many failures of a kind put a job into quarantine."""
RENEW = 10.0
"""How often a job renews its claim [s]."""
STALE = 30.0
"""A claim that was not renewed for so long [s] belongs to nobody."""
SILENT = 60.0
"""A driver that has not reported for so long [s] is taken for dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt at a job."""

    clip_id: str
    kind: str
    """"application" (the job's own fault) or "infrastructure" (its node or the network went away)."""
    reason: str
    host: str
    driver: str
    time: float
    """Seconds since 1970."""
    seconds: float = 0.0
    """How long the attempt took."""


def note(store: Store, failure: Failure) -> None:
    """Write down a failed attempt."""
    name = f"failures/{failure.clip_id}.{uuid.uuid4().hex[:12]}.json"
    store.create(name, json.dumps(asdict(failure), sort_keys=True))


def failures(store: Store, clip_id: str = "") -> list[Failure]:
    """All failed attempts, or those at one job, oldest first; a record that cannot be read is left out."""
    found = []
    for name in store.names("failures"):
        if not clip_id or name.startswith(f"failures/{clip_id}."):
            try:
                found.append(Failure(**json.loads(store.read(name) or "")))
            except (ValueError, TypeError):
                continue
    return sorted(found, key=lambda failure: failure.time)


def note_seconds(store: Store, clip_id: str, seconds: Mapping[str, float]) -> None:
    """Write down where a job's time went; a stage that was taken from the cache keeps the time it took to make."""
    before = seconds_of(store, clip_id)
    longest = {stage: round(max(spent, before.get(stage, 0.0)), 3) for stage, spent in seconds.items()}
    store.write(f"seconds/{clip_id}.json", json.dumps(before | longest, sort_keys=True))


def seconds_of(store: Store, clip_id: str) -> dict[str, float]:
    """Where a job's time went, such as {"render": 80.5} [s]; empty if nobody wrote it down."""
    try:
        return {
            str(stage): float(spent) for stage, spent in json.loads(store.read(f"seconds/{clip_id}.json") or "").items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def counts(found: list[Failure]) -> dict[str, Counter[str]]:
    """Failures of each kind by clip id."""
    table: dict[str, Counter[str]] = {}
    for failure in found:
        table.setdefault(failure.clip_id, Counter())[failure.kind] += 1
    return table


def quarantined(count: Mapping[str, int]) -> bool:
    """Whether a job with so many failures of each kind is not tried any more."""
    return any(count.get(kind, 0) >= cap for kind, cap in CAPS.items())


def clear_failures(store: Store, clip_id: str) -> int:
    """Forget a job's failures, so that it is tried again; they stay readable among the records "released"."""
    names = [name for name in store.names("failures") if name.startswith(f"failures/{clip_id}.")]
    for name in names:
        store.create(name.replace("failures/", "released/", 1), store.read(name) or "{}")
        store.remove(name)
    return len(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """That a process works on a job. A hint that saves work: a job done twice does no harm."""

    driver: str
    host: str
    boot: str
    """Tells one boot of a host, and one container, from another."""
    pid: int

    def take(self, store: Store, clip_id: str) -> bool:
        """Claim a job; False if someone else, who lives as far as can be known, has it."""
        name, text = _claim(clip_id), json.dumps(asdict(self), sort_keys=True)
        if store.create(name, text):
            return True
        other = _read_claim(store, clip_id)
        if other is None or other.dead_here(self) or store.age(name) > STALE:
            store.write(name, text)
            return True
        return False

    def renew(self, store: Store, clip_id: str) -> None:
        """Say that the work goes on."""
        store.write(_claim(clip_id), json.dumps(asdict(self), sort_keys=True))

    def release(self, store: Store, clip_id: str) -> None:
        """Give the job back, unless another process has taken it over."""
        if _read_claim(store, clip_id) == self:
            store.remove(_claim(clip_id))

    def dead_here(self, other: "Claim") -> bool:
        """Whether this claim's process was on the machine of `other`, ours, and is gone."""
        return (self.host, self.boot) == (other.host, other.boot) and not Path(f"/proc/{self.pid}").exists()


def _claim(clip_id: str) -> str:
    return f"claims/{clip_id}.json"


def _read_claim(store: Store, clip_id: str) -> Claim | None:
    try:
        return Claim(**json.loads(store.read(_claim(clip_id)) or ""))
    except (ValueError, TypeError):
        return None


def my_claim(driver: str) -> Claim:
    """The claim of this process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip() + str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = ""
    return Claim(driver=driver, host=socket.gethostname(), boot=boot, pid=os.getpid())


@dataclass(slots=True, kw_only=True)
class DriverReport:
    """What one driver has seen and done; written anew every few seconds."""

    driver: str
    cluster: str
    plan: str
    started: float
    """Seconds since 1970."""
    updated: float = 0.0
    ended: bool = False
    slots: int = 0
    running: list[str] = field(default_factory=list)
    """Clip ids handed out."""
    done: int = 0
    images: int = 0
    slot_seconds: float = 0.0
    """Time of slots spent on jobs, failed ones too [s]."""
    rerun: int = 0
    """Attempts beyond each job's first."""
    history: list[tuple[float, int]] = field(default_factory=list)
    """(seconds since the start, images so far), thinned to at most 200 points."""
    message: str = ""
    """What it waits for, if it waits."""

    def write(self, store: Store) -> None:
        """Put it on the store."""
        self.updated = time.time()
        store.write(f"drivers/{self.driver}.json", json.dumps(asdict(self), sort_keys=True))

    def point(self) -> None:
        """Note the images so far."""
        self.history.append((round(time.time() - self.started, 1), self.images))
        if len(self.history) > 200:
            self.history = self.history[::2]

    @property
    def alive(self) -> bool:
        """Whether it works, as far as can be known."""
        return not self.ended and time.time() - self.updated < SILENT


def reports(store: Store) -> list[DriverReport]:
    """Every driver that has ever worked on this store, in order of start."""
    found = []
    for name in store.names("drivers"):
        try:
            plain: dict[str, Any] = json.loads(store.read(name) or "")
            history = [(float(second), int(images)) for second, images in plain.pop("history", [])]
            found.append(DriverReport(**plain, history=history))
        except (ValueError, TypeError, AttributeError):
            continue
    return sorted(found, key=lambda report: report.started)
