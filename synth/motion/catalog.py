"""Which motions there are: those that come with the project, an AMASS download, a file, a folder, a glob."""

import fnmatch
import hashlib
import logging
import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from synth.assets import asset_root
from synth.errors import SynthError
from synth.motion import recordings
from synth.spec import FileRef

log = logging.getLogger(__name__)

EMBEDDED = "motions/cmu"
USABLE = "usable.toml"
ACTIONS = "actions.tsv"
MOCAP = (".amc", ".asf", ".bvh", ".c3d")
_SUFFIX = re.compile(r"(_poses|_stageii)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A recorded motion on disk."""

    name: str
    """Such as "cmu/01_01"."""
    path: Path
    reference: str
    """How a spec names the file: "asset:..." or an absolute path."""
    fps: float
    frames: int
    usable: tuple[tuple[int, int], ...]
    """Stretches [first, last + 1) that may be sampled."""
    action: str = ""
    """What the person does, in the words of the database; empty if that is not known."""

    @property
    def subject(self) -> str:
        """Who was captured: "02" of "cmu/02_01", else the folder."""
        folder, _, stem = self.name.rpartition("/")
        person, _, trial = stem.partition("_")
        return person if trial[:1].isdigit() else folder.rpartition("/")[2] or stem

    @property
    def sha256(self) -> str:
        """Digest of the file; it is read when this is asked for first."""
        stat = self.path.stat()
        return _digest(self.path, stat.st_size, stat.st_mtime_ns)

    @property
    def ref(self) -> FileRef:
        """What a spec keeps."""
        return FileRef(path=self.reference, sha256=self.sha256)


def find(
    pattern: str,
    amass_root: str | Path = "",
    *,
    actions: Collection[str] = (),
    subjects: Collection[str] = (),
    skipped: list[str] | None = None,
) -> list[Sequence]:
    """Find motions.

    In folders and globs a file that cannot be read is left out with a warning; a file that is named must be good.

    Args:
        pattern: "cmu"; "cmu:01_*" or "cmu/01_*" (a glob over names); an npz file; a folder and all below; a glob.
        amass_root: Folder of an AMASS download. If given, "cmu" means its CMU part, else the embedded clips.
        actions: Keep sequences whose description holds one of these words, in any case; empty: all.
        subjects: Keep sequences of these people; empty: all.
        skipped: Takes a line about each file that was left out; None warns of each.

    Returns:
        Sequences in the order of their names.

    Raises:
        SynthError: nothing fits, or a file is not an AMASS motion.
    """
    lost: list[str] = [] if skipped is None else skipped
    found = _named(pattern, amass_root, lost)
    for line in lost if skipped is None else []:
        log.warning("left out: %s", line)
    kept = [
        s
        for s in found
        if (not subjects or s.subject in subjects)
        and (not actions or any(word.lower() in s.action.lower() for word in actions))
    ]
    if not kept:
        known = sorted({s.action for s in found if s.action})[:12]
        raise SynthError(
            f"sequences {pattern!r}: none of the {len(found)} is of {', '.join([*subjects, *actions])}",
            f"There is: {', '.join(sorted({s.subject for s in found})[:12])}; "
            + ("; ".join(known) or "no descriptions (synth motion index makes them known)"),
        )
    return kept


def _named(pattern: str, amass_root: str | Path, lost: list[str]) -> list[Sequence]:
    """The motions that a pattern names."""
    if pattern == "cmu" or (pattern.startswith(("cmu:", "cmu/")) and not Path(pattern).exists()):
        return _cmu(pattern[4:] or "*", amass_root, lost)
    path = Path(pattern).expanduser()
    if path.suffix.lower() in MOCAP:
        raise SynthError(
            f"{pattern}: raw motion capture", f"Fit the body to it first: synth motion fit {pattern} --out DIR"
        )
    if path.is_file():
        action = descriptions(path.parent).get(_SUFFIX.sub("", path.stem), "")
        return [_sequence(path, path.stem, str(path.resolve()), {}, recordings.header(path), action)]
    if path.is_dir():
        found = _in_folder(path)
    else:
        below = path.relative_to(path.anchor).as_posix() if path.name else "."
        found = sorted(match for match in Path(path.anchor).glob(below) if _is_motion(match))
    if not found:
        what = "no motion (*.npz) in this folder" if path.is_dir() else "no such motion, file, folder or glob"
        raise SynthError(f"sequences {pattern!r}: {what}", f"There is: cmu; {_listed(_cmu('*', amass_root, []))}")
    names = [match.relative_to(path.parent) if path.is_dir() else match for match in found]
    listed = [
        (match, _SUFFIX.sub("", name.with_suffix("").as_posix()), str(match.resolve()))
        for match, name in zip(found, names, strict=True)
    ]
    return _readable(listed, lost)


def _readable(listed: list[tuple[Path, str, str]], lost: list[str]) -> list[Sequence]:
    """Sequences of files given by path, name and reference; those that cannot be read are noted.

    Raises:
        SynthError: none can be read, or a folder's `usable.toml` is wrong.
    """
    folders = {path.parent for path, _, _ in listed}
    usable = {folder: _usable(folder) for folder in folders}
    actions = {folder: descriptions(folder) for folder in folders}
    good: list[Sequence] = []
    for path, name, reference in listed:
        stem = _SUFFIX.sub("", path.stem)
        try:
            head = recordings.header(path)
        except SynthError as error:
            lost.append(str(error))
            continue
        good.append(_sequence(path, name, reference, usable[path.parent], head, actions[path.parent].get(stem, "")))
    if not good:
        raise SynthError(lost[-1], "None of the files can be read")
    return good


def descriptions(folder: Path) -> dict[str, str]:
    """What is done in each trial, by file stem: `actions.tsv` in the folder (stem, tab, words), one a line."""
    path = folder / ACTIONS
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {stem: words.strip() for stem, tab, words in (line.partition("\t") for line in lines) if tab}


def _cmu(names: str, amass_root: str | Path, lost: list[str]) -> list[Sequence]:
    if amass_root:
        folder = _cmu_folder(Path(amass_root).expanduser())
        files, prefix = _in_folder(folder), ""
        log.info("cmu: the %d sequences of AMASS in %s", len(files), folder)
    else:
        folder = asset_root() / EMBEDDED
        files, prefix = _in_folder(folder), f"asset:{EMBEDDED}/"
        log.info("cmu: the %d sequences that come with the project", len(files))
    stems = {file: _SUFFIX.sub("", file.stem) for file in files}
    chosen = [file for file in files if fnmatch.fnmatchcase(stems[file], names)]
    if not chosen:
        listed = ", ".join(list(stems.values())[:12]) + (", ..." if len(stems) > 12 else "")
        raise SynthError(f"sequences 'cmu:{names}': none of that name in {folder}", f"There is: {listed or 'nothing'}")
    listed = [(file, f"cmu/{stems[file]}", prefix + file.name if prefix else str(file.resolve())) for file in chosen]
    return _readable(listed, lost)


def _cmu_folder(root: Path) -> Path:
    for folder in (root / "CMU", root / "cmu", root):
        if folder.is_dir() and _in_folder(folder):
            return folder
    raise SynthError(f"{root}: no CMU motions below it", "Give --amass the folder that holds AMASS's CMU folder")


def _in_folder(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_motion(path))


def _is_motion(path: Path) -> bool:
    """AMASS puts each subject's shape beside the motions."""
    return path.suffix in recordings.KINDS and path.stem != "shape" and not path.stem.endswith(("_shape", "_stagei"))


def _sequence(
    path: Path,
    name: str,
    reference: str,
    usable: dict[str, tuple[tuple[int, int], ...]],
    head: recordings.Header,
    action: str = "",
) -> Sequence:
    stretches = usable.get(path.stem, ((0, head.frames),))
    if any(not 0 <= first < last <= head.frames for first, last in stretches):
        raise SynthError(f"{path.parent / USABLE}: {path.stem}: a stretch outside its {head.frames} frames")
    return Sequence(
        name=name, path=path, reference=reference, fps=head.fps, frames=head.frames, usable=stretches, action=action
    )


def _usable(folder: Path) -> dict[str, tuple[tuple[int, int], ...]]:
    """Stretches by file stem, from `usable.toml` in the folder; files it does not name are usable throughout."""
    path = folder / USABLE
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return {stem: tuple((int(a), int(b)) for a, b in entry["stretches"]) for stem, entry in table.items()}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        wanted = '["01_03"] with stretches = [[first, last + 1], ...]'
        raise SynthError(f"{path}: not a list of usable stretches ({error})", f"Expected {wanted}") from None


@lru_cache(maxsize=65536)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listed(sequences: list[Sequence]) -> str:
    return ", ".join(s.name for s in sequences[:12]) + (", ..." if len(sequences) > 12 else "")
