"""`synth render` and `synth plan`: from motion to verified shards on this machine."""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from synth.config import DEVICES, GENDERS, SOLVERS, Config, load_config
from synth.errors import SynthError

# flag, dotted name of the setting, click arguments
SETTINGS: list[tuple[str, str, dict[str, Any]]] = [
    ("--sequences", "motion.sequences", {"help": '"cmu", "cmu:01_*", a file, a folder or a glob.  [default: cmu]'}),
    ("--amass", "motion.amass", {"help": "Root of an AMASS download; cmu then means its CMU part."}),
    ("--action", "motion.actions", {"multiple": True, "help": "Only motions described by this word; repeat for more."}),
    ("--subject", "motion.subjects", {"multiple": True, "help": "Only motions of this person, such as 02; repeat."}),
    ("--clips", "motion.clips", {"type": int, "help": "How many clips to make.  [default: 4]"}),
    (
        "--interpolated-share",
        "motion.interpolated_share",
        {"type": float, "help": "Share of clips between contrasting poses, 0-1.  [default: 0.5]"},
    ),
    ("--frames", "motion.frames", {"type": int, "help": "Frames of a clip.  [default: 30]"}),
    ("--fps", "motion.fps", {"type": float, "help": "Frame rate [Hz].  [default: 30]"}),
    (
        "--interpolation",
        "motion.interpolation",
        {"type": click.Choice(["axis-angle", "slerp"]), "help": "Between two poses.  [default: axis-angle]"},
    ),
    (
        "--pairs",
        "motion.pairs",
        {
            "type": click.Choice(["drawn", "mined"]),
            "help": "Poses that are joined: of two sequences drawn at random, or the most contrasting of all, no two "
            "pairs alike.  [default: drawn]",
        },
    ),
    (
        "--mirror-share",
        "motion.mirror_share",
        {"type": float, "help": "Share of clips that are mirrored.  [default: 0]"},
    ),
    (
        "--speed",
        "motion.speed",
        {"type": (float, float), "help": "Slowest and fastest, such as 0.8 1.25.  [default: 1 1]"},
    ),
    ("--yaw", "motion.yaw", {"type": float, "help": "Largest turn about the vertical [rad].  [default: 0]"}),
    ("--hands", "motion.hands", {"type": float, "help": "Farthest that a hand is closed [rad].  [default: 0]"}),
    ("--body", "body.model", {"help": 'Body: "free", or a file or folder of SMPL models.  [default: free]'}),
    (
        "--gender",
        "body.genders",
        {"multiple": True, "type": click.Choice(GENDERS), "help": "Repeat for several.  [default: all three in turn]"},
    ),
    ("--betas-std", "body.betas_std", {"type": float, "help": "Spread of body shapes; 0: the mean.  [default: 1]"}),
    ("--betas", "body.betas_file", {"help": "File with one row of betas a clip, instead of sampling."}),
    (
        "--garment",
        "cloth.garments",
        {"multiple": True, "help": 'Allow this garment; repeat; "none": bare.  [default: all]'},
    ),
    (
        "--solver",
        "cloth.solver",
        {
            "type": click.Choice(SOLVERS),
            "help": "Blender's cloth or soft-body solver; auto: what was measured to suit each garment, and the other "
            "if the quality gate refuses it; skinned: nothing is simulated.  [default: cloth]",
        },
    ),
    ("--quality", "cloth.quality", {"type": int, "help": "Solver's sub-steps per 1/30 s at 4 m/s.  [default: 10]"}),
    (
        "--retries",
        "cloth.retries",
        {"type": int, "help": "Further tries, each with twice the sub-steps, before a clip is rejected.  [default: 1]"},
    ),
    ("--hair", "cloth.hair", {"type": float, "help": "Share of the people with a mesh of hair, 0-1.  [default: 0.75]"}),
    ("--shoes", "cloth.shoes", {"type": float, "help": "Share of the people with shoes, 0-1.  [default: 0.8]"}),
    ("--views", "scene.views", {"type": int, "help": "Cameras, evenly around the person.  [default: 4]"}),
    ("--width", "scene.width", {"type": int, "help": "[px]  [default: 250]"}),
    ("--height", "scene.height", {"type": int, "help": "[px]  [default: 250]"}),
    ("--hdris", "scene.hdris", {"help": "Folder of spherical pictures.  [default: Blender's own]"}),
    ("--backgrounds", "scene.backgrounds", {"help": "Folder of 2D backgrounds.  [default: generated]"}),
    ("--textures", "scene.textures", {"help": "Folder of cloth textures.  [default: procedural]"}),
    ("--skins", "scene.skins", {"help": "Folder of skin textures in the body's UVs.  [default: procedural]"}),
    ("--samples", "render.samples", {"type": int, "help": "Samples a pixel.  [default: 16]"}),
    (
        "--denoise/--no-denoise",
        "render.denoise",
        {"default": None, "help": "Open Image Denoise, fast setting.  [default: on]"},
    ),
    ("--device", "render.device", {"type": click.Choice(DEVICES), "help": "Render on this.  [default: auto]"}),
    ("--seed", "seed", {"type": int, "help": "All that is random follows from it.  [default: 0]"}),
]


