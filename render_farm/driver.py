"""Hands out a plan's jobs, a few more than there are slots, takes in how they ended, and goes on until all are settled.

Whatever it has to remember is on the store; a driver that dies is replaced by running it again.
"""

import concurrent.futures
import contextlib
import heapq
import json
import logging
import queue
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from distributed import Client, Future
from distributed.comm.core import CommClosedError

from render_farm import records
from render_farm.job import Limits, Order, Outcome, perform, perform_all, version
from render_farm.plan import Job
from render_farm.records import DriverReport, Failure
from render_farm.store import Store
from synth.errors import SynthError

__all__ = ["Driver", "Options", "Summary"]

log = logging.getLogger(__name__)

GONE = (OSError, CommClosedError, TimeoutError, concurrent.futures.CancelledError)
"""What a client raises when its scheduler is not there any more."""


@runtime_checkable
class Connecting(Protocol):
    """A cluster that can be connected to again and again (`render_farm.cluster.Farm`)."""

    name: str

    def connect(self) -> Client:
        """Connect, or raise OSError."""
        ...


class DisconnectedError(Exception):
    """The scheduler is gone; what it had in hand has to be handed out again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How jobs are done."""

    device: str = "auto"
    limits: Limits = field(default_factory=Limits)
    two_stages: bool = False
    """Simulate on CPUs first, then render on GPUs."""
    window: int = 3
    """Bundles handed out for each slot."""
    bundle: int = 1
    """Jobs handed out together, done one after the other: more than one only if jobs take less than seconds."""
    patience: float = 600.0
    """How long a lost scheduler or store is waited for [s]."""
    replace: Callable[[Job], Job | None] | None = None
    """Another job in the place of one that the quality gate refused."""
    perform: Callable[[str], str] = perform
    """What a node does with an order."""


@dataclass(slots=True)
class Summary:
    """What a run of the driver did."""

    counts: Counter[str] = field(default_factory=Counter)
    """Jobs by how they ended: done, present, rejected, quarantined."""
    rerun: int = 0
    """Attempts beyond each job's first."""
    images: int = 0
    seconds: float = 0.0
    slot_seconds: float = 0.0


@dataclass(slots=True)
class Task:
    """A job on its way."""

    job: Job
    stage: str
    attempt: int = 1


@dataclass(slots=True)
class Bundle:
    """Tasks handed out together."""

    tasks: list[Task]
    future: Any = None


