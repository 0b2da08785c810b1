"""Several folders of shards put into one."""

import contextlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from synth.errors import SynthError
from synth.files import temporary, write_text
from synth.provenance import COMMANDS
from synth.shards.checksum import file_digest
from synth.shards.manifest import NAME, Entry, Manifest

__all__ = ["merge"]


def merge(folders: tuple[Path, ...], out: Path, link: bool = False) -> tuple[int, int]:
    """Make one folder of several: every finished clip once, and what was rejected unless it is finished elsewhere.

    A clip that two folders hold is the same clip (its id says so); the first folder's shard is taken.

    Args:
        folders: Folders of shards; they stay as they are.
        out: A folder that does not exist yet, or is empty.
        link: Make hard links where the file system can, instead of copies.

    Returns:
        Number of finished clips in `out`, and of those that were held more than once.

    Raises:
        SynthError: `out` holds something; a shard is missing or is not the one its manifest recorded.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SynthError(f"{out}: is there already and not an empty folder", "Choose another --out")
    chosen: dict[str, tuple[Path, Entry]] = {}
    repeated = 0
    for folder in folders:
        for clip_id, entry in Manifest(folder).entries().items():
            known = chosen.get(clip_id)
            repeated += known is not None and known[1].status == entry.status == "done"
            if known is None or (known[1].status != "done" and entry.status == "done"):
                chosen[clip_id] = (folder, entry)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(out)
    part.mkdir()
    try:
        for folder, entry in chosen.values():
            _bring(folder, entry, part, link)
        lines = [json.dumps(asdict(entry), sort_keys=True) for _, (_, entry) in sorted(chosen.items())]
        write_text(part / NAME, "".join(line + "\n" for line in lines))
        _bring_commands(folders, part)
        part.replace(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return sum(entry.status == "done" for _, entry in chosen.values()), repeated


def _bring_commands(folders: tuple[Path, ...], part: Path) -> None:
    """Put the folders' lists of commands one after another."""
    texts = [
        path.read_text(encoding="utf-8", errors="replace") for path in (f / COMMANDS for f in folders) if path.is_file()
    ]
    if texts:
        write_text(part / COMMANDS, "".join(text if text.endswith("\n") else text + "\n" for text in texts))


def _bring(folder: Path, entry: Entry, part: Path, link: bool) -> None:
    """Copy or link one clip's file and see that it is the recorded one."""
    if entry.status != "done":
        name = f"{entry.clip_id}.rejected.json"
        if (folder / name).is_file():
            shutil.copyfile(folder / name, part / name)
        return
    source, copy = folder / entry.file, part / entry.file
    if not source.is_file():
        raise SynthError(f"{source}: named in {NAME}, but missing", "`synth info --rebuild` takes what is there")
    if link:
        with contextlib.suppress(OSError):  # another file system: copy instead
            os.link(source, copy)
    if not copy.exists():
        shutil.copyfile(source, copy)
    if file_digest(copy) != entry.sha256:
        raise SynthError(f"{source}: is not the file that {NAME} recorded", "`synth verify` says what is wrong")