def settings_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every setting as a flag, and --config; it receives the merged `Config` as `config`."""

    def merged(config_file: Path | None, **flags: Any) -> None:
        values = {}
        for flag, name, _ in SETTINGS:
            value = flags.pop(_parameter(flag))
            values[name] = None if value == () else value
        command(config=load_config(config_file, values), **flags)

    functools.update_wrapper(merged, command)  # with the options that the command already has
    for flag, _, arguments in reversed(SETTINGS):
        merged = click.option(flag, _parameter(flag), **arguments)(merged)
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option("--config", "config_file", type=path, help="TOML file; flags override it.")(merged)


def _parameter(flag: str) -> str:
    return "set_" + flag.split("/")[0].lstrip("-").replace("-", "_")


@click.command()
@settings_flags
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="shards",
    show_default=True,
    help="Folder of the shards.",
)
@click.option("--jobs", type=click.IntRange(1, 1024), default=None, help="Clips at a time.  [default: number of cores]")
@click.option("--dry-run", is_flag=True, help="Say what would be made, and stop.")
def render(config: Config, out: Path, jobs: int | None, dry_run: bool) -> None:
    """Make shards: motion, cloth, pictures and labels, one HDF5 file a clip.

    Interrupt it at any moment; the same command goes on where it was and does nothing twice.

    \b
    Examples:
      synth render --sequences cmu --views 4
      synth render --sequences cmu:01_01 --clips 20 --views 8 --seed 7 --out shards/
      synth render --config configs/mviper.toml --amass ~/amass --body ~/smpl --device optix
    """  # noqa: D301
    from synth.cli.progress import Progress
    from synth.plan import Planner
    from synth.provenance import record_run
    from synth.run import render_plan

    planner = Planner(config)
    if dry_run:
        for spec in planner.clips():
            click.echo(describe(spec))
        return
    try:
        record_run(out, sys.argv[1:], config)
    except OSError as error:
        raise SynthError(f"{out}: {error.strerror}", "Choose another --out folder") from None
    progress = Progress(sys.stderr)
    try:
        summary = render_plan(
            planner, out, jobs=jobs or os.cpu_count() or 1, device=config.render.device, watcher=progress
        )
    except KeyboardInterrupt:
        progress.close()
        click.echo(f"Interrupted. Finished clips are in {out}; the same command goes on from here.", err=True)
        sys.exit(130)
    finally:
        progress.close()
    click.echo(summary)


@click.command()
@settings_flags
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON lines here instead of a list.")
def plan(config: Config, out: Path | None) -> None:
    """Write the clips that `render` would make with these settings, one spec a line.

    \b
    Example:
      synth plan --sequences cmu --clips 8 --out plan.jsonl
    """  # noqa: D301
    from synth.files import write_text
    from synth.plan import Planner
    from synth.spec import to_json

    specs = Planner(config).clips()
    if out is None:
        for spec in specs:
            click.echo(describe(spec))
    else:
        write_text(out, "".join(to_json(spec) + "\n" for spec in specs))
        click.echo(f"{len(specs)} clips in {out}")


def describe(spec: Any) -> str:
    """One line about a clip."""
    motion = " ~ ".join(spec.motion.names)
    worn = " + ".join(f"{g.fabric} {g.name}" for g in spec.outfit) or "bare"
    size = f"{spec.motion.count:4d} frames x {len(spec.scene.cameras.azimuths)} views"
    return f"{spec.clip_id}  {spec.motion.kind:12s} {motion:24s} {size}  {spec.body.gender:7s} {worn}"
