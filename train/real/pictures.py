"""Pictures of real data: image files, pictures inside larger files, and frames of videos."""

import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from synth.errors import SynthError
from train.real.files import readable
from train.real.record import ImageRef

Array = np.ndarray

__all__ = ["picture_size", "read_picture"]

_MAX_PIXELS = 1 << 27


def read_picture(ref: ImageRef) -> UInt8[Array, "H W 3"]:
    """Read a picture.

    Args:
        ref: Where it is.

    Returns:
        Red, green and blue, first row at the top; what the camera's orientation tag says is not applied, since the
        labels belong to the pixels as they are stored.

    Raises:
        SynthError: the file is missing or damaged, or is a video and PyAV is not installed.
    """
    if ref.frame is not None:
        return _video_frame(ref.path, ref.frame)
    with _opened(ref) as image, readable(ref.path, "picture"):
        return np.asarray(image.convert("RGB"))


def picture_size(ref: ImageRef) -> tuple[int, int]:
    """Width and height [px] of a picture, from its header where it has one.

    Raises:
        SynthError: as `read_picture`.
    """
    if ref.frame is not None:
        height, width = _video_frame(ref.path, ref.frame).shape[:2]
        return width, height
    with _opened(ref) as image:
        return image.size


def _opened(ref: ImageRef) -> Image.Image:
    with readable(ref.path, "picture"), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if ref.span is None:
            image = Image.open(ref.path)
        else:
            with ref.path.open("rb") as file:
                file.seek(ref.span[0])
                image = Image.open(io.BytesIO(file.read(ref.span[1])))
        if image.width * image.height > _MAX_PIXELS:
            raise SynthError(f"{ref.path}: a picture of {image.width} x {image.height} pixels", "It is damaged")
        return image


def _video_frame(path: Path, number: int) -> UInt8[Array, "H W 3"]:
    """Frame `number` (from 0) of a video: seeks to the key frame before it and decodes from there."""
    try:
        import av
    except ImportError:
        hint = "pip install 'raiment[train]', or extract the frames to pictures"
        raise SynthError(f"{path}: reading videos needs PyAV", hint) from None
    with readable(path, "video"), av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate, base = stream.average_rate, stream.time_base
        if rate is None or base is None:
            raise SynthError(f"{path}: a video without a frame rate")
        first = stream.start_time or 0
        container.seek(first + int(number / rate / base), stream=stream)
        for frame in container.decode(stream):
            if frame.pts is not None and round((frame.pts - first) * base * rate) >= number:
                return frame.to_ndarray(format="rgb24")
    raise SynthError(f"{path}: frame {number} was asked for, the video is shorter")
