"""`train predict`: a checkpoint on a video, a folder of pictures or a view of a shard."""

from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("checkpoint", type=_FOLDER)
@click.argument("source", type=_FOLDER, metavar="INPUT")
@click.option("--out", type=_FOLDER, default=Path("predicted"), show_default=True, help="Folder for the results.")
@click.option("--clip", help="With a folder of shards: id of the clip [default: the first].")
@click.option("--view", default=0, show_default=True, type=click.IntRange(0), help="With shards: which view.")
@click.option("--boxes", type=_FOLDER, help="x0 y0 x1 y1 [px] of the person, one line a frame (.txt, .csv or .npy).")
@click.option("--focal", type=float, help="Focal length [px; default: the picture's diagonal].")
@click.option("--fps", default=30.0, show_default=True, help="Rate of a folder of pictures.")
@click.option("--encoder", type=_FOLDER, help="Checkpoint of the encoder, for models that read features.")
@click.option("--body", default="free", show_default=True, help="Body model of the checkpoint.")
@click.option("--gender", type=click.Choice(["neutral", "male", "female"]), help="Body to pose.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--one-euro", is_flag=True, help="Smooth by a one-euro filter.")
@click.option("--no-video", is_flag=True, help="Write the motion only.")
def predict(
    checkpoint: Path,
    source: Path,
    out: Path,
    clip: str | None,
    view: int,
    boxes: Path | None,
    focal: float | None,
    fps: float,
    encoder: Path | None,
    body: str,
    gender: str | None,
    device: str,
    one_euro: bool,
    no_video: bool,
) -> None:
    """Recover a person's motion: motion.npz in AMASS's form, and overlay.mp4 with the mesh drawn over the frames.

    INPUT is a video file, a folder of pictures in order of name, or a folder of shards. The person's boxes come from
    --boxes or the shard's labels; else the whole frame is taken, which suits pictures that one person fills.

    \b
    Example:
      train predict runs/mviper/last.pt walk.mp4 --boxes walk.txt --out predicted/
    """  # noqa: D301
    from train.footage import open_footage
    from train.models.smoothing import OneEuro
    from train.predict import predict as run
    from train.predict import read_boxes

    files = run(
        checkpoint,
        open_footage(source, clip=clip, view=view, fps=fps),
        out,
        boxes=None if boxes is None else read_boxes(boxes),
        focal=focal,
        encoder=encoder,
        body=body,
        gender=gender,
        device=device,
        smooth=OneEuro() if one_euro else None,
        video=not no_video,
    )
    for file in files:
        click.echo(file)
