"""Where a plan stands: everything is read from the store, nothing is remembered."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from render_farm import plan, records
from render_farm.plan import Cost, Job
from render_farm.records import DriverReport, Failure
from render_farm.store import Store

__all__ = ["Board", "keep_plan", "kept_plans", "rejections", "verified", "wanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Where the plans on a store stand."""

    jobs: int
    images: int
    done: set[str]
    """Clip ids with a shard."""
    rejected: dict[str, tuple[str, ...]]
    """Refused by the quality gate, with the reasons."""
    quarantined: dict[str, list[Failure]]
    failing: dict[str, list[Failure]]
    """Failed, and to be tried again."""
    running: set[str]
    images_done: int
    left: Cost
    drivers: list[DriverReport]
    seconds_lost: float = 0.0
    """Time of slots that went into refused clips and failed attempts [s]."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return len(self.done) + len(self.rejected) + len(self.quarantined) >= self.jobs


def keep_plan(store: Store, path: Path) -> str:
    """Put a plan on the store, so that its state can be asked from anywhere; its name there."""
    name = f"plans/{plan.plan_name(path)}"  # reads, and so checks, every line
    store.create(name, path.read_text(encoding="utf-8"))
    return name


def kept_plans(store: Store) -> list[str]:
    """Names of the plans on a store."""
    return store.names("plans")


def wanted(store: Store) -> Iterator[Job]:
    """The jobs of all plans on a store, each once."""
    seen: set[str] = set()
    for name in kept_plans(store):
        for number, text in enumerate(store.lines(name), start=1):
            if plan.is_header(text):
                continue
            job = plan.parse(text, f"{store.url}: {name}: line {number}")
            if job.clip_id not in seen:
                seen.add(job.clip_id)
                yield job


def rejections(store: Store) -> dict[str, tuple[str, ...]]:
    """Clips that the quality gate refused, with its reasons."""
    found = {}
    for name in store.names("rejected"):
        try:
            found[Path(name).stem] = tuple(json.loads(store.read(name) or "")["reasons"])
        except (ValueError, TypeError, KeyError):
            continue
    return found


def verified(store: Store) -> dict[str, str]:
    """Stamps of the shards that were read whole and found right."""
    try:
        return dict(json.loads(store.read("verified.json") or "{}"))
    except (ValueError, TypeError):
        return {}


def look(store: Store) -> Board:
    """Read the state of all plans on a store."""
    present, refused = store.shards(), rejections(store)
    by_job: dict[str, list[Failure]] = {}
    lost = sum((sum(records.seconds_of(store, clip_id).values()) for clip_id in refused), 0.0)
    for failure in records.failures(store):
        by_job.setdefault(failure.clip_id, []).append(failure)
        lost += failure.seconds
    drivers = records.reports(store)
    running = {clip_id for driver in drivers if driver.alive for clip_id in driver.running}
    jobs, images, images_done, seconds_left = 0, 0, 0, 0.0
    done, rejected = set(), {}
    quarantined: dict[str, list[Failure]] = {}
    failing: dict[str, list[Failure]] = {}
    for job in wanted(store):
        jobs, images = jobs + 1, images + job.cost.images
        if job.clip_id in present:
            done.add(job.clip_id)
            images_done += job.cost.images
        elif job.clip_id in refused:
            rejected[job.clip_id] = refused[job.clip_id]
        elif records.quarantined(records.counts(by_job.get(job.clip_id, [])).get(job.clip_id, {})):
            quarantined[job.clip_id] = by_job[job.clip_id]
        else:
            seconds_left += job.cost.cpu_seconds
            if job.clip_id in by_job:
                failing[job.clip_id] = by_job[job.clip_id]
    return Board(
        jobs=jobs,
        images=images,
        done=done,
        rejected=rejected,
        quarantined=quarantined,
        failing=failing,
        running=running - done,
        images_done=images_done,
        left=Cost(images=images - images_done, cpu_seconds=round(seconds_left, 1)),
        drivers=drivers,
        seconds_lost=round(lost, 1),
    )
