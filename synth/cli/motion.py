"""`synth motion`: list motions, look at one, fit the body to motion capture."""

import importlib.util
import sys
from pathlib import Path

import click

from synth.config import GENDERS
from synth.errors import SynthError
from synth.motion import catalog, recordings

AMASS_HELP = "Root of an AMASS download; cmu then means its CMU part."


@click.group()
def motion() -> None:
    """List motions, look at one, fit the body to motion capture."""


@motion.command("list")
@click.argument("pattern", default="cmu")
@click.option("--amass", "amass_root", default="", help=AMASS_HELP)
@click.option("--action", "actions", multiple=True, help="Only motions described by this word; repeat for more.")
@click.option("--subject", "subjects", multiple=True, help="Only motions of this person, such as 02.")
def list_(pattern: str, amass_root: str, actions: tuple[str, ...], subjects: tuple[str, ...]) -> None:
    """List the motions that a pattern names: "cmu", "cmu:01_*", a file, a folder or a glob.

    \b
    Examples:
      synth motion list
      synth motion list 'cmu:01_*' --amass ~/amass
      synth motion list cmu --action jump
    """  # noqa: D301
    skipped: list[str] = []
    for sequence in catalog.find(pattern, amass_root, actions=actions, subjects=subjects, skipped=skipped):
        length = f"{sequence.frames:7d} frames {sequence.fps:6g} Hz {sequence.frames / sequence.fps:7.1f} s"
        usable = sum(last - first for first, last in sequence.usable) / sequence.frames
        click.echo(f"{sequence.name:24s} {length}  {usable:4.0%} usable  {sequence.action}".rstrip())
    if skipped:
        click.echo("\n".join([f"skipped {len(skipped)}:", *(f"  {line}" for line in skipped)]))


@motion.command("index")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--descriptions", type=click.Path(path_type=Path, dir_okay=False), help='Text, a line a trial: "02_01 walk".'
)
@click.option("--babel", type=click.Path(path_type=Path, dir_okay=False), help="A JSON file of BABEL.")
def index_(folder: Path, descriptions: Path | None, babel: Path | None) -> None:
    """Index the motions below a folder: person, action, length, speed, variety; then --action selects there.

    \b
    Example:
      synth motion index fitted/ --descriptions cmu-mocap-index.txt
    """  # noqa: D301
    from synth.motion import index

    entries, skipped = index.build(folder, descriptions=descriptions, babel=babel, tell=click.echo)
    seconds = sum(e.seconds for e in entries)
    click.echo(f"{folder / index.INDEX}: {len(entries)} motions, {seconds / 60:.1f} minutes, {len(skipped)} left out")


@motion.command()
@click.argument("database", type=click.Choice(["cmu"]))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder.")
@click.option("--subject", "subjects", multiple=True, help="Only of this person, such as 02; repeat for more.")
@click.option("--server", default="http://mocap.cs.cmu.edu", show_default=True, help="Where from.")
@click.option("--sums", type=click.Path(path_type=Path, dir_okay=False), help="Digests to check, as of sha256sum.")
def fetch(database: str, out: Path, subjects: tuple[str, ...], server: str, sums: Path | None) -> None:
    """Download motion capture (ASF/AMC); run it again to go on after an interruption.

    \b
    Example:
      synth motion fetch cmu --subject 02 --out ~/cmu && synth motion fit ~/cmu --out fitted/
    """  # noqa: D301
    from synth.motion.fetch import fetch as download

    good, bad = download(out, subjects, server=server, sums=sums, tell=click.echo)
    if bad:
        raise SynthError("\n".join(bad), f"{len(good)} files are there; run it again for the rest")
    click.echo(f"{out}: {len(good)} files of {database}")


@motion.command()
@click.argument("name")
@click.option("--amass", "amass_root", default="", help=AMASS_HELP)
def info(name: str, amass_root: str) -> None:
    """Say what one motion holds.

    \b
    Example:
      synth motion info cmu:01_01
    """  # noqa: D301
    from synth.motion import index

    for sequence in catalog.find(name, amass_root):
        recording = recordings.read(sequence.path, name=sequence.name)
        entry = index.entry(sequence)
        stretches = ", ".join(f"{first}-{last - 1}" for first, last in sequence.usable)
        click.echo(f"{sequence.name}\n  file     {sequence.path}\n  sha256   {sequence.sha256}")
        click.echo(f"  frames   {sequence.frames} at {sequence.fps:g} Hz, {sequence.frames / sequence.fps:.1f} s")
        click.echo(f"  usable   {stretches}\n  person   {recording.gender}, body {recording.model}")
        click.echo(f"  betas    {' '.join(f'{b:.2f}' for b in recording.betas)}")
        click.echo(f"  action   {entry.action or 'not known'}\n  speed    {entry.speed:.2f} m/s")
        click.echo(
            f"  turning  {entry.activity:.2f} rad/s\n  contact  a foot rests in {entry.contact:.0%} of the frames"
        )
        click.echo(f"  covers   {entry.poses} poses at least 1 rad apart")


