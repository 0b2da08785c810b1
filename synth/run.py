"""A whole plan on this machine: what is there already is kept, what was refused is replaced, the rest is made."""

import logging
from collections import Counter, deque
from collections.abc import Container
from contextlib import closing
from pathlib import Path
from typing import Protocol, runtime_checkable

from synth.errors import SynthError
from synth.events import Event
from synth.files import sweep
from synth.layout import shard_path
from synth.local import run_jobs
from synth.plan import Planner
from synth.shards.checksum import file_digest
from synth.shards.manifest import NAME, Entry, Manifest, gate_line
from synth.shards.read import check_checksums
from synth.spec import ClipSpec

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""So many people and outfits are tried for one place in the plan before it stays empty."""


@runtime_checkable
class Watcher(Protocol):
    """What shows the progress."""

    def plan(self, clips: int, images: int, kept: int) -> None:
        """How much there is to make, and how many clips are there already."""

    def watch(self, spec: ClipSpec, event: Event) -> None:
        """A job has said something."""

    def end(self, spec: ClipSpec, line: str) -> None:
        """A job has ended."""


def render_plan(planner: Planner, out: Path, *, jobs: int, device: str, watcher: Watcher) -> str:
    """Make every clip of a plan.

    Args:
        planner: Makes the specs.
        out: Folder of the shards.
        jobs: Processes at a time.
        device: What to render on.
        watcher: Shows the progress.

    Returns:
        A summary, one line.

    Raises:
        SynthError: an input or the machine stands in the way, or a clip could not be made.
    """
    manifest = _prepared(out)
    known = manifest.entries() if (out / NAME).is_file() else {}
    refused = {clip_id for clip_id, entry in known.items() if entry.status == "rejected"}
    chosen = [first_not_refused(planner, index, refused) for index in range(planner.config.motion.clips)]
    specs = [spec for spec in chosen if spec is not None]
    queue = deque(spec for spec in specs if not kept(out, spec, known))
    images = sum(spec.motion.count * len(spec.scene.cameras.azimuths) for spec in queue)
    watcher.plan(len(specs), images, len(specs) - len(queue))
    counts, crashes = Counter(kept=len(specs) - len(queue), empty=len(chosen) - len(specs)), []
    with closing(run_jobs(queue, out, jobs=jobs, device=device, watch=watcher.watch)) as outcomes:
        for outcome in outcomes:
            spec, event = outcome.spec, outcome.event
            counts[event.kind] += 1
            if event.kind == "error":
                raise SynthError(f"clip {spec.clip_id}: {event.text}", event.hint)
            if event.kind == "crashed":
                crashes.append(event)
            else:
                watcher.end(spec, f"{spec.clip_id}  {_entered(manifest, out, spec, event)}")
            if event.kind == "rejected":
                refused.add(spec.clip_id)
                if other := first_not_refused(planner, spec.index, refused):
                    queue.appendleft(other)
    if crashes:
        raise SynthError(f"{len(crashes)} of {len(specs)} clips could not be made; {crashes[0].text}", crashes[0].hint)
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    worn = gate_line(manifest.entries().values()) if (out / NAME).is_file() else ""
    return f"{out}: {said} of {len(chosen)} clips" + (f"; {worn}" if worn else "")


def _entered(manifest: Manifest, out: Path, spec: ClipSpec, event: Event) -> str:
    """Enter a clip that is done or refused in the manifest; says in a few words how it went."""
    if event.kind == "rejected":
        manifest.reject(spec, event.reasons, event.seconds)
        return f"rejected: {event.reasons[0]}"
    entry = manifest.record(shard_path(out, spec), event.seconds)
    return f"done in {sum(entry.seconds.values()):.0f} s, {entry.bytes / 2**20:.1f} MiB"


def kept(out: Path, spec: ClipSpec, known: dict[str, Entry]) -> bool:
    """Whether a clip's shard is there and whole; one that is whole but not in the manifest is entered."""
    path, entry = shard_path(out, spec), known.get(spec.clip_id)
    if not path.is_file():
        return False
    if entry is not None and entry.status == "done" and entry.sha256 == file_digest(path):
        return True
    if faults := check_checksums(path):
        log.warning("%s: damaged (%s), made anew", path, faults[0])
        path.unlink()
        return False
    Manifest(out).record(path)
    return True


def first_not_refused(planner: Planner, index: int, refused: Container[str]) -> ClipSpec | None:
    """The spec for a place in the plan: the first attempt that the quality gate has not refused.

    Args:
        planner: Makes the specs.
        index: The place.
        refused: Clip ids of those that were.

    Returns:
        None if all `ATTEMPTS` were refused: the place stays empty.
    """
    for attempt in range(ATTEMPTS):
        spec = planner.clip(index, attempt)
        if spec.clip_id not in refused:
            return spec
    log.warning("clip %d of the plan: all %d attempts were rejected", index, ATTEMPTS)
    return None


def _prepared(out: Path) -> Manifest:
    """Make the folder and remove what killed processes left in it.

    Raises:
        SynthError: the folder cannot be made or written to.
    """
    manifest = Manifest(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in sweep(out):
            log.info("%s: left by a killed process, removed", path)
    except OSError as error:
        raise SynthError(f"{out}: {error.strerror}", "Choose another --out folder") from None
    return manifest
