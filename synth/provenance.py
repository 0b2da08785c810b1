"""Which code made a shard."""

import functools
import subprocess
from importlib import metadata
from pathlib import Path


@functools.cache
def commit() -> str:
    """The checkout's commit, with "+changes" if files differ from it; in an installed package its version."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return f"raiment {metadata.version('raiment')}"
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return f"raiment {metadata.version('raiment')}"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
