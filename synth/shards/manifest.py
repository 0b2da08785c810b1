"""A folder of shards and its manifest: what is in the manifest is complete, what is not does not exist for `train`.

`manifest.jsonl` holds one JSON object a line: a finished clip ("done") or one that the quality gate refused
("rejected", with its reasons). Refusals also lie in files of their own, so that the manifest can be rebuilt.
"""

import contextlib
import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synth.errors import SynthError
from synth.files import write_text
from synth.shards.checksum import file_digest
from synth.shards.read import ShardReader
from synth.spec import ClipSpec, from_json

__all__ = ["Entry", "Manifest", "ShardFolder", "describe", "gate_line", "gate_shares", "open_dataset"]

NAME = "manifest.jsonl"
_LOCK = ".manifest.lock"
_REJECTED = ".rejected.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the manifest."""

    clip_id: str
    status: str
    """"done" or "rejected"."""
    file: str = ""
    """Name of the shard in the folder; empty if rejected."""
    sha256: str = ""
    """Of the whole file."""
    bytes: int = 0
    frames: int = 0
    views: int = 0
    width: int = 0
    height: int = 0
    reasons: tuple[str, ...] = ()
    """Why it was rejected."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Motion, outfit, gender and the like, for choosing without opening the files."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Where the time went, such as {"simulate": 12.1, "render": 80.5, "write": 1.2}."""


def describe(spec: ClipSpec) -> dict[str, Any]:
    """The attributes of a clip that the manifest lists."""
    return {
        "motion": "+".join(spec.motion.names),
        "kind": spec.motion.kind,
        "gender": spec.body.gender,
        "body": spec.body.name,
        "outfit": "+".join(garment.name for garment in spec.outfit) or "bare",
        "solver": spec.simulation.solver,
        "fps": spec.motion.fps,
        "samples": spec.render.samples,
    }