@motion.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for AMASS npz.")
@click.option("--gender", type=click.Choice(GENDERS), default="neutral", show_default=True, help="Of the person.")
@click.option("--body", default="free", show_default=True, help='"free", or a file or folder of SMPL models.')
@click.option(
    "--asf", type=click.Path(path_type=Path, dir_okay=False), help="Skeleton of AMC files.  [default: beside]"
)
@click.option("--fps", type=click.FloatRange(1, 1000), default=120.0, show_default=True, help="Rate of AMC files [Hz].")
@click.option("--unit", type=click.FloatRange(1e-6, 1e3), help="Metres in a BVH file's unit.  [default: by the legs]")
@click.option("--iterations", type=click.IntRange(25, 10_000), default=150, show_default=True, help="Of L-BFGS.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--batch", type=click.IntRange(1, 1024), help="Trials of a person solved together.  [default: 1; cuda: 16]"
)
@click.option(
    "--held-out/--no-held-out",
    default=True,
    show_default=True,
    help="Measure the error at markers that a fit does not see (C3D).",
)
@click.option("--again", is_flag=True, help="Fit what is there already, too.")
def fit(
    inputs: tuple[Path, ...],
    out: Path,
    gender: str,
    body: str,
    asf: Path | None,
    fps: float,
    unit: float | None,
    iterations: int,
    device: str,
    batch: int | None,
    held_out: bool,
    again: bool,
) -> None:
    """Fit the body to motion capture (AMC with its ASF, BVH, C3D) and write AMASS npz files.

    Folders are searched with all below. Files of one person (02 of 02_01) get one shape. What is there already is
    kept, so that the same command goes on after an interruption; what cannot be read is set aside and listed at the
    end. report.json says of each sequence how far captured points are off, what the error at held-out markers is, how
    fast resting feet slide, how far they are from the floor and how deep the deepest is in it. Frames in which the
    person climbs or hangs on something are noted in usable.toml; the sampler leaves them out.

    \b
    Examples:
      synth motion fit 02_01.amc 02_03.amc --out fitted/ --gender male
      synth motion fit ~/cmu/subjects --out fitted/
      synth motion fit 01_01.c3d --out fitted/
      synth motion fit ~/cmu/subjects --out fitted/ --device cuda --batch 32
      synth render --sequences fitted/
    """  # noqa: D301
    from synth.body.model import load_named
    from synth.motion.intake import gather, told

    if importlib.util.find_spec("torch") is None:
        raise SynthError("synth motion fit needs torch", "pip install 'raiment[train]'")
    import torch

    from synth.motion.fitjob import Options, fit_trials

    if device == "cuda" and not torch.cuda.is_available():
        raise SynthError("--device cuda: torch finds no CUDA device here", "Fit with --device cpu")
    model, found = load_named(body, gender), gather(inputs, out)
    options = Options(
        asf=asf,
        fps=fps,
        unit=unit,
        iterations=iterations,
        device=device,
        again=again,
        held_out=held_out,
        batch=batch or (16 if device == "cuda" else 1),
    )
    skipped, people = list(found.skipped), found.people()
    whole = len(found.trials) + len(skipped)
    with click.progressbar(
        length=len(found.trials), label="trials", show_pos=True, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        for trials in people:
            skipped += fit_trials(trials, model, options, click.echo, bar.update)
    if not whole:
        raise SynthError(f"{', '.join(map(str, inputs))}: no motion capture there", "Give .amc, .bvh or .c3d files")
    if len(skipped) == whole:
        raise SynthError(told(skipped, whole), "None of the files could be fitted")
    if skipped:
        click.echo(told(skipped, whole))


@motion.command()
@click.argument("patterns", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write (.npz).")
def prior(patterns: tuple[str, ...], out: Path) -> None:
    """Learn the prior of poses that fits to markers use.

    \b
    Example:
      synth motion prior fitted/ cmu:01_03 --out pose_prior.npz
    """  # noqa: D301
    from synth.motion import prior as priors

    sequences = [sequence for pattern in patterns for sequence in catalog.find(pattern)]
    priors.save(out, priors.learn(recordings.read(sequence.path).motion.body_pose for sequence in sequences))
    click.echo(f"{out}: learned from {len(sequences)} motions")
