"""Which motions there are: those that come with the project, an AMASS download, a file, a folder, a glob."""

import fnmatch
import hashlib
import logging
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from synth.assets import asset, asset_root
from synth.errors import SynthError
from synth.motion import amass
from synth.spec import FileRef

log = logging.getLogger(__name__)

EMBEDDED = "motions/cmu"
USABLE = "usable.toml"
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

    @property
    def sha256(self) -> str:
        """Digest of the file; it is read when this is asked for first."""
        stat = self.path.stat()
        return _digest(self.path, stat.st_size, stat.st_mtime_ns)

    @property
    def ref(self) -> FileRef:
        """What a spec keeps."""
        return FileRef(path=self.reference, sha256=self.sha256)


def find(pattern: str, amass_root: str | Path = "") -> list[Sequence]:
    """Find motions.

    Args:
        pattern: "cmu"; "cmu:01_*" or "cmu/01_*" (a glob over names); an npz file; a folder and all below; a glob.
        amass_root: Folder of an AMASS download. If given, "cmu" means its CMU part, else the embedded clips.

    Returns:
        Sequences in the order of their names.

    Raises:
        SynthError: nothing fits, or a file is not an AMASS motion.
    """
    if pattern == "cmu" or (pattern.startswith(("cmu:", "cmu/")) and not Path(pattern).exists()):
        return _cmu(pattern[4:] or "*", amass_root)
    path = Path(pattern).expanduser()
    if path.suffix.lower() in MOCAP:
        raise SynthError(
            f"{pattern}: raw motion capture", f"Fit the body to it first: synth motion fit {pattern} --out DIR"
        )
    if path.is_file():
        return [_sequence(path, path.stem, str(path.resolve()), {})]
    if path.is_dir():
        found = _in_folder(path)
    else:
        below = path.relative_to(path.anchor).as_posix() if path.name else "."
        found = sorted(match for match in Path(path.anchor).glob(below) if _is_motion(match))
    if not found:
        what = "no motion (*.npz) in this folder" if path.is_dir() else "no such motion, file, folder or glob"
        raise SynthError(f"sequences {pattern!r}: {what}", f"There is: cmu; {_listed(_cmu('*', amass_root))}")
    names = [match.relative_to(path.parent) if path.is_dir() else match for match in found]
    usable = {folder: _usable(folder) for folder in {match.parent for match in found}}
    return [
        _sequence(match, _SUFFIX.sub("", name.with_suffix("").as_posix()), str(match.resolve()), usable[match.parent])
        for match, name in zip(found, names, strict=True)
    ]


def resolve(reference: FileRef) -> Path:
    """Path of a file that a spec names, once its content is found to be what it was.

    Raises:
        SynthError: the file is missing or has changed.
    """
    name = reference.path.removeprefix("asset:")
    path = asset(name) if name != reference.path else Path(name)
    if not path.is_file():
        raise SynthError(f"{path}: the motion is missing", "Plan again, or put the file back")
    stat = path.stat()
    if _digest(path, stat.st_size, stat.st_mtime_ns) != reference.sha256:
        raise SynthError(f"{path}: the motion has changed since the plan was made", "Plan again")
    return path


def _cmu(names: str, amass_root: str | Path) -> list[Sequence]:
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
    usable = _usable(folder)
    return [
        _sequence(file, f"cmu/{stems[file]}", prefix + file.name if prefix else str(file.resolve()), usable)
        for file in chosen
    ]


def _cmu_folder(root: Path) -> Path:
    for folder in (root / "CMU", root / "cmu", root):
        if folder.is_dir() and _in_folder(folder):
            return folder
    raise SynthError(f"{root}: no CMU motions below it", "Give --amass the folder that holds AMASS's CMU folder")


def _in_folder(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.npz") if _is_motion(path))


def _is_motion(path: Path) -> bool:
    """AMASS puts each subject's shape beside the motions."""
    return path.suffix == ".npz" and path.stem != "shape" and not path.stem.endswith(("_shape", "_stagei"))


def _sequence(path: Path, name: str, reference: str, usable: dict[str, tuple[tuple[int, int], ...]]) -> Sequence:
    head = amass.header(path)
    stretches = usable.get(path.stem, ((0, head.frames),))
    if any(not 0 <= first < last <= head.frames for first, last in stretches):
        raise SynthError(f"{path.parent / USABLE}: {path.stem}: a stretch outside its {head.frames} frames")
    return Sequence(name=name, path=path, reference=reference, fps=head.fps, frames=head.frames, usable=stretches)


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
