"""Writing files so that a reader sees all or nothing, whatever happens in between."""

import functools
import hashlib
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PART = re.compile(r"\.part\.(?P<machine>[0-9a-f]{8})-(?P<pid>[0-9]+)-[0-9a-f]{8}$")


def temporary(path: Path) -> Path:
    """A name beside `path` for what will take its place; it says which process, on which machine, writes it."""
    return path.with_name(f"{path.name}.part.{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; once the block ends well, it is synced and takes the final name.

    Args:
        path: The final name; its folder is made if need be.

    Yields:
        Where to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, all or nothing."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def sweep(folder: Path, older_than: float = 86400.0) -> list[Path]:
    """Remove the temporary files that killed processes left, in a folder and those below it.

    Args:
        folder: Where to look.
        older_than: Files of other machines go if they were not written to for so long [s]; whether their process
            lives cannot be asked. Those of this machine go as soon as their process is gone.

    Returns:
        What was removed.
    """
    removed = []
    for path in sorted(folder.rglob("*.part.*")):
        with suppress(FileNotFoundError):  # another sweep was faster
            if _abandoned(path, older_than):
                path.unlink()
                removed.append(path)
    return removed


def _abandoned(path: Path, older_than: float) -> bool:
    made = _PART.search(path.name)
    if made is not None and made["machine"] == _machine():
        return not _alive(int(made["pid"]))
    return time.time() - path.stat().st_mtime > older_than


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # someone else's, but there
    return True


@functools.cache
def _machine() -> str:
    """Tells apart where process numbers mean different things: hosts, their boots, containers."""
    known = [socket.gethostname()]
    with suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    with suppress(OSError):
        known.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]