class Manifest:
    """The manifest of one folder. Several processes may write to it at once.

    Args:
        folder: The folder of shards.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def entries(self) -> dict[str, Entry]:
        """Read the manifest: entries by clip id, in order of id.

        Raises:
            SynthError: there is no manifest, or a line of it is damaged.
        """
        path = self.folder / NAME
        if not path.is_file():
            hint = "Name the folder that `synth render --out` wrote; `synth info --rebuild` makes a lost manifest"
            raise SynthError(f"{self.folder}: holds no {NAME}, so no shards", hint)
        return {entry.clip_id: entry for entry in sorted(_lines(path), key=lambda entry: entry.clip_id)}

    def record(self, path: Path, seconds: Mapping[str, float] | None = None) -> Entry:
        """Enter a finished shard of the folder.

        Args:
            path: The shard.
            seconds: Where the time went, such as {"render": 80.5}.

        Raises:
            SynthError: the shard or the manifest cannot be read, or the manifest not be written.
        """
        entry = _entry(path, seconds or {})
        self._update(entry)
        return entry

    def reject(self, spec: ClipSpec, reasons: tuple[str, ...], seconds: Mapping[str, float] | None = None) -> Entry:
        """Enter a clip that the quality gate refused, with its reasons; it gets a small file of its own as well.

        Raises:
            SynthError: the manifest cannot be read or written.
        """
        facts = {"reasons": reasons, "attributes": describe(spec), "seconds": dict(seconds or {})}
        entry = Entry(clip_id=spec.clip_id, status="rejected", **facts)
        _replace(self.folder / f"{spec.clip_id}{_REJECTED}", _line(entry))
        self._update(entry)
        return entry

    def rebuild(self, times: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, Entry]:
        """Write the manifest anew from the shards and refusals in the folder, keeping the times it had noted.

        Args:
            times: Where clips' time went, by clip id, for those of which the manifest had noted none.

        Raises:
            SynthError: a shard is damaged; it is named.
        """
        with _locked(self.folder):
            seconds = dict(times or {})
            with contextlib.suppress(SynthError):
                seconds |= {entry.clip_id: entry.seconds for entry in self.entries().values() if entry.seconds}
            entries = [_entry(path, seconds.get(path.stem, {})) for path in sorted(self.folder.glob("*.h5"))]
            done = {entry.clip_id for entry in entries}
            for path in sorted(self.folder.glob(f"*{_REJECTED}")):
                entries += [entry for entry in _lines(path) if entry.clip_id not in done]
            self._write({entry.clip_id: entry for entry in entries})
        return self.entries()

    def _update(self, entry: Entry) -> None:
        with _locked(self.folder):
            known = self.entries() if (self.folder / NAME).exists() else {}
            self._write(known | {entry.clip_id: entry})

    def _write(self, entries: dict[str, Entry]) -> None:
        _replace(self.folder / NAME, "".join(_line(entries[clip_id]) for clip_id in sorted(entries)))


class ShardFolder:
    """The shards that the manifest calls done, in order of clip id; behaves as a sequence of readers.

    Readers stay open, at most `keep_open` of them, so that a folder of any size can be read at random.
    """

    def __init__(self, folder: Path, entries: list[Entry], keep_open: int = 64) -> None:
        self.folder, self.entries, self.keep_open = folder, entries, keep_open
        self._open: dict[int, ShardReader] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> ShardReader:
        reader = self._open.pop(index, None) or ShardReader(self.folder / self.entries[index].file)
        self._open[index] = reader  # last in the order of use
        if len(self._open) > self.keep_open:
            self._open.pop(next(iter(self._open))).close()
        return reader

    def __iter__(self) -> Iterator[ShardReader]:
        return (self[index] for index in range(len(self)))

    def __getstate__(self) -> tuple[Path, list[Entry], int]:
        return self.folder, self.entries, self.keep_open

    def __setstate__(self, state: tuple[Path, list[Entry], int]) -> None:
        self.__init__(*state)


def open_dataset(folder: Path | str, keep_open: int = 64) -> ShardFolder:
    """Open a folder of shards: only what its manifest calls done, and that must be there.

    Raises:
        SynthError: no manifest, or a shard that it names is missing or has another size.
    """
    folder = Path(folder)
    done = [entry for entry in Manifest(folder).entries().values() if entry.status == "done"]
    for entry in done:
        path = folder / entry.file
        if not path.is_file() or path.stat().st_size != entry.bytes:
            hint = "Run the same `synth render` command again, or `synth info --rebuild` to take what is there"
            raise SynthError(f"{path}: named in {NAME}, but missing or of another size", hint)
    return ShardFolder(folder, done, keep_open)


def _entry(path: Path, seconds: Mapping[str, float]) -> Entry:
    with ShardReader(path) as reader:
        layout, attributes = reader.layout, reader.attributes
    spec = from_json(ClipSpec, attributes["spec"], f"{path}: spec")
    if attributes["clip_id"] != spec.clip_id or path.stem != spec.clip_id:
        raise SynthError(f"{path}: is named otherwise than the clip in it, {spec.clip_id}", "Give it its name back")
    return Entry(
        clip_id=spec.clip_id,
        status="done",
        file=path.name,
        sha256=file_digest(path),
        bytes=path.stat().st_size,
        frames=layout.frames,
        views=layout.views,
        width=layout.width,
        height=layout.height,
        attributes=describe(spec) | _cloth(attributes["cloth"], path),
        seconds=dict(seconds),
    )


def _cloth(text: str, path: Path) -> dict[str, Any]:
    """What moved the garments and how many simulations it took; nothing for shards from before that was noted."""
    try:
        plain = json.loads(text)
        return {"solvers": dict(plain["solvers"]), "tries": int(plain["tries"])} if plain else {}
    except (ValueError, TypeError, KeyError) as error:
        raise SynthError(
            f"{path}: attribute 'cloth' is damaged ({error})", "Delete the file and render again"
        ) from None


def gate_shares(entries: Iterable[Entry]) -> dict[str, int]:
    """Dressed clips that the quality gate let pass at the first try ("first") and later ("retried"), and "rejected"."""
    counts = {"first": 0, "retried": 0, "rejected": 0}
    for entry in entries:
        if entry.status == "rejected":
            counts["rejected"] += 1
        elif entry.attributes.get("outfit") != "bare":
            counts["first" if entry.attributes.get("tries", 1) == 1 else "retried"] += 1
    return counts


def gate_line(entries: Iterable[Entry]) -> str:
    """These shares in words; empty if nobody is dressed."""
    counts = gate_shares(entries)
    total = sum(counts.values())
    if not total:
        return ""
    first, retried, rejected = (f"{count} ({count / total:.0%})" for count in counts.values())
    return f"cloth: {first} accepted at the first try, {retried} after retries, {rejected} rejected"


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry), sort_keys=True) + "\n"


def _lines(path: Path) -> list[Entry]:
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            plain = json.loads(line)
            entry = Entry(**{**plain, "reasons": tuple(plain.get("reasons", ()))})
            if not isinstance(entry.clip_id, str) or Path(entry.file).name != entry.file:
                raise ValueError("a file outside the folder")
        except (ValueError, TypeError, AttributeError) as error:
            hint = "`synth info --rebuild` writes it anew from the shards"
            raise SynthError(f"{path}: line {number} is damaged ({error})", hint) from None
        entries.append(entry)
    return entries


def _replace(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise SynthError(f"{path}: cannot be written ({error})", "Make room or choose another --out folder") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the operating system lets go of it if the process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
