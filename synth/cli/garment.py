"""`synth garment`: list, build, check, fit and preview garments."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from garments import catalog
from garments.check import check as faults_of
from synth.errors import SynthError
from synth.files import replacing
from synth.spec import GarmentSpec, MaterialSpec
from synth.types import BodyModel

Array = np.ndarray


@click.group()
def garment() -> None:
    """List, build, check, fit and preview garments.

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
            f"{name:14} {worn.covers:6} layer {worn.layer}  {len(worn.vertices):5} vertices  {worn.fabric.name:8} "
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
    from synth.cloth.items import ITEMS, made
    from synth.cloth.tailor import CUTS, tailored

    body = load_named("free", "neutral")
    if unknown := [name for name in names if name not in CUTS and name not in ITEMS]:
        patterns = ", ".join([*CUTS, *ITEMS])
        raise SynthError(f"garment {unknown[0]!r}: no pattern of that name", f"Patterns: {patterns}")
    for name in names or (*CUTS, *ITEMS):
        if name in ITEMS:
            new, parameters = made(name, body)
        else:
            cut = dataclasses.replace(CUTS[name], edge=edge) if edge else CUTS[name]
            new, parameters = tailored(name, body, cut)
        place = catalog.save(new, out, parameters)
        click.echo(f"{place}: {len(new.vertices)} vertices")


