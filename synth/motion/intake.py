"""Motion capture files on their way to a fit: finding them, whose they are, reading them; bad ones are set aside."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synth.errors import SynthError
from synth.motion import asfamc, bvh, c3d
from synth.motion.c3d import MarkerMotion
from synth.motion.skeleton import SkeletonMotion

KINDS = (".c3d", ".amc", ".bvh")
"""What can be fitted; of one trial in several kinds the first is taken, markers being what was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that was set aside."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A file to fit and where the result goes."""

    path: Path
    out: Path
    person: str
    """Trials of one person share a shape: CMU's "02" of 02_01."""


@dataclass(slots=True, kw_only=True)
class Intake:
    """What was found."""

    trials: list[Trial] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def people(self) -> list[list[Trial]]:
        """The trials, by person, folder and kind of file."""
        groups: dict[tuple[str, str, str], list[Trial]] = {}
        for trial in self.trials:
            key = (trial.out.parent.as_posix(), trial.person, trial.path.suffix.lower())
            groups.setdefault(key, []).append(trial)
        return list(groups.values())


def gather(inputs: Iterable[Path], out: Path) -> Intake:
    """Find what can be fitted among files and folders.

    Args:
        inputs: Files, and folders that are searched with all below.
        out: Folder of the results, laid out as the folders were.

    Returns:
        Trials in the order of their names; a file of another kind that was named itself is set aside, one met in a
        folder is not mentioned.
    """
    found, taken = Intake(), dict[Path, Path]()
    listed: list[tuple[Path, Path]] = []
    for path in inputs:
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.suffix.lower() in KINDS and p.is_file())
            listed += [(p, out / p.relative_to(path).with_suffix(".npz")) for p in below]
        elif path.suffix.lower() in KINDS:
            listed.append((path, out / f"{path.stem}.npz"))
        else:
            reason = "not a kind of motion capture that can be fitted. Give .amc, .bvh or .c3d files"
            found.skipped.append(Skipped(path=path, reason=reason))
    for path, target in sorted(listed, key=lambda pair: (KINDS.index(pair[0].suffix.lower()), pair[0])):
        if target in taken:
            found.skipped.append(Skipped(path=path, reason=f"the same trial as {taken[target].name}"))
            continue
        taken[target] = path
        found.trials.append(Trial(path=path, out=target, person=path.stem.partition("_")[0]))
    return found


def read(
    path: Path, *, asf: Path | None = None, fps: float = asfamc.CMU_FPS, unit: float | None = None
) -> SkeletonMotion | MarkerMotion:
    """Read a file of any kind that can be fitted.

    Args:
        path: .amc, .bvh or .c3d.
        asf: Skeleton of an AMC file; None looks beside it.
        fps: Rate of an AMC file [Hz].
        unit: Metres in a BVH file's unit; None finds it.

    Raises:
        SynthError: it cannot be read; names the file.
    """
    match path.suffix.lower():
        case ".c3d":
            return c3d.read(path)
        case ".bvh":
            return bvh.without_rest_frame(bvh.read(path, unit))
        case ".amc":
            return asfamc.read(asf or skeleton_beside(path), path, fps)
    raise SynthError(f"{path}: not a kind of motion capture that can be fitted", "Give .amc, .bvh or .c3d files")


def skeleton_beside(path: Path) -> Path:
    """CMU keeps subject 02's skeleton as 02.asf beside 02_01.amc."""
    named = path.with_name(f"{path.stem.partition('_')[0]}.asf")
    others = sorted(path.parent.glob("*.asf"))
    if named in others or len(others) == 1:
        return named if named in others else others[0]
    raise SynthError(f"{path}: no skeleton beside it ({named.name})", "Give it with --asf")


def told(skipped: Sequence[Skipped], whole: int) -> str:
    """The list of what was set aside."""
    lines = [f"  {item.path}: {item.reason}" for item in skipped]
    return "\n".join([f"skipped {len(skipped)} of {whole}:", *lines])
