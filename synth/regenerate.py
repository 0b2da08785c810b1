"""One clip made again from the spec in its shard, and compared with it."""

from collections import deque
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from synth.errors import SynthError
from synth.layout import shard_path
from synth.local import run_jobs
from synth.shards import schema
from synth.shards.checksum import content_digest
from synth.shards.manifest import Manifest
from synth.shards.read import ShardReader
from synth.spec import ClipSpec, from_json

__all__ = ["Comparison", "compare", "regenerate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two shards of one clip differ."""

    same_labels: int
    """Datasets, pictures aside, whose stored content is the same."""
    other_labels: tuple[str, ...]
    """Those that differ."""
    other_pictures: tuple[str, ...]
    devices: tuple[str, str]


def regenerate(folder: Path, clip_id: str, out: Path, device: str | None = None) -> Comparison:
    """Make a clip again.

    Args:
        folder: Shards that hold the clip.
        clip_id: Which.
        out: Another folder; nothing cached in `folder` is used.
        device: Kind of device; default: the one that the shard names.

    Raises:
        SynthError: no such clip; `out` is `folder` or has the clip already; the clip cannot be made.
    """
    entry = Manifest(folder).entries().get(clip_id)
    if entry is None or entry.status != "done":
        raise SynthError(f"{folder}: has no finished clip {clip_id!r}", "`synth info` says what is there")
    with ShardReader(folder / entry.file) as reader:
        spec = from_json(ClipSpec, reader.attributes["spec"], f"{entry.file}: spec")
        made_on = str(reader.attributes["device"])
    if spec.clip_id != clip_id:
        raise SynthError(f"{entry.file}: its spec is another clip's, {spec.clip_id}", "`synth verify` says more")
    path = shard_path(out, spec)
    if out.resolve() == folder.resolve() or path.exists():
        raise SynthError(f"{path}: is there already, nothing would be made", "Choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    jobs = run_jobs(deque([spec]), out, jobs=1, device=device or made_on or "auto", watch=lambda spec, event: None)
    with closing(jobs) as outcomes:
        for outcome in outcomes:
            if outcome.event.kind != "done":
                why = outcome.event.text or "; ".join(outcome.event.reasons) or outcome.event.kind
                raise SynthError(f"clip {clip_id}: {why}", outcome.event.hint)
            Manifest(out).record(path, outcome.event.seconds)
    return compare(folder / entry.file, path)


def compare(one: Path, other: Path) -> Comparison:
    """Compare the stored content of two shards, array by array.

    Raises:
        SynthError: one of them cannot be read.
    """
    same, labels, pictures = 0, [], []
    with ShardReader(one) as a, ShardReader(other) as b:
        names = sorted(schema.expected(a.layout).keys() | schema.expected(b.layout).keys())
        for name in names:
            known = name in schema.expected(a.layout) and name in schema.expected(b.layout)
            equal = known and content_digest(name, a.dataset(name)) == content_digest(name, b.dataset(name))
            if name.rpartition("/")[2] in ("rgb", "rgb_offsets"):
                pictures += [] if equal else [name]
            elif equal:
                same += 1
            else:
                labels.append(name)
        devices = (str(a.attributes["device"]), str(b.attributes["device"]))
    return Comparison(same_labels=same, other_labels=tuple(labels), other_pictures=tuple(pictures), devices=devices)