@garment.command()
@click.argument("names", nargs=-1)
@click.option("--betas", type=click.FloatRange(0, 5), default=3.0, show_default=True, help="Shapes go to +- this.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
def check(names: tuple[str, ...], betas: float, jobs: int) -> None:
    """Look for faults in garments' meshes and in their fit to bodies of three genders and many shapes.

    A garment is tried on 81 bodies: each of the first three components of the shape at -3, 0 and 3, in every
    combination, for three genders; about a minute. --betas 0 tries the three mean shapes only. Exits with status 2 if
    there are faults.

    Example: synth garment check trousers --jobs 3
    """
    import joblib

    from synth.cloth.trial import GENDERS, misfits

    there = catalog.names()
    if unknown := [name for name in names if name not in there]:
        raise SynthError(f"garment {unknown[0]!r}: not known", f"Garments: {', '.join(there)}")
    bad = 0
    for name in names or there:
        worn = catalog.load(name)
        calls = (joblib.delayed(misfits)(worn, betas, (gender,)) for gender in GENDERS)
        tried: Any = joblib.Parallel(n_jobs=jobs)(calls)
        faults = [*faults_of(worn), *(fault for some in tried for fault in some)]
        bad += bool(faults)
        click.echo(f"{name}: {'; '.join(faults) or 'sound'}")
    if bad:
        raise SynthError(f"{bad} of {len(names or there)} garments have faults", "Build them anew or mend their mesh")


def _shape(text: str, count: int) -> Array:
    """Betas from numbers separated by commas; those not given are 0."""
    try:
        values = [float(number) for number in text.split(",") if number.strip()]
    except ValueError:
        raise SynthError(f"--betas {text!r}: not numbers separated by commas", "For example --betas 1.5,-0.5") from None
    if len(values) > count or not np.isfinite(values).all():
        raise SynthError(f"--betas {text!r}: at most {count} finite numbers", "For example --betas 1.5,-0.5")
    return np.array(values + [0.0] * (count - len(values)))


def _outfit(names: tuple[str, ...], fabric: str) -> tuple[GarmentSpec, ...]:
    """Garments in the order given, innermost first."""
    there = catalog.names()
    if unknown := [name for name in names if name not in there]:
        raise SynthError(f"garment {unknown[0]!r}: not known", f"Garments: {', '.join(there)}")
    if fabric and fabric not in catalog.fabrics():
        raise SynthError(f"fabric {fabric!r}: not known", f"Fabrics: {', '.join(catalog.fabrics())}")
    grey = (0.5, 0.5, 0.5)
    look = MaterialSpec(
        kind="procedural", seed=0, colour=grey, accent=grey, pattern="plain", scale=1.0, rotation=0.0, roughness=0.8
    )
    return tuple(
        GarmentSpec(
            name=name,
            fabric=fabric or catalog.load(name).fabric.name,
            sha256=catalog.digest(name),
            material=look,
        )
        for name in names
    )


def _body(model: str, gender: str) -> BodyModel:
    from synth.body.model import find_bodies, load_body

    return load_body(find_bodies(model, (gender,))[gender], gender)


_WEARER = (
    click.option("--body", "model", default="free", show_default=True, help="Body model: free, a folder or a file."),
    click.option("--gender", type=click.Choice(["neutral", "male", "female"]), default="neutral", show_default=True),
    click.option("--betas", default="", help="Shape: numbers separated by commas, the rest 0."),
    click.option("--fabric", default="", help="Fabric of all garments, by default each one's own."),
)


def _wearer(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say who wears it."""
    for option in reversed(_WEARER):
        command = option(command)
    return command


@garment.command()
@click.argument("names", nargs=-1, required=True)
@_wearer
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="fitted.obj", show_default=True)
def fit(names: tuple[str, ...], model: str, gender: str, betas: str, fabric: str, out: Path) -> None:
    """Fit garments to a body and write both as an OBJ file (A-pose, metres, Y up, with texture coordinates).

    Name the garments from the innermost to the outermost; a shirt named before trousers is worn in them. Nothing is
    simulated.

    Example: synth garment fit trousers tshirt --gender female --betas 1.5,-0.5 --out fitted.obj
    """
    from synth.body.shape import rest_surface
    from synth.cloth.dress import fitted
    from synth.cloth.wavefront import write_obj

    body = _body(model, gender)
    shape = _shape(betas, body.shapedirs.shape[2])
    worn = fitted(body, shape, _outfit(names, fabric))
    write_obj(out, rest_surface(body, shape), body.faces, [(garment, vertices) for garment, vertices, _ in worn])
    click.echo(f"{out}: body and {', '.join(names)}")


@garment.command()
@click.argument("names", nargs=-1, required=True)
@_wearer
@click.option(
    "--motion",
    "motion_name",
    default="",
    help="Also let it move: a motion as for `synth render --sequences`; its first stretch is taken.",
)
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="First frame of the motion.")
@click.option("--frames", type=click.IntRange(2, 600), default=24, show_default=True, help="Frames at 30 Hz.")
@click.option("--solver", type=click.Choice(["cloth", "softbody", "skinned"]), default="cloth", show_default=True)
@click.option("--quality", type=click.IntRange(1), default=10, show_default=True, help="Sub-steps per 1/30 s.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="preview.png", show_default=True)
def preview(
    names: tuple[str, ...],
    model: str,
    gender: str,
    betas: str,
    fabric: str,
    motion_name: str,
    first: int,
    frames: int,
    solver: str,
    quality: int,
    out: Path,
) -> None:
    """Draw garments on a body from eight sides, and in motion, as the solver moves them and the gate judges them.

    Example: synth garment preview trousers tshirt --motion cmu:01_01 --first 600 --out preview.png
    """
    from synth.body.shape import rest_surface
    from synth.cloth import preview as draw
    from synth.cloth.dress import fitted

    body = _body(model, gender)
    shape = _shape(betas, body.shapedirs.shape[2])
    outfit = _outfit(names, fabric)
    worn = fitted(body, shape, outfit)
    layers = [draw.bare(rest_surface(body, shape), body.faces)]
    layers += [draw.clothed(piece, vertices, k) for k, (piece, vertices, _) in enumerate(worn)]
    pictures = [draw.turntable(layers)]
    if motion_name:
        from synth.blender.rehearse import rehearse, stretch

        found = rehearse(body, shape, outfit, stretch(motion_name, first, frames), solver, quality)
        for name, quality_of in found.quality.items():
            click.echo(f"{name}: {'; '.join(quality_of.reasons) or 'accepted'}")
        pictures.append(draw.moving(found.layers(8)))
    _save(out, pictures)
    click.echo(str(out))


def _save(out: Path, pictures: Sequence[Image.Image]) -> None:
    """Write pictures below each other as one PNG file."""
    whole = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), (235, 235, 235))
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    with replacing(out) as part, part.open("wb") as file:
        whole.save(file, "PNG")
