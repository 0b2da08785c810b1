"""Which code made a shard, and which commands a folder of shards."""

import dataclasses
import functools
import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from synth.config import Config

COMMANDS = "commands.jsonl"
"""File beside the shards; never part of them, so that the same spec stays the same bytes."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One command that made shards in a folder."""

    command: str
    """As it can be typed again."""
    started: str
    """Date and time, ISO 8601, UTC."""
    commit: str
    config: Mapping[str, Any]
    """Every setting, with those that were not given."""


def run_line(arguments: Sequence[str], config: Config) -> str:
    """A command as a line of a folder's list.

    Args:
        arguments: The words after `synth`.
        config: The settings that it comes to.
    """
    run = Run(
        command=shlex.join(["synth", *arguments]),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit(),
        config=dataclasses.asdict(config),
    )
    return json.dumps(dataclasses.asdict(run), sort_keys=True) + "\n"


def record_run(folder: Path, arguments: Sequence[str], config: Config) -> None:
    """Add a command to the folder's list.

    Args:
        folder: Where its shards go.
        arguments: The words after `synth`.
        config: The settings that it comes to.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    add_line(folder, run_line(arguments, config))


def add_line(folder: Path, line: str) -> None:
    """Add what `run_line` made to the folder's list.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / COMMANDS).open("a", encoding="utf-8") as stream:
        stream.write(line)


def recorded_runs(folder: Path) -> list[Run]:
    """The commands that made shards in a folder, oldest first; a line that is damaged is left out."""
    path, runs = folder / COMMANDS, []
    if not path.is_file():
        return []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            plain = json.loads(line)
            run = Run(**{field.name: plain[field.name] for field in dataclasses.fields(Run)})
        except (ValueError, KeyError, TypeError):
            continue
        if all(isinstance(text, str) for text in (run.command, run.started, run.commit)):
            runs.append(run)
    return runs
