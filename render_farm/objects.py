"""A store in an object store (S3 and what speaks like it), through fsspec.

HDF5 cannot be written in place there: a job writes on its node's disk, and the finished shard is put in one piece, on
the condition that there is none of its name. Credentials and endpoint come from each node's environment.
"""

import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from render_farm import records
from render_farm.store import RECORDS, Store, StoreLostError, fault
from synth.errors import SynthError
from synth.provenance import COMMANDS
from synth.shards.manifest import NAME, Manifest

__all__ = ["ObjectStore"]


class ObjectStore(Store):
    """A bucket, or a part of it.

    Args:
        url: Such as "s3://bucket/run".

    Raises:
        SynthError: the protocol is unknown or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            found: tuple[fsspec.AbstractFileSystem, str] = url_to_fs(self.url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise SynthError(
                f"{url}: {error}", "Use a folder or s3://bucket/run, and install `raiment[farm]`"
            ) from None
        self._fs, self._root = found[0], found[1].rstrip("/")

    def prepare(self) -> None:
        """Nothing to make: the bucket must exist."""

    def probe(self) -> None:
        """Put and remove an object."""
        name = f"{self._root}/{RECORDS}/.probe.{uuid.uuid4().hex}"
        with _lost(self.url):
            self._fs.pipe_file(name, b"\0" * 2**20)
            self._fs.rm_file(name)

    def shards(self) -> dict[str, str]:
        """One listing; the stamp is the server's tag."""
        found = {}
        for path, info in self._list("").items():
            if path.endswith(".h5"):
                found[Path(path).stem] = str(info.get("ETag") or (info.get("size"), info.get("created"))).strip('"')
        return found

    def has(self, clip_id: str) -> bool:
        """Ask for the object."""
        with _lost(self.url):
            return bool(self._fs.exists(self._shard(clip_id)))

    def fault(self, clip_id: str) -> str:
        """Fetch the object and check it here."""
        with self._fetched(clip_id) as path:
            return fault(path)

    def commit(self, local: Path, clip_id: str) -> bool:
        """Put the file unless there is one; the server checks what arrives against its checksum."""
        with _lost(self.url):
            try:
                self._fs.put_file(str(local), self._shard(clip_id), mode="create")
            except FileExistsError:
                return False
            size = self._fs.info(self._shard(clip_id))["size"]
        if size != local.stat().st_size:
            self.drop(clip_id)
            raise StoreLostError(f"{self.url}/{clip_id}.h5: {size} of {local.stat().st_size} bytes arrived")
        return True

    def drop(self, clip_id: str) -> None:
        """Remove the object."""
        self._delete(self._shard(clip_id))

    def read(self, name: str) -> str | None:
        """Get the object."""
        with _lost(self.url):
            try:
                return _text(self._fs.cat_file(self._record(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, text: str) -> None:
        """Put the object."""
        with _lost(self.url):
            self._fs.pipe_file(self._record(name), text.encode())

    def create(self, name: str, text: str) -> bool:
        """Put the object, on a condition."""
        with _lost(self.url):
            try:
                self._fs.pipe_file(self._record(name), text.encode(), mode="create")
            except FileExistsError:
                return False
        return True

    def remove(self, name: str) -> None:
        """Remove the object."""
        self._delete(self._record(name))

    def names(self, kind: str) -> list[str]:
        """One listing."""
        return sorted(f"{kind}/{Path(path).name}" for path in self._list(f"/{RECORDS}/{kind}"))

    def age(self, name: str) -> float:
        """Against an object put now, by the server's clock."""
        probe = f"{self._root}/{RECORDS}/.clock.{uuid.uuid4().hex}"
        with _lost(self.url):
            try:
                written = self._fs.modified(self._record(name))
            except FileNotFoundError:
                return float("inf")
            self._fs.pipe_file(probe, b"")
            now = self._fs.modified(probe)
            self._fs.rm_file(probe)
        return (now - written).total_seconds()

    def add_command(self, line: str) -> None:
        """Put it in a record of its own, and the list anew from all of them: nothing can be appended here."""
        self.create(f"commands/{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json", line)
        lines = [self.read(name) or "" for name in self.names("commands")]
        with _lost(self.url):
            self._fs.pipe_file(f"{self._root}/{COMMANDS}", "".join(lines).encode())

    def put_log(self, clip_id: str, log: Path) -> None:
        """Put the log below those of earlier attempts."""
        text = self.log(clip_id) + log.read_text(encoding="utf-8", errors="replace")
        with _lost(self.url):
            self._fs.pipe_file(f"{self._root}/logs/{clip_id}.log", text.encode())

    def log(self, clip_id: str) -> str:
        """Get the object."""
        with _lost(self.url):
            try:
                return _text(self._fs.cat_file(f"{self._root}/logs/{clip_id}.log"))
            except FileNotFoundError:
                return ""

    def write_manifest(self, refused: Manifest) -> int:
        """Fetch shard after shard, describe it, and put the manifest.

        Args:
            refused: A manifest on this disk with the refused clips; the shards' entries are added.

        Returns:
            Number of shards.
        """
        entries = 0
        lines = []
        for clip_id in sorted(self.shards()):
            with self._fetched(clip_id) as path:
                one = Manifest(path.parent)
                one.record(path, records.seconds_of(self, clip_id))
                lines.append((path.parent / NAME).read_text(encoding="utf-8"))
            entries += 1
        rejected = refused.folder / NAME
        text = "".join([*lines, rejected.read_text(encoding="utf-8") if rejected.is_file() else ""])
        with _lost(self.url):
            self._fs.pipe_file(f"{self._root}/{NAME}", text.encode())
        return entries

    def _shard(self, clip_id: str) -> str:
        return f"{self._root}/{clip_id}.h5"

    def _record(self, name: str) -> str:
        return f"{self._root}/{RECORDS}/{name}"

    def _delete(self, path: str) -> None:
        with _lost(self.url):
            try:
                self._fs.rm_file(path)
            except FileNotFoundError:
                return

    def _list(self, below: str) -> dict[str, dict[str, Any]]:
        """What lies directly in a folder, by path."""
        with _lost(self.url):
            try:
                found = self._fs.ls(self._root + below, detail=True, refresh=True)
            except FileNotFoundError:
                return {}
        return {info["name"]: info for info in found if info["type"] == "file"}

    @contextmanager
    def _fetched(self, clip_id: str) -> Iterator[Path]:
        """A shard on this disk, for a while."""
        with tempfile.TemporaryDirectory(prefix="raiment-fetched-") as folder:
            path = Path(folder) / f"{clip_id}.h5"
            with _lost(self.url):
                self._fs.get_file(self._shard(clip_id), str(path))
            yield path


def _text(content: bytes | str) -> str:
    return content.decode(errors="replace") if isinstance(content, bytes) else content


@contextmanager
def _lost(url: str) -> Iterator[None]:
    """Turn what the client library raises into OSError: its own errors are many, and all mean the same here."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise StoreLostError(f"{url}: {error}") from error
