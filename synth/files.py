"""Writing files so that a reader sees all or nothing, whatever happens in between."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; once the block ends well, it is synced and takes the final name.

    Args:
        path: The final name; its folder is made if need be.

    Yields:
        Where to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part.{uuid.uuid4().hex[:12]}")
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
