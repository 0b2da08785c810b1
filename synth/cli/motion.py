"""`synth motion`: list motions, look at one, fit the body to motion capture."""

import importlib.util
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from synth.config import GENDERS
from synth.errors import SynthError
from synth.motion import amass, catalog

if TYPE_CHECKING:
    from synth.motion.mosh import Fit
    from synth.motion.skeleton import SkeletonMotion

AMASS_HELP = "Root of an AMASS download; cmu then means its CMU part."


@click.group()
def motion() -> None:
    """List motions, look at one, fit the body to motion capture."""


@motion.command("list")
@click.argument("pattern", default="cmu")
@click.option("--amass", "amass_root", default="", help=AMASS_HELP)
def list_(pattern: str, amass_root: str) -> None:
    r"""List the motions that a pattern names: "cmu", "cmu:01_*", a file, a folder or a glob.

    \b
    Examples:
      synth motion list
      synth motion list 'cmu:01_*' --amass ~/amass
    """
    for sequence in catalog.find(pattern, amass_root):
        length = f"{sequence.frames:7d} frames {sequence.fps:6g} Hz {sequence.frames / sequence.fps:7.1f} s"
        usable = sum(last - first for first, last in sequence.usable) / sequence.frames
        click.echo(f"{sequence.name:24s} {length}  {usable:4.0%} usable")


@motion.command()
@click.argument("name")
@click.option("--amass", "amass_root", default="", help=AMASS_HELP)
def info(name: str, amass_root: str) -> None:
    r"""Say what one motion holds.

    \b
    Example:
      synth motion info cmu:01_01
    """
    for sequence in catalog.find(name, amass_root):
        recording = amass.read(sequence.path, name=sequence.name)
        path = recording.motion.transl
        travelled = float(np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1).sum())
        stretches = ", ".join(f"{first}-{last - 1}" for first, last in sequence.usable)
        click.echo(f"{sequence.name}\n  file     {sequence.path}\n  sha256   {sequence.sha256}")
        click.echo(f"  frames   {sequence.frames} at {sequence.fps:g} Hz, {sequence.frames / sequence.fps:.1f} s")
        click.echo(f"  usable   {stretches}\n  person   {recording.gender}, body {recording.model}")
        click.echo(f"  betas    {' '.join(f'{b:.2f}' for b in recording.betas)}\n  path     {travelled:.1f} m")


@motion.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for AMASS npz.")
@click.option("--gender", type=click.Choice(GENDERS), default="neutral", show_default=True, help="Of the person.")
@click.option("--body", default="free", show_default=True, help='"free", or a file or folder of SMPL models.')
@click.option(
    "--asf", type=click.Path(path_type=Path, dir_okay=False), help="Skeleton of AMC files.  [default: beside]"
)
@click.option("--fps", type=click.FloatRange(1, 1000), default=120.0, show_default=True, help="Rate of AMC files [Hz].")
@click.option("--unit", type=click.FloatRange(1e-6, 1e3), help="Metres in a BVH file's unit.  [default: by the legs]")
@click.option("--iterations", type=click.IntRange(25, 10_000), default=300, show_default=True, help="Of L-BFGS.")
def fit(
    inputs: tuple[Path, ...],
    out: Path,
    gender: str,
    body: str,
    asf: Path | None,
    fps: float,
    unit: float | None,
    iterations: int,
) -> None:
    r"""Fit the body to CMU motion capture (AMC with its ASF, or BVH) and write AMASS npz files.

    Frames in which the person climbs or hangs on something are noted in usable.toml; the sampler leaves them out.

    \b
    Examples:
      synth motion fit 02_01.amc 02_03.amc --out fitted/ --gender male
      synth render --sequences fitted/
    """
    from synth.body.model import load_named

    if importlib.util.find_spec("torch") is None:
        raise SynthError("synth motion fit needs torch", "pip install 'raiment[train]'")
    from synth.motion.contact import grounded
    from synth.motion.mosh import FitSettings
    from synth.motion.mosh import fit as fit_body

    model = load_named(body, gender)
    for path in inputs:
        captured = _captured(path, asf, fps, unit)
        begun = time.perf_counter()
        result = fit_body(captured, model, FitSettings(iterations=iterations))
        spent = (time.perf_counter() - begun) / len(captured) * 1e3
        target = out / f"{path.stem}.npz"
        amass.write(target, result.motion, result.betas, gender, model=model.name, source=path.name)
        stretches = grounded(result.lowest, result.motion.fps)
        _note_usable(out / catalog.USABLE, path.stem, stretches)
        click.echo(f"{target}: {_summary(result, stretches)}, {spent:.1f} ms a frame")


def _captured(path: Path, asf: Path | None, fps: float, unit: float | None) -> "SkeletonMotion":
    from synth.motion import asfamc, bvh

    if path.suffix.lower() == ".bvh":
        return bvh.without_rest_frame(bvh.read(path, unit))
    if path.suffix.lower() == ".amc":
        return asfamc.read(asf or _skeleton_beside(path), path, fps)
    raise SynthError(f"{path}: not a kind of motion capture that can be fitted", "Give .amc or .bvh files")


def _skeleton_beside(path: Path) -> Path:
    """CMU keeps subject 02's skeleton as 02.asf beside 02_01.amc."""
    named = path.with_name(f"{path.stem.partition('_')[0]}.asf")
    others = sorted(path.parent.glob("*.asf"))
    if named in others or len(others) == 1:
        return named if named in others else others[0]
    raise SynthError(f"{path}: no skeleton beside it ({named.name})", "Give it with --asf")


def _note_usable(path: Path, stem: str, stretches: list[tuple[int, int]]) -> None:
    """Set the entry of one motion in usable.toml."""
    from synth.files import write_text

    table = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    table[stem] = {"stretches": [list(stretch) for stretch in stretches]}
    lines = [f'["{name}"]\nstretches = {entry["stretches"]}\n' for name, entry in sorted(table.items())]
    write_text(
        path, "# Stretches [first, last + 1) that the floor explains: no climbing, no hanging.\n" + "".join(lines)
    )


def _summary(result: "Fit", stretches: list[tuple[int, int]]) -> str:
    frames = len(result.motion)
    resting = np.abs(result.lowest[result.resting > 0])
    foot = f"resting feet {1e3 * resting.mean():.1f} mm off the floor" if len(resting) else "no resting feet"
    usable = sum(last - first for first, last in stretches) / frames
    return f"{frames} frames, joints {1e3 * result.residual.mean():.1f} mm off, {foot}, {usable:.0%} usable"