class Driver:
    """One run over a plan.

    Args:
        store: Where the shards go.
        farm: Who does the jobs.
        jobs: What is to be done, taken one by one; what is settled already must have been left out.
        options: How.
        watch: Called with the report, now and then, and with a line when a job has ended badly.
        plan: Name of the plan, for the report.
    """

    def __init__(
        self,
        store: Store,
        farm: Connecting,
        jobs: Iterable[Job],
        options: Options,
        watch: Callable[[DriverReport, str], None] = lambda *_: None,
        plan: str = "",
    ) -> None:
        self._store, self._farm, self._options, self._watch = store, farm, options, watch
        self._jobs: Iterator[Job] = iter(jobs)
        self._later: list[tuple[float, int, Task]] = []
        self._running: dict[str, Bundle] = {}
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._serial = 0
        self._lost_since = self._reported = self._asked = self._probed = 0.0
        self._resources: Counter[str] = Counter()
        name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self.report = DriverReport(driver=name, cluster=farm.name, plan=plan, started=time.time())
        self.summary = Summary()

    def run(self) -> Summary:
        """Go on until every job is settled.

        Raises:
            SynthError: the scheduler or the store stayed away for too long, or the nodes run other code.
        """
        clock = time.monotonic()
        try:
            while not self._finished():
                try:
                    with contextlib.closing(self._farm.connect()) as client:
                        self._work(client)
                except (*GONE, DisconnectedError) as error:
                    self._take_back()
                    self._wait(f"the scheduler is gone ({error or type(error).__name__})")
        finally:
            self.summary.seconds = time.monotonic() - clock
            self.report.ended, self.report.running = True, []
            self._tell(force=True)
        return self.summary

    def _work(self, client: Client) -> None:
        """Hand out and take in while the scheduler is there."""
        while not self._finished():
            self._check(client)
            self._hand_out(client)
            keys = self._drain(1.0)
            for outcome, task in self._outcomes(client, keys):
                self._settle(outcome, task)
            self._tell()

    def _finished(self) -> bool:
        if self._running or self._later:
            return False
        job = next(self._jobs, None)
        if job is not None:
            self._put(Task(job, self._first_stage()))
        return job is None

    def _first_stage(self) -> str:
        return "simulate" if self._options.two_stages else "render"

    def _put(self, task: Task, delay: float = 0.0) -> None:
        """Queue a task, not to be handed out before the delay is over."""
        self._serial += 1
        heapq.heappush(self._later, (time.monotonic() + delay if delay else 0.0, self._serial, task))

    def _next(self) -> Task | None:
        """What to hand out next: what waits and is due, then the plan."""
        if self._later and self._later[0][0] <= time.monotonic():
            return heapq.heappop(self._later)[2]
        job = next(self._jobs, None)
        return None if job is None else Task(job, self._first_stage())

    def _check(self, client: Client) -> None:
        """See now and then who is there."""
        if client.status != "running":
            raise DisconnectedError(f"client is {client.status}")
        if time.monotonic() - self._asked < 2.0 and self._resources:
            return
        self._asked, offered = time.monotonic(), Counter[str]()
        for worker in client.scheduler_info(n_workers=-1)["workers"].values():
            offered.update({kind: int(count) for kind, count in worker.get("resources", {}).items()})
        self._resources, self.report.slots = offered, sum(offered.values())

    def _needs(self, task: Task) -> str:
        """The resource that a task names."""
        rendering = task.stage == "render" and self._options.device != "cpu"
        return "GPU" if rendering and self._resources["GPU"] else "CPU"

    def _hand_out(self, client: Client) -> None:
        """Fill the window."""
        if self._lost_since and not self._store_is_back():
            return
        room = self._options.window * max(1, self.report.slots) - len(self._running)
        batches: dict[str, list[Task]] = {}
        for _ in range(max(0, room) * self._options.bundle):
            task = self._next()
            if task is None:
                break
            batches.setdefault(self._needs(task), []).append(task)
        for resource, tasks in batches.items():
            self._submit(client, tasks, resource)

    def _submit(self, client: Client, tasks: list[Task], resource: str) -> None:
        size = self._options.bundle
        bundles = [Bundle(tasks[start : start + size]) for start in range(0, len(tasks), size)]
        keys = []
        for bundle in bundles:
            self._serial += 1
            keys.append(f"{bundle.tasks[0].stage}-{bundle.tasks[0].job.clip_id}-{self.report.driver}-{self._serial}")
            self._running[keys[-1]] = bundle  # before it is sent, so that it is not lost with the connection
        orders = [[self._order(task) for task in bundle.tasks] for bundle in bundles]
        how = {"one": self._options.perform, "resources": {resource: 1}, "pure": False}
        for bundle, future in zip(bundles, client.map(perform_all, orders, key=keys, **how), strict=True):
            bundle.future = future
            future.add_done_callback(lambda done: self._ended.put(done.key))

    def _order(self, task: Task) -> str:
        return Order(
            clip_id=task.job.clip_id,
            spec=task.job.text,
            store=self._store.url,
            driver=self.report.driver,
            stage=task.stage,
            device=self._options.device,
            limits=self._options.limits,
            patience=self._options.patience / 2,
            version=version(),
        ).to_json()

    def _drain(self, patience: float) -> list[str]:
        """Keys of the futures that have ended, at least one unless none does in time."""
        keys = []
        with contextlib.suppress(queue.Empty):
            keys.append(self._ended.get(timeout=patience))
            while True:
                keys.append(self._ended.get_nowait())
        return keys

    def _outcomes(self, client: Client, keys: list[str]) -> Iterator[tuple[Outcome, Task]]:
        """How the tasks behind these keys ended; each is settled or queued again."""
        finished: list[Future] = []
        for key in keys:
            bundle = self._running.get(key)
            if bundle is None:  # of an earlier connection
                continue
            status = bundle.future.status
            if status == "finished":
                finished.append(bundle.future)
            elif status == "error":
                error = bundle.future.exception()
                for task in self._running.pop(key).tasks:
                    yield self._lost(task, error), task
            elif client.status != "running":
                raise DisconnectedError(f"its jobs are {status}")
            else:
                for task in self._running.pop(key).tasks:
                    self._again(task, 0.0)
        results: Any = client.gather(finished)
        for future, texts in zip(finished, results, strict=True):
            tasks = self._running.pop(str(future.key)).tasks
            yield from ((Outcome(**json.loads(text)), task) for text, task in zip(texts, tasks, strict=True))

    def _lost(self, task: Task, error: BaseException) -> Outcome:
        """A task that the scheduler gave up: its worker died."""
        reason = f"its worker was lost ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
        failure = Failure(
            clip_id=task.job.clip_id,
            kind=records.INFRASTRUCTURE,
            reason=reason,
            host="",
            driver=self.report.driver,
            time=time.time(),
        )
        with contextlib.suppress(OSError):
            records.note(self._store, failure)
        return Outcome(clip_id=task.job.clip_id, kind="lost", reason=reason)

    def _settle(self, outcome: Outcome, task: Task) -> None:
        """Take in how a task ended."""
        self.summary.slot_seconds += outcome.seconds
        if outcome.kind in ("done", "present"):
            self.summary.counts[outcome.kind] += 1
            self.summary.images += task.job.cost.images if outcome.kind == "done" else 0
        elif outcome.kind == "simulated":
            self._put(Task(task.job, "render", task.attempt))
        elif outcome.kind == "rejected":
            self._reject(task, outcome)
        elif outcome.kind in ("failed", "lost"):
            self._fail(task, outcome)
        elif outcome.kind == "elsewhere":
            self._put(task, delay=5.0)
        elif outcome.kind == "storage":
            self._lost_since = self._lost_since or time.monotonic()
            self._say(f"the store fails: {outcome.reason}")
            self._again(task, 1.0)
        else:
            raise SynthError(f"{outcome.host}: {outcome.reason}", "Install the same version on every node")

    def _reject(self, task: Task, outcome: Outcome) -> None:
        self.summary.counts["rejected"] += 1
        self._say(f"{task.job.clip_id}  rejected: {outcome.reason}")
        other = self._options.replace(task.job) if self._options.replace else None
        if other is not None:
            self._put(Task(other, self._first_stage()))

    def _fail(self, task: Task, outcome: Outcome) -> None:
        """Try again, or give up if the store has seen too many failures."""
        self._say(f"{task.job.clip_id}  failed: {outcome.reason}")
        known = [f for f in self._read_failures(task.job.clip_id) if f.clip_id == task.job.clip_id]
        if records.quarantined(records.counts(known).get(task.job.clip_id, {})):
            self.summary.counts["quarantined"] += 1
            self._say(f"{task.job.clip_id}  in quarantine")
        else:
            self._again(task, 0.5 * task.attempt)

    def _read_failures(self, clip_id: str) -> list[Failure]:
        try:
            return records.failures(self._store, clip_id)
        except OSError:
            return []

    def _again(self, task: Task, delay: float) -> None:
        self.summary.rerun += 1
        self._put(Task(task.job, task.stage, task.attempt + 1), delay)

    def _take_back(self) -> None:
        """The scheduler is gone: everything that it had is handed out again. The store knows what was finished."""
        for bundle in self._running.values():
            for task in bundle.tasks:
                self._again(task, 0.0)
        self._running.clear()
        self._resources.clear()

    def _store_is_back(self) -> bool:
        """Whether the store works again.

        Raises:
            SynthError: it has been away for too long.
        """
        try:
            self._store.probe()
        except OSError as error:
            self._wait(f"the store fails ({error.strerror or error})", since=self._lost_since)
            return False
        self._lost_since = 0.0
        self.report.message = ""
        return True

    def _wait(self, why: str, since: float = 0.0) -> None:
        """Say what is missing and sleep a little.

        Raises:
            SynthError: it has been missing for too long.
        """
        if not since:
            self._lost_since = since = self._lost_since or time.monotonic()
        if time.monotonic() - since > self._options.patience:
            raise SynthError(f"{self._store.url}: {why}, for {self._options.patience:.0f} s", "Mend it, submit again")
        self.report.message = why
        self._say(f"waiting: {why}")
        self._tell()
        time.sleep(2.0)

    def _say(self, line: str) -> None:
        log.info("%s", line)
        self._watch(self.report, line)

    def _tell(self, force: bool = False) -> None:
        """Put the report on the store, every few seconds."""
        if not force and time.monotonic() - self._reported < 5.0:
            return
        self._reported = time.monotonic()
        report, summary = self.report, self.summary
        report.running = [bundle.tasks[0].job.clip_id for bundle in self._running.values()][: 4 * max(1, report.slots)]
        report.done, report.images, report.rerun = summary.counts["done"], summary.images, summary.rerun
        report.slot_seconds = round(summary.slot_seconds, 1)
        report.point()
        try:
            report.write(self._store)
            if time.monotonic() - self._probed > 15.0:
                self._store.probe()  # jobs that wait for room do not say so
                self._probed = time.monotonic()
        except OSError as error:
            if not self._lost_since:
                self._lost_since = time.monotonic()
                self._say(f"the store fails: {error.strerror or error}")
        self._watch(report, "")
