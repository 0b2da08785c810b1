"""`train extract`: frozen features, stored beside the shards."""

from pathlib import Path

import click

from synth.errors import SynthError

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.option("--data", "folder", required=True, type=_FOLDER, help="Folder of shards.")
@click.option("--out", required=True, type=_FOLDER, help="Where the features go.")
@click.option("--encoder", "checkpoint", type=_FOLDER, help="Checkpoint whose image encoder is used.")
@click.option("--backbone", default="resnet50", show_default=True, help="Encoder, without a checkpoint.")
@click.option("--backbone-weights", type=_FOLDER, help="Published weights for it.")
@click.option("--predictions", type=_FOLDER, help="Store this checkpoint's predictions instead, for smoothnet.")
@click.option("--features", type=_FOLDER, help="Features that --predictions needs.")
@click.option("--size", default=224, show_default=True, type=click.IntRange(32), help="Side of a crop [px].")
@click.option("--maps", is_flag=True, help="Also the maps before pooling, for mviper without its encoder.")
@click.option("--occluded", default=0, show_default=True, type=click.IntRange(0), help="Occluded variants, for spsnet.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--seed", default=0, show_default=True, help="Of the occluders.")
def extract(
    folder: Path,
    out: Path,
    checkpoint: Path | None,
    backbone: str,
    backbone_weights: Path | None,
    predictions: Path | None,
    features: Path | None,
    size: int,
    maps: bool,
    occluded: int,
    device: str,
    seed: int,
) -> None:
    """Run an image encoder once over every frame of every view; clips that are done already are left alone.

    \b
    Example:
      train extract --data shards/ --encoder runs/hmr/last.pt --out features/
    """  # noqa: D301
    import train.extract as extraction
    from train.run import choose_device

    place = str(choose_device(device))
    if predictions is not None:
        if checkpoint or backbone_weights or maps or occluded:
            raise SynthError(
                "--predictions stands alone", "Leave out --encoder, --backbone-weights, --maps, --occluded"
            )
        store = extraction.extract_predictions(
            folder, out, predictions, features=features, device=place, progress=click.echo
        )
    else:
        store = extraction.extract(
            folder,
            out,
            extraction.encoder_of(checkpoint, backbone, backbone_weights),
            size=size,
            maps=maps,
            occluded=occluded,
            device=place,
            seed=seed,
            progress=click.echo,
        )
    click.echo(f"{out}: {store.width} features a frame, {store.about['encoder']}")
