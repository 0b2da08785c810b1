"""Brings a store up to its plans: leaves out what is settled, hands the rest to a driver."""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from render_farm import board, plan, records
from render_farm.driver import Connecting, Driver, Options, Summary
from render_farm.plan import Job
from render_farm.records import DriverReport
from render_farm.store import Store
from synth.config import Config
from synth.errors import SynthError
from synth.plan import Planner
from synth.run import ATTEMPTS, first_not_refused

__all__ = ["Replacer", "check_present", "prepare", "submit", "unsettled"]

log = logging.getLogger(__name__)


def prepare(store: Store) -> None:
    """Make sure of a store and remove what killed processes left on it.

    Raises:
        SynthError: it cannot be made or written to.
    """
    try:
        store.prepare()
        store.probe()
        for name in store.sweep():
            log.info("%s: left by a killed process, removed", name)
    except OSError as error:
        raise SynthError(f"{store.url}: {error.strerror or error}", "Choose another --out, or mend this one") from None


def submit(
    store: Store,
    farm: Connecting,
    options: Options,
    path: Path | None = None,
    watch: Callable[[DriverReport, str], None] = lambda *_: None,
) -> Summary:
    """Do all that is not done of the plans on a store. Doing it twice, or at two places at once, does no harm.

    Args:
        store: A prepared store.
        farm: Who does it.
        options: How; `replace` is set here from the plans' settings.
        path: A plan to add to those on the store first.
        watch: Told how it goes.

    Returns:
        What was done now.

    Raises:
        SynthError: the plan is damaged, or the cluster or the store stayed away too long.
    """
    name = board.keep_plan(store, path) if path is not None else ""
    if not board.kept_plans(store):
        raise SynthError(f"{store.url}: there is no plan on it", "Name a plan, or settings such as --sequences cmu")
    replacer = Replacer(store)
    jobs = unsettled(store, replacer)
    first = next(jobs, None)
    if first is None:
        return Summary()  # without starting a cluster
    options = dataclasses.replace(options, replace=replacer)

    def chained() -> Iterator[Job]:
        yield first
        yield from jobs

    return Driver(store, farm, chained(), options, watch, name).run()


def unsettled(store: Store, replacer: "Replacer") -> Iterator[Job]:
    """The jobs that have no sound shard, were not refused and are not in quarantine; refused ones' replacements too."""
    present, refused = check_present(store), board.rejections(store)
    failed = records.counts(records.failures(store))
    for job in board.wanted(store):
        if job.clip_id in present or records.quarantined(failed.get(job.clip_id, {})):
            continue
        if job.clip_id not in refused:
            yield job
        elif other := replacer(job, fresh_only=True):
            yield other


def check_present(store: Store) -> set[str]:
    """Read every shard that was not read before; damaged ones are removed, to be made again.

    Returns:
        Clip ids of the sound ones.
    """
    known, sound = board.verified(store), {}
    for clip_id, stamp in store.shards().items():
        if known.get(clip_id) != stamp and (fault := store.fault(clip_id)):
            log.warning("%s: %s: damaged (%s), made anew", store.url, clip_id, fault)
            store.drop(clip_id)
        else:
            sound[clip_id] = stamp
    if sound != known:
        store.write("verified.json", json.dumps(sound, sort_keys=True))
    return set(sound)


class Replacer:
    """Finds another person in other clothes for a clip that the quality gate refused, and adds it to the plans.

    Args:
        store: Its plans' settings say how; a plan without settings has no replacements.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._planners: list[Planner] | None = None

    def __call__(self, job: Job, fresh_only: bool = False) -> Job | None:
        """The replacement of a refused job.

        Args:
            job: Its place in the plan is what counts.
            fresh_only: None also if the replacement is on the store's plans already.
        """
        refused = board.rejections(self._store)
        for planner in self._known_planners():
            if job.spec.index >= planner.config.motion.clips:
                continue
            if job.clip_id not in {planner.clip(job.spec.index, attempt).clip_id for attempt in range(ATTEMPTS)}:
                continue
            other = first_not_refused(planner, job.spec.index, refused)
            if other is None:
                return None
            new = plan.make_job(other)
            added = self._store.create(f"plans/replaced-{new.clip_id}.jsonl", plan.line(new))
            return new if added or not fresh_only else None
        return None

    def _known_planners(self) -> list[Planner]:
        if self._planners is None:
            configs: list[Config] = []
            for name in board.kept_plans(self._store):
                config = plan.read_config(next(self._store.lines(name), ""), f"{self._store.url}: {name}")
                if config is not None:
                    configs.append(config)
            self._planners = [Planner(config) for config in configs]
        return self._planners
