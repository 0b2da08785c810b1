"""MP4 files, one for each view, to be looked at; and the joints beside them."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from synth.errors import SynthError
from synth.export.labels import View, views_of
from synth.shards.manifest import ShardFolder

Array = np.ndarray

__all__ = ["CANNOT_HOLD", "NOTES", "encode", "write"]

NOTES = """\
<clip id>_v<view>.mp4 (H.264, 4:2:0, near-lossless) at the clip's rate, and .json with fps, K, joints in the picture and
in the camera's frame."""
CANNOT_HOLD = (
    "the stored pixels: the video is coded again (quality 14), its sides made even",
    "label maps, meshes, parameters",
)


def write(shards: ShardFolder, out: Path, every: int) -> int:
    """Write the videos; returns the number of pictures in them."""
    count = 0
    for view in views_of(shards):
        frames = range(0, len(view), every)
        fps = float(view.reader.attributes["fps"]) / every
        pictures = np.concatenate([view.reader.window(view.view, t, 1, ("rgb",))["rgb"] for t in frames])
        encode(pictures, fps, out / f"{view.name}.mp4")
        (out / f"{view.name}.json").write_text(_labels(view, frames, fps), encoding="utf-8")
        count += len(frames)
    return count


def _labels(view: View, frames: range, fps: float) -> str:
    points = np.round(view.keypoints_2d[list(frames)], 3)
    labels = {
        "fps": fps,
        "K": view.K.tolist(),
        "keypoints_2d": np.where(np.isfinite(points), points, -1.0).tolist(),
        "joints_camera": view.joints_camera[list(frames)].tolist(),
    }
    return json.dumps(labels, allow_nan=False)


def encode(pictures: UInt8[Array, "T H W 3"], fps: float, path: Path) -> None:
    """Write an MP4.

    Args:
        pictures: Frames; an odd side is made even by repeating its last line.
        fps: Frame rate [Hz].
        path: Where to.

    Raises:
        SynthError: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise SynthError("videos need PyAV, which is not installed", "pip install 'raiment[video]'") from None
    height, width = pictures.shape[1:3]
    padded = np.pad(pictures, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = padded.shape[2], padded.shape[1], "yuv420p"
        stream.options = {"crf": "14", "preset": "medium", "threads": "1"}
        for picture in padded:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
