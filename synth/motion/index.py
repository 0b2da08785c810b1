"""An index (SQLite) of a folder of motions: who, what, how long, how fast, how much on the floor, how varied."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import get_type_hints

import numpy as np

from synth.errors import SynthError
from synth.files import replacing, write_text
from synth.geometry.rotations import canonical_rotvec
from synth.motion import catalog, recordings
from synth.motion.clips import free_body
from synth.motion.mining import coverage
from synth.motion.quality import resting_feet

INDEX = "index.sqlite"
EVERY = 0.1
"""Poses are compared at this interval [s]."""
MAX_FILE = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One motion."""

    name: str
    path: str
    subject: str
    action: str
    seconds: float
    fps: float
    frames: int
    speed: float
    """Mean horizontal speed of the root [m/s]."""
    activity: float
    """Mean speed of the body's rotations, norm over joints [rad/s]."""
    usable: float
    """Share of the frames that the floor explains."""
    contact: float
    """Share of the frames in which a foot rests on the floor."""
    poses: int
    """How much of pose space it covers: poses at least 1 rad apart."""


def entry(sequence: catalog.Sequence) -> Entry:
    """Measure one motion.

    Raises:
        SynthError: the file cannot be read.
    """
    recording = recordings.read(sequence.path, name=sequence.name)
    motion = recording.motion
    body = free_body(recording.gender)
    betas = np.zeros(body.shapedirs.shape[2])
    if recording.model == "free":
        known = min(len(betas), len(recording.betas))
        betas[:known] = recording.betas[:known]
    step = max(1, round(EVERY * motion.fps))
    poses = canonical_rotvec(motion.body_pose[::step])
    seconds = max(len(motion) - 1, 1) / motion.fps
    path = np.linalg.norm(np.diff(motion.transl[::step, :2], axis=0), axis=1).sum()
    turned = np.linalg.norm(np.diff(poses, axis=0).reshape(len(poses) - 1, -1), axis=1).sum()
    return Entry(
        name=sequence.name,
        path=str(sequence.path),
        subject=sequence.subject,
        action=sequence.action,
        seconds=round(len(motion) / motion.fps, 3),
        fps=motion.fps,
        frames=len(motion),
        speed=round(float(path / seconds), 4),
        activity=round(float(turned / seconds), 4),
        usable=round(sum(last - first for first, last in sequence.usable) / sequence.frames, 4),
        contact=round(float(resting_feet(motion, body, betas).any(axis=1).mean()), 4),
        poses=coverage(poses),
    )


def build(
    folder: Path, *, descriptions: Path | None = None, babel: Path | None = None, tell: Callable[[str], None] = print
) -> tuple[list[Entry], list[str]]:
    """Index all motions below a folder; files that cannot be read are left out.

    Args:
        folder: Of AMASS npz files; gets `index.sqlite`, and each folder in it an `actions.tsv` that selection by
            action reads.
        descriptions: Text with a trial and its description on each line, "02_01 walk" (blank or tab between).
        babel: BABEL's JSON (Punnakkal et al. 2021), whose labels are taken where there is no description.
        tell: Takes a line about each file that is left out.

    Returns:
        The entries, and a line about each file left out.

    Raises:
        SynthError: there is no motion, or a list of descriptions cannot be read.
    """
    words = _babel(babel) if babel else {}
    words |= _descriptions(descriptions) if descriptions else {}
    skipped: list[str] = []
    if words:
        _note_actions(catalog.find(str(folder), skipped=[]), words)
    entries = []
    for sequence in catalog.find(str(folder), skipped=skipped):
        try:
            entries.append(entry(sequence))
        except SynthError as error:
            skipped.append(str(error))
    for line in skipped:
        tell(f"left out: {line}")
    _write(folder / INDEX, entries)
    return entries, skipped


def read(path: Path, *, action: str = "", subject: str = "") -> list[Entry]:
    """Read an index, or the part of it about an action and a person.

    Raises:
        SynthError: the file is missing or no index.
    """
    if not path.is_file():
        raise SynthError(f"{path}: no index", f"Make it: synth motion index {path.parent}")
    names = ", ".join(field.name for field in fields(Entry))
    query = f"SELECT {names} FROM motions WHERE action LIKE ? AND (? = '' OR subject = ?) ORDER BY name"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            rows = connection.execute(query, (f"%{action}%", subject, subject)).fetchall()
    except sqlite3.Error as error:
        raise SynthError(f"{path}: not an index of motions ({error})", "Make it anew") from None
    return [Entry(**dict(zip((field.name for field in fields(Entry)), row, strict=True))) for row in rows]


def _write(path: Path, entries: list[Entry]) -> None:
    kinds = {str: "TEXT", int: "INTEGER", float: "REAL"}
    columns = ", ".join(f"{name} {kinds[kind]}" for name, kind in get_type_hints(Entry).items())
    with replacing(path) as part, closing(sqlite3.connect(part)) as connection, connection:
        connection.execute(f"CREATE TABLE motions ({columns})")
        marks = ", ".join("?" * len(fields(Entry)))
        connection.executemany(f"INSERT INTO motions VALUES ({marks})", [astuple(e) for e in entries])


def _note_actions(sequences: list[catalog.Sequence], words: dict[str, str]) -> None:
    """Write `actions.tsv` beside the motions, keeping what stands there already."""
    for folder in sorted({sequence.path.parent for sequence in sequences}):
        known = catalog.descriptions(folder)
        for sequence in sequences:
            stem = sequence.path.stem.removesuffix("_poses").removesuffix("_stageii")
            if sequence.path.parent == folder and stem in words:
                known[stem] = words[stem]
        lines = [f"{stem}\t{text}\n" for stem, text in sorted(known.items())]
        write_text(folder / catalog.ACTIONS, "".join(lines))


def _descriptions(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}", "Give a text file: 02_01 walk") from None
    parts = [line.split(maxsplit=1) for line in lines]
    return {p[0]: " ".join(p[1].split()) for p in parts if len(p) == 2 and "_" in p[0]}


def _babel(path: Path) -> dict[str, str]:
    """Labels of each file, by its stem without "_poses"."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        found = {}
        for item in table.values():
            stem = Path(item["feat_p"]).stem.removesuffix("_poses").removesuffix("_stageii")
            parts = [item.get("frame_ann") or {}, item.get("seq_ann") or {}]
            labels = [label.get("proc_label") or "" for part in parts for label in part.get("labels") or []]
            found[stem] = ", ".join(dict.fromkeys(label for label in labels if label))
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SynthError(f"{path}: not a file of BABEL ({error!r})", "Give train.json or val.json") from None
