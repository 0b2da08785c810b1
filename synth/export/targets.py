"""Which targets there are, and one export from beginning to end: all of it or nothing."""

import importlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from synth.errors import SynthError
from synth.files import temporary
from synth.shards.manifest import open_dataset

__all__ = ["TARGETS", "Exported", "export", "target"]

TARGETS = ("bedlam", "surreal", "vibe", "spin", "coco", "webdataset", "video")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    images: int
    notes: str
    """The target's files and conventions."""
    cannot_hold: tuple[str, ...]


def target(name: str) -> ModuleType:
    """The module that writes a target: `write(shards, out, every)`, `NOTES`, `CANNOT_HOLD`.

    Raises:
        SynthError: no such target.
    """
    if name not in TARGETS:
        raise SynthError(f"no export target {name!r}", f"Known: {', '.join(TARGETS)}")
    return importlib.import_module(f"synth.export.{name}")


def export(folder: Path, out: Path, name: str, every: int = 1) -> Exported:
    """Write a folder of shards in another format, with an export.json that says what it is.

    Args:
        folder: The shards.
        out: A folder that does not exist yet, or is empty.
        name: One of `TARGETS`.
        every: Take each nth frame only.

    Raises:
        SynthError: `out` holds something, an unknown target, a damaged shard, or what the target cannot hold at all.
    """
    module, shards = target(name), open_dataset(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SynthError(f"{out}: is there already and not an empty folder", "Choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(out)
    part.mkdir()
    try:
        images = module.write(shards, part, every)
        bodies = {str(reader.attributes["body_model"]) for reader in shards}
        about = {
            "target": name,
            "images": images,
            "every": every,
            "clips": [entry.clip_id for entry in shards.entries],
            "body_models": [json.loads(body) for body in sorted(bodies)],
            "notes": module.NOTES,
            "cannot_hold": module.CANNOT_HOLD,
        }
        (part / "export.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        part.replace(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return Exported(images=images, notes=module.NOTES, cannot_hold=module.CANNOT_HOLD)
