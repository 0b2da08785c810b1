"""`train flow`: optical flow of a real data set, for HPOF's loss."""

from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("source", metavar="SOURCE=PATH")
@click.option("--out", required=True, type=_FOLDER, help="Folder of the flow files.")
@click.option("--weights", required=True, type=_FOLDER, help="torchvision's published weights of the network.")
@click.option(
    "--network", default="raft_large", show_default=True, type=click.Choice(["raft_large", "raft_small"]), help="Size."
)
@click.option("--split", default=None, help="Part of the data set [default: the first].")
@click.option("--longest", default=640, show_default=True, type=click.IntRange(128), help="Longest side seen [px].")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
def flow(source: str, out: Path, weights: Path, network: str, split: str | None, longest: int, device: str) -> None:
    """Estimate optical flow between successive pictures by RAFT (torchvision), forwards and backwards.

    Flow that other software made does as well: docs/train.md says where its files go. Shards hold exact flow already.

    \b
    Example:
      train flow 3dpw=~/data/3DPW --weights raft_large_C_T_SKHT_V2-ff5fadd5.pth --out flows/3dpw
      train hpof --data shards/ --real 3dpw=~/data/3DPW --flow 3dpw=flows/3dpw --set backbone=resnet50
    """  # noqa: D301
    from train.commands.fit import name_and_path
    from train.flow import estimate_source, raft
    from train.real import open_source
    from train.run import choose_device

    name, path = name_and_path("SOURCE", source)
    opened = open_source(name, path, split)
    estimate = raft(network, weights, choose_device(device), longest)
    count = estimate_source(opened, out, estimate, click.echo)
    click.echo(f"{out}: {count} files written")
