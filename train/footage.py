"""Frames to predict on, one after the other: a video file, a folder of pictures, or a view of a shard."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, UnidentifiedImageError

from synth.errors import SynthError
from synth.files import replacing
from synth.shards.manifest import NAME, open_dataset

Array = np.ndarray

__all__ = ["Footage", "VideoWriter", "open_footage"]

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """Where frames come from. They can be gone through as often as needed and are never all in memory."""

    path: Path
    kind: str
    """"video", "pictures" or "shard"."""
    fps: float
    bbox: Float[Array, "T 4"] | None = None
    """x0, y0, x1, y1 of the person [px], if the source knows."""
    K: Float[Array, "3 3"] | None = None
    """Intrinsics [px], if the source knows."""
    gender: str = "neutral"
    files: tuple[Path, ...] = ()
    """Pictures in order; for a shard its file."""
    view: int = 0
    notes: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[UInt8[Array, "H W 3"]]:
        """Frames in order.

        Raises:
            SynthError: one cannot be read, or is of another size than the first.
        """
        frames = {"video": self._video, "pictures": self._pictures, "shard": self._shard}[self.kind]()
        first: tuple[int, ...] | None = None
        for number, frame in enumerate(frames):
            first = first or frame.shape
            if frame.shape != first:
                raise SynthError(f"{self.path}: frame {number} is of another size than the first", "Cut it apart")
            yield frame
        if first is None:
            raise SynthError(f"{self.path}: holds no frames", "Give a video file, a folder of pictures or of shards")

    def _video(self) -> Iterator[Array]:
        import av
        from av.error import FFmpegError

        try:
            with av.open(str(self.path)) as container:
                for frame in container.decode(video=0):
                    yield frame.to_ndarray(format="rgb24")
        except (FFmpegError, OSError, IndexError) as error:
            raise SynthError(f"{self.path}: cannot be read as a video ({error})", _CONVERT) from error

    def _pictures(self) -> Iterator[Array]:
        for path in self.files:
            try:
                with Image.open(path) as picture:
                    yield np.asarray(picture.convert("RGB"))
            except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
                raise SynthError(f"{path}: cannot be read as a picture ({error})", "Leave it out") from error

    def _shard(self) -> Iterator[Array]:
        from synth.shards.read import ShardReader

        with ShardReader(self.files[0]) as reader:
            for t in range(len(reader)):
                yield reader.frame(self.view, t, ("rgb",))["rgb"]


_CONVERT = "Try `ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4` and give that"


def open_footage(path: Path, *, clip: str | None = None, view: int = 0, fps: float = 30.0) -> Footage:
    """Find out what a path holds.

    Args:
        path: A video, a folder of pictures, or a folder of shards.
        clip: Id of a clip of the shards; None: the first.
        view: Which of its views.
        fps: Rate of a folder of pictures.

    Raises:
        SynthError: it is none of these, or there is no such clip or view.
    """
    if path.is_file():
        return _open_video(path)
    if not path.is_dir():
        raise SynthError(f"{path}: no such file or folder", "Give a video, a folder of pictures or a folder of shards")
    if (path / NAME).exists():
        return _open_shard(path, clip, view)
    files = tuple(sorted(file for file in path.iterdir() if file.suffix.lower() in _PICTURES))
    if not files:
        raise SynthError(f"{path}: holds no pictures ({', '.join(_PICTURES)})", "Give another folder, or a video")
    return Footage(path=path, kind="pictures", fps=fps, files=files)


def _open_video(path: Path) -> Footage:
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise SynthError(f"{path}: holds no video stream", _CONVERT)
            rate = container.streams.video[0].average_rate
    except (FFmpegError, OSError) as error:
        raise SynthError(f"{path}: cannot be read as a video ({error})", _CONVERT) from error
    return Footage(path=path, kind="video", fps=float(rate or 30.0))


def _open_shard(path: Path, clip: str | None, view: int) -> Footage:
    shards = open_dataset(path)
    ids = [entry.clip_id for entry in shards.entries]
    if not ids or (clip is not None and clip not in ids):
        raise SynthError(f"{path}: holds no clip {clip or ''}".rstrip(), f"`synth info {path}` lists them")
    number = 0 if clip is None else ids.index(clip)
    entry, reader = shards.entries[number], shards[number]
    if not 0 <= view < entry.views:
        raise SynthError(
            f"{path}: clip {entry.clip_id} has views 0-{entry.views - 1}, not {view}", "Give another --view"
        )
    labels = reader.window(view, 0, entry.frames, ("bbox", "K", "fps"))
    gender = str(entry.attributes.get("gender", "neutral"))
    file = path / entry.file
    return Footage(
        path=file, kind="shard", fps=float(labels["fps"]), bbox=labels["bbox"], K=labels["K"], gender=gender,
        files=(file,), view=view,
    )  # fmt: skip


class VideoWriter:
    """Writes frames to an H.264 file, all or nothing.

    Args:
        path: The file.
        fps: Frames per second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self.stream: Any = None

    def __enter__(self) -> "VideoWriter":
        import av

        self._replacing = replacing(self.path)
        part = self._replacing.__enter__()
        self.container = av.open(str(part), "w", format="mp4")
        return self

    def add(self, frame: UInt8[Array, "H W 3"]) -> None:
        """Append a frame; odd sides are extended by one pixel, as the format asks."""
        from fractions import Fraction

        import av

        height, width = frame.shape[:2]
        if self.stream is None:
            rate = Fraction(self.fps).limit_denominator(1001)
            self.stream = self.container.add_stream("libx264", rate=rate, options={"crf": "18"})
            self.stream.width, self.stream.height = width + width % 2, height + height % 2
            self.stream.pix_fmt = "yuv420p"
        padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        self.container.mux(self.stream.encode(picture))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self.stream is not None:
            self.container.mux(self.stream.encode())
        self.container.close()
        self._replacing.__exit__(kind, error, trace)
