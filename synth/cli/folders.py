"""`synth merge`, `synth split`, `synth regenerate`: folders of shards put together, divided, and made again."""

from pathlib import Path

import click

from synth.errors import SynthError

__all__ = ["merge", "regenerate", "split"]

_KEYS = ("subject", "motion", "outfit", "garment", "texture", "body")


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder.")
@click.option("--link", is_flag=True, help="Hard links instead of copies, where the file system can.")
def merge(folders: tuple[Path, ...], out: Path, link: bool) -> None:
    """Put the shards of several folders into one new folder, each clip once; every file is checked on the way.

    \b
    Example:
      synth merge monday/ tuesday/ --out week/
    """  # noqa: D301
    from synth.shards.merge import merge as join

    clips, repeated = join(folders, out, link)
    click.echo(f"{out}: {clips} clips of {len(folders)} folders, {repeated} of them held more than once")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--by",
    multiple=True,
    type=click.Choice(_KEYS),
    default=("motion",),
    show_default=True,
    help="What may not be in two parts; repeat for several.",
)
@click.option("--train", default=0.8, show_default=True, type=click.FloatRange(0, 1), help="Share.")
@click.option("--val", default=0.1, show_default=True, type=click.FloatRange(0, 1), help="Share.")
@click.option("--test", default=0.1, show_default=True, type=click.FloatRange(0, 1), help="Share.")
@click.option("--seed", default=0, show_default=True, help="Of the shuffle.")
def split(folder: Path, by: tuple[str, ...], train: float, val: float, test: float, seed: int) -> None:
    """Divide the clips in DIR into train, val and test so that nothing leaks, and store it as DIR/split.json.

    Clips that share a subject, motion, outfit, garment, texture or body (as --by says) stay together, also through a
    chain of other clips: an interpolated clip has two motions and ties both.

    \b
    Examples:
      synth split shards/ --by subject --by texture
      synth split shards/ --by outfit --train 0.7 --val 0 --test 0.3
    """  # noqa: D301
    from synth.shards.split import make_split

    if train + val + test <= 0:
        raise SynthError("all shares are 0", "Give one of --train, --val, --test a share")
    parts = make_split(folder, by, {"train": train, "val": val, "test": test}, seed)
    click.echo(f"{folder}/split.json: " + ", ".join(f"{len(clips)} {part}" for part, clips in parts.items()))


@click.command()
@click.argument("clip_id", metavar="CLIP_ID")
@click.option("--shards", "folder", default="shards", show_default=True, type=click.Path(path_type=Path), help="DIR.")
@click.option("--out", default="regenerated", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--device", help="Render on this.  [default: the kind that the shard names]")
def regenerate(clip_id: str, folder: Path, out: Path, device: str | None) -> None:
    """Make one clip of DIR again from its stored spec, from the motion on, and compare it with the shard.

    Labels must come out bit for bit the same. Pictures do on the same kind of device with the same Blender; on another
    they may differ in noise, which is said but is no error. Exit status 1: a label differs.

    \b
    Example:
      synth regenerate 0123456789abcdef --shards shards/ --out again/
    """  # noqa: D301
    from synth.regenerate import regenerate as make_again

    found = make_again(folder, clip_id, out, device)
    click.echo(f"{out / (clip_id + '.h5')}: {found.same_labels} label arrays are the same, bit for bit")
    for name in found.other_labels:
        click.echo(f"  DIFFERS: {name}")
    pictures = "the same" if not found.other_pictures else f"different in {', '.join(found.other_pictures)}"
    click.echo(f"pictures: {pictures} (made on {found.devices[0]}, now on {found.devices[1]})")
    if found.other_labels:
        raise SystemExit(1)
