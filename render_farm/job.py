"""What a node does with one job: claim it, run it in a process of its own under limits, commit what it made.

Orders and outcomes travel as JSON text. A process that crashes, hangs or eats memory takes only itself along.
"""

import collections
import contextlib
import functools
import json
import os
import re
import select
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

from render_farm import records
from render_farm.records import Claim, Failure
from render_farm.store import FolderStore, Store, open_store
from synth.process import Ending, JobProcess, Limits, memory_limit

__all__ = ["Limits", "Order", "Outcome", "perform", "version"]

MODULES = {"render": "synth.worker", "simulate": "render_farm.simulate"}
"""What does a stage. An order names the stage only, so it cannot name code; RAIMENT_FARM_WORKER on the node can."""
_STORAGE = re.compile(
    r"No space left|errno = (28|30|5|116|122)\b|Read-only file system|Disk quota|Stale file handle|Input/output error"
)
_MEMORY = re.compile(r"MemoryError|Unable to allocate|bad_alloc|Malloc returns null|Cannot allocate memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a node is told to do."""

    clip_id: str
    spec: str
    """JSON of the clip's spec."""
    store: str
    """Where to put the shard."""
    driver: str
    stage: str = "render"
    """"render" (all of it, from a cached simulation if there is one) or "simulate"."""
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)
    patience: float = 300.0
    """How long a finished shard waits for a store that fails [s], before the work is thrown away."""
    version: str = ""
    """Of the code that made the order."""

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Order":
        """From text."""
        plain = json.loads(text)
        return Order(**{**plain, "limits": Limits(**plain["limits"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it went."""

    clip_id: str
    kind: str
    """"done", "simulated", "present" (the shard was there), "rejected", "failed" (noted on the store), "elsewhere"
    (someone else works on it), "storage" (the store failed) or "version" (the node runs other code)."""
    host: str = ""
    reason: str = ""
    seconds: float = 0.0
    """Of the slot's time [s]."""


@functools.cache
def version() -> str:
    """The code's version: orders and nodes must agree on it."""
    return " ".join(f"{name} {metadata.version(name)}" for name in ("raiment", "bpy"))


def perform(text: str) -> str:
    """Do an order.

    Args:
        text: An `Order` as JSON.

    Returns:
        An `Outcome` as JSON; whatever goes wrong is in it.
    """
    order, clock, host = Order.from_json(text), time.monotonic(), socket.gethostname()
    try:
        kind, reason = _attempt(order)
        if kind == "failed":
            _note(order, reason, host, time.monotonic() - clock)
    except OSError as error:
        kind, reason = "storage", f"{error.strerror or error} ({error.filename or order.store})"
    seconds = round(time.monotonic() - clock, 3)
    return json.dumps(asdict(Outcome(clip_id=order.clip_id, kind=kind, host=host, reason=reason, seconds=seconds)))


def perform_all(texts: list[str], one: Callable[[str], str] = perform) -> list[str]:
    """Do several orders, one after the other; this is what the scheduler calls on a node."""
    return [one(text) for text in texts]


def _note(order: Order, reason: str, host: str, seconds: float) -> None:
    failure = Failure(
        clip_id=order.clip_id,
        kind=records.APPLICATION,
        reason=reason,
        host=host,
        driver=order.driver,
        time=time.time(),
        seconds=round(seconds, 2),
    )
    records.note(open_store(order.store), failure)


def _attempt(order: Order) -> tuple[str, str]:
    """Claim, run, commit; the outcome's kind and reason."""
    if order.version and order.version != version():
        return "version", f"this node has {version()}, the order came from {order.version}"
    store = open_store(order.store)
    if store.has(order.clip_id):
        return "present", ""
    claim = records.my_claim(order.driver)
    if not claim.take(store, order.clip_id):
        return "elsewhere", ""
    try:
        with _scratch(store) as folder:
            return _run(order, store, folder, claim)
    finally:
        with contextlib.suppress(OSError):  # then it goes stale
            claim.release(store, order.clip_id)


def _run(order: Order, store: Store, folder: Path, claim: Claim) -> tuple[str, str]:
    log = store.log_path(order.clip_id) if isinstance(store, FolderStore) else folder / "job.log"
    start = log.stat().st_size if log.is_file() else 0
    module = os.environ.get("RAIMENT_FARM_WORKER", MODULES[order.stage])
    process = JobProcess(module, order.spec, out=folder, device=order.device, log=log, limits=order.limits)
    ending = _followed(process, _renewing(claim, store, order.clip_id))
    store.put_log(order.clip_id, log)
    if ending.event.seconds:
        records.note_seconds(store, order.clip_id, ending.event.seconds)
    if ending.event.kind == "simulated":
        return "simulated", ""
    if ending.event.kind == "rejected":
        store.write(f"rejected/{order.clip_id}.json", json.dumps({"reasons": ending.event.reasons}))
        return "rejected", "; ".join(ending.event.reasons)
    if ending.event.kind == "done":
        ours = _commit(store, folder / f"{order.clip_id}.h5", order)
        return ("done", "") if ours else ("present", "another process was faster")
    printed = _tail(log, start)
    reason = _reason(order, ending, printed)
    if not ending.stopped and (_STORAGE.search(reason) or _STORAGE.search(printed)):
        return "storage", reason
    store.probe()  # raises if it is the store's fault
    return "failed", reason


def _followed(process: JobProcess, tick: Callable[[], None]) -> Ending:
    """Listen to a process until it ends or breaks a limit; nothing of it runs any more then."""
    patience = 0.0
    try:
        while process.check():
            if select.select([process.pipe], [], [], 0.5)[0]:
                collections.deque(process.read(), maxlen=0)  # its last word is kept
            tick()
    except EOFError:
        patience = 20.0
    finally:
        ending = process.end(patience)
    return ending


def _commit(store: Store, shard: Path, order: Order) -> bool:
    """Commit; a finished shard waits for a store that is full or gone, since it may hold hours of work."""
    deadline = time.monotonic() + order.patience
    while True:
        try:
            return store.commit(shard, order.clip_id)
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1.0)


def _reason(order: Order, ending: Ending, printed: str) -> str:
    """Why a process did not do its job."""
    if ending.stopped:
        return ending.stopped
    if ending.event.kind == "error":
        return f"{ending.event.text}. {ending.event.hint}"
    if _MEMORY.search(printed):
        return f"needed more than its {memory_limit(order.limits) / 2**30:.3g} GiB of memory"
    if ending.status < 0:
        return ending.how
    line = printed.strip().splitlines()[-1:] or [""]
    return f"{ending.how}: {line[0][:200]}"


def _tail(log: Path, start: int, size: int = 4000) -> str:
    """The last part of what an attempt printed."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - size))
        return file.read().decode(errors="replace")


def _renewing(claim: Claim, store: Store, clip_id: str) -> Callable[[], None]:
    """What renews a claim, now and then, when called again and again."""
    last = time.monotonic()

    def renew() -> None:
        nonlocal last
        if time.monotonic() - last > records.RENEW:
            last = time.monotonic()
            with contextlib.suppress(OSError):  # a store that is gone shows when the job ends
                claim.renew(store, clip_id)

    return renew


@contextlib.contextmanager
def _scratch(store: Store) -> Iterator[Path]:
    """A folder on a local disk; in a shared store, simulations and unfinished pictures go to the store's cache."""
    base = Path(os.environ.get("RAIMENT_SCRATCH", tempfile.gettempdir()))
    _sweep_scratch(base)
    folder = base / f"raiment-job-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        if store.folder is not None:
            cache = store.folder / ".cache"
            cache.mkdir(exist_ok=True)
            (folder / ".cache").symlink_to(cache)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep_scratch(base: Path) -> None:
    """Remove what killed workers left on the local disk."""
    for folder in base.glob("raiment-job-*"):
        pid = folder.name.split("-")[2]
        if not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)
