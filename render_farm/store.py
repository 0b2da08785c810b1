"""Where shards, logs and the farm's records lie. This module: the interface, and a folder that every node can reach."""

import abc
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from synth.errors import SynthError
from synth.files import sweep, temporary, write_text
from synth.provenance import add_line
from synth.shards.checksum import file_digest
from synth.shards.read import check_checksums
from synth.shards.write import publish

__all__ = ["Store", "StoreLostError", "open_store"]

RECORDS = "farm"
"""Below the store, everything that is not a shard or a log."""


class StoreLostError(OSError):
    """The store is not reachable or cannot be written to: nobody's job is to blame."""


class Store(abc.ABC):
    """Shards by clip id, and small text records by name (such as "failures/0123.json").

    A record appears whole or not at all. Names are relative; each method raises OSError when the store fails.
    """

    url: str
    """What another node opens it by."""
    folder: Path | None = None
    """The folder itself, if it is one that every node sees."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make the store, or make sure of it."""

    @abc.abstractmethod
    def probe(self) -> None:
        """Write and remove a file of 1 MiB.

        Raises:
            OSError: the store is gone, full or read-only.
        """

    @abc.abstractmethod
    def shards(self) -> dict[str, str]:
        """Clip ids of the shards there are, each with a stamp that changes when its file does."""

    @abc.abstractmethod
    def has(self, clip_id: str) -> bool:
        """Whether there is a shard of this clip."""

    @abc.abstractmethod
    def fault(self, clip_id: str) -> str:
        """Read a shard whole and compare it with its checksums; what is wrong with it, or nothing."""

    @abc.abstractmethod
    def commit(self, local: Path, clip_id: str) -> bool:
        """Give a finished local shard its place, never over another one; False if another one was faster."""

    @abc.abstractmethod
    def drop(self, clip_id: str) -> None:
        """Remove a damaged shard."""

    @abc.abstractmethod
    def read(self, name: str) -> str | None:
        """A record, or None if there is none of this name."""

    def lines(self, name: str) -> Iterator[str]:
        """The lines of a record, one by one; none if there is none of this name."""
        yield from (self.read(name) or "").splitlines()

    @abc.abstractmethod
    def write(self, name: str, text: str) -> None:
        """Write a record, over an older one if need be."""

    @abc.abstractmethod
    def create(self, name: str, text: str) -> bool:
        """Write a record unless there is one of its name; False if there is one."""

    @abc.abstractmethod
    def remove(self, name: str) -> None:
        """Remove a record, if it is there."""

    @abc.abstractmethod
    def names(self, kind: str) -> list[str]:
        """The records of a kind, such as "failures", as names that `read` takes, sorted."""

    @abc.abstractmethod
    def age(self, name: str) -> float:
        """Seconds since a record was written, by the store's own clock; infinite if it is gone."""

    @abc.abstractmethod
    def add_command(self, line: str) -> None:
        """Add a line to the commands that made the shards, for `synth report`."""

    @abc.abstractmethod
    def put_log(self, clip_id: str, log: Path) -> None:
        """Keep the log of a job."""

    @abc.abstractmethod
    def log(self, clip_id: str) -> str:
        """The log of a job; empty if there is none."""

    def sweep(self) -> list[str]:
        """Remove what killed processes left half written; the names of what was removed."""
        return []


