"""The end of a run: every shard is read whole, and those that are sound go into the manifest that `train` reads."""

import logging
import tempfile
from dataclasses import dataclass, field

from render_farm import board, records
from render_farm.objects import ObjectStore
from render_farm.store import FolderStore, Store
from synth.shards.manifest import Manifest

__all__ = ["Collected", "collect"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Collected:
    """What was found."""

    shards: int = 0
    rejected: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    """Clip ids of shards that were removed, with what was wrong."""
    missing: list[str] = field(default_factory=list)
    """Clip ids that are neither there nor refused."""
    swept: list[str] = field(default_factory=list)
    """Temporary files of dead processes, removed."""


def collect(store: Store) -> Collected:
    """Check every shard and write the manifest.

    Args:
        store: Nobody needs to be finished with it; what comes later is collected later.

    Raises:
        SynthError: the manifest cannot be written.
        OSError: the store fails.
    """
    found = Collected(swept=store.sweep())
    for clip_id in sorted(store.shards()):
        if fault := store.fault(clip_id):
            log.warning("%s: %s: damaged (%s), removed", store.url, clip_id, fault)
            store.drop(clip_id)
            found.damaged[clip_id] = fault
    state = board.look(store)
    found.rejected = len(state.rejected)
    found.missing = sorted(
        job.clip_id for job in board.wanted(store) if job.clip_id not in state.done | state.rejected.keys()
    )
    if isinstance(store, FolderStore):
        manifest = Manifest(store.path("").parent)
        entries = manifest.rebuild({clip_id: records.seconds_of(store, clip_id) for clip_id in state.done})
        _reject(manifest, store, state, set(entries))
        found.shards = sum(entry.status == "done" for entry in entries.values())
    elif isinstance(store, ObjectStore):
        with tempfile.TemporaryDirectory() as folder:
            _reject(Manifest(folder), store, state, set())
            found.shards = store.write_manifest(Manifest(folder))
    return found


def _reject(manifest: Manifest, store: Store, state: board.Board, known: set[str]) -> None:
    """Enter the refused clips."""
    for job in board.wanted(store):
        if job.clip_id in state.rejected and job.clip_id not in known:
            manifest.reject(job.spec, state.rejected[job.clip_id], records.seconds_of(store, job.clip_id))
