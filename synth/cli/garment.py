"""`synth garment`: list, build and check garments."""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from garments import catalog
from garments.check import check as faults_of
from garments.fit import Nearest
from garments.garment import Garment
from synth.errors import SynthError

Array = np.ndarray


@click.group()
def garment() -> None:
    """List, build and check garments.

    A garment is a folder with garment.toml and rest.npz. It is made around the free neutral body in A-pose and
    fitted to any body when it is worn.

    Example: synth garment check tshirt
    """


@garment.command(name="list")
def list_() -> None:
    """Name the garments and fabrics that there are."""
    for name in catalog.names():
        worn = catalog.load(name)
        click.echo(
            f"{name:10} {worn.covers:6} layer {worn.layer}  {len(worn.vertices):5} vertices  {worn.fabric.name:8} "
            f"{worn.licence}"
        )
    click.echo(f"fabrics: {', '.join(catalog.fabrics())}")


@garment.command()
@click.argument("names", nargs=-1)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=catalog.DATA,
    show_default="the project's own",
    help="Folder to write to.",
)
@click.option("--edge", type=click.FloatRange(0.008, 0.06), help="Length of the mesh's edges in metres; about 0.024.")
def build(names: tuple[str, ...], out: Path, edge: float | None) -> None:
    """Make garments anew from their patterns (all of them by default); about 10-40 s each.

    The same body gives the same garment, bit for bit on the same machine.

    Example: synth garment build tshirt skirt --out /tmp/garments --edge 0.018
    """
    import dataclasses

    from synth.body.model import load_named
    from synth.cloth.tailor import CUTS, tailored

    body = load_named("free", "neutral")
    if unknown := [name for name in names if name not in CUTS]:
        raise SynthError(f"garment {unknown[0]!r}: no pattern of that name", f"Patterns: {', '.join(CUTS)}")
    for name in names or CUTS:
        cut = dataclasses.replace(CUTS[name], edge=edge) if edge else CUTS[name]
        made, parameters = tailored(name, body, cut)
        place = catalog.save(made, out, parameters)
        click.echo(f"{place}: {len(made.vertices)} vertices")


@garment.command()
@click.argument("names", nargs=-1)
@click.option("--betas", type=click.FloatRange(0, 5), default=2.0, show_default=True, help="Shapes go to +- this.")
def check(names: tuple[str, ...], betas: float) -> None:
    """Look for faults in garments' meshes and in their fit to bodies of three genders and many shapes.

    Exits with status 2 if there are any.
    """
    there = catalog.names()
    if unknown := [name for name in names if name not in there]:
        raise SynthError(f"garment {unknown[0]!r}: not known", f"Garments: {', '.join(there)}")
    bad = 0
    for name in names or there:
        worn = catalog.load(name)
        faults = faults_of(worn, _fits(worn, betas))
        bad += bool(faults)
        click.echo(f"{name}: {'; '.join(faults) or 'sound'}")
    if bad:
        raise SynthError(f"{bad} of {len(names or there)} garments have faults", "Build them anew or mend their mesh")


def _fits(worn: Garment, reach: float) -> Iterator[tuple[str, Nearest, Array]]:
    """The garment on bodies of every gender: mean, and each of the first three components both ways."""
    from synth.body.model import load_named
    from synth.cloth.dress import fitted_to

    shapes = [np.zeros(3), *(sign * reach * np.eye(3)[i] for i in range(3) for sign in (1, -1))]
    for gender in ("neutral", "male", "female"):
        body = load_named("free", gender)
        for shape in shapes:
            betas = np.zeros(body.shapedirs.shape[2])
            betas[:3] = shape
            yield (f"{gender} {shape.tolist()}", *fitted_to(body, betas, worn))