class FolderStore(Store):
    """A folder on a local disk or a network file system.

    Args:
        folder: The folder. It must be prepared once; a node never makes it, so that a mount that went away is noticed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = self._folder = folder.absolute()
        self.url = str(self._folder)
        self._records = self._folder / RECORDS

    def prepare(self) -> None:
        """Make the folder."""
        self._records.mkdir(parents=True, exist_ok=True)

    def _here(self) -> None:
        if not self._records.is_dir():
            raise StoreLostError(f"{self._folder}: the folder is gone or not mounted")

    def probe(self) -> None:
        """Write and remove a file."""
        self._here()
        part = temporary(self._records / "probe")
        try:
            with part.open("wb") as file:
                file.write(b"\0" * 2**20)
                file.flush()
                os.fsync(file.fileno())
        finally:
            part.unlink(missing_ok=True)

    def shards(self) -> dict[str, str]:
        """One scan of the folder; the stamp is size and time of writing."""
        self._here()
        found = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(".h5"):
                    stat = entry.stat()
                    found[entry.name[:-3]] = f"{stat.st_size}-{stat.st_mtime_ns}"
        return found

    def path(self, clip_id: str) -> Path:
        """A shard's file."""
        return self._folder / f"{clip_id}.h5"

    def has(self, clip_id: str) -> bool:
        """Look for the file."""
        self._here()
        return self.path(clip_id).exists()

    def fault(self, clip_id: str) -> str:
        """Check the file in its place."""
        return fault(self.path(clip_id))

    def commit(self, local: Path, clip_id: str) -> bool:
        """Copy beside its place, sync, read back, link."""
        self._here()
        path = self.path(clip_id)
        if path.exists():
            return False
        part = temporary(path)
        try:
            shutil.copyfile(local, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            if file_digest(part) != file_digest(local):
                raise StoreLostError(f"{part}: what was written reads back differently")
            return publish(part, path)
        finally:
            part.unlink(missing_ok=True)

    def drop(self, clip_id: str) -> None:
        """Remove the file."""
        self.path(clip_id).unlink(missing_ok=True)

    def read(self, name: str) -> str | None:
        """Read the file."""
        self._here()
        try:
            return (self._records / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def lines(self, name: str) -> Iterator[str]:
        """Read a copy line by line: a plan may be larger than memory, and is read for as long as the run takes."""
        self._here()
        with tempfile.TemporaryFile() as copy:
            with contextlib.suppress(FileNotFoundError), (self._records / name).open("rb") as file:
                shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield from (line.decode().rstrip("\n") for line in copy)

    def write(self, name: str, text: str) -> None:
        """Write beside, rename."""
        self._here()
        write_text(self._records / name, text)

    def create(self, name: str, text: str) -> bool:
        """Write beside, link."""
        self._here()
        path = self._records / name
        path.parent.mkdir(exist_ok=True)
        part = temporary(path)
        try:
            part.write_text(text, encoding="utf-8")
            os.link(part, path)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        return True

    def remove(self, name: str) -> None:
        """Remove the file."""
        (self._records / name).unlink(missing_ok=True)

    def names(self, kind: str) -> list[str]:
        """List the folder."""
        self._here()
        try:
            found = [path.name for path in (self._records / kind).iterdir()]
        except FileNotFoundError:
            return []
        return sorted(f"{kind}/{name}" for name in found if ".part." not in name)

    def age(self, name: str) -> float:
        """Against a file written now, since the server's clock may differ from ours."""
        try:
            written = (self._records / name).stat().st_mtime
        except FileNotFoundError:
            return float("inf")
        probe = temporary(self._records / "clock")
        try:
            probe.touch()
            return probe.stat().st_mtime - written
        finally:
            probe.unlink(missing_ok=True)

    def add_command(self, line: str) -> None:
        """Add it to the list that `synth render` keeps too."""
        self._here()
        add_line(self._folder, line)

    def log_path(self, clip_id: str) -> Path:
        """Where a job writes its log."""
        self._here()
        path = self._folder / "logs" / f"{clip_id}.log"
        path.parent.mkdir(exist_ok=True)
        return path

    def put_log(self, clip_id: str, log: Path) -> None:
        """Nothing to do: the job writes it here."""

    def log(self, clip_id: str) -> str:
        """Read the file."""
        path = self._folder / "logs" / f"{clip_id}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def sweep(self) -> list[str]:
        """Remove temporary files of processes that are gone."""
        return [str(path.relative_to(self._folder)) for path in sweep(self._folder)]


def fault(path: Path) -> str:
    """Read a shard whole; what is wrong with it, or nothing."""
    try:
        return "; ".join(check_checksums(path)[:1])
    except SynthError as error:
        return error.problem


def open_store(url: str) -> Store:
    """Open a folder, or an object store such as "s3://bucket/run".

    Raises:
        SynthError: the protocol is unknown or its package is not installed.
    """
    protocol, found, _ = url.partition("://")
    if not found or protocol == "file":
        return FolderStore(Path(url.removeprefix("file://")))
    from render_farm.objects import ObjectStore

    return ObjectStore(url)
