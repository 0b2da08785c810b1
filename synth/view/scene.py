"""What the viewer's page asks for, made from shards: labels as JSON, meshes as bytes, pictures and overlays."""

import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from synth.body.joints import JOINT_NAMES, PARENTS
from synth.shards.drawing import triangles_of
from synth.shards.manifest import ShardFolder, open_dataset
from synth.shards.read import ShardReader
from synth.shards.sheet import depth_colours, flow_colours, garment_colours, normal_colours, part_colours

Array = np.ndarray

__all__ = ["LAYERS", "Scenes"]

LAYERS = ("parts", "garments", "depth", "normal", "flow")
"""Label maps that can be laid over a picture."""


class Scenes:
    """Answers for the clips of one folder. Safe to ask from several threads: HDF5 reads one at a time.

    Args:
        folder: The shards.

    Raises:
        SynthError: no manifest, or a shard that it names is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._shards: ShardFolder = open_dataset(folder, keep_open=8)
        self._places = {entry.clip_id: index for index, entry in enumerate(self._shards.entries)}
        self._lock = threading.Lock()

    def _reader(self, clip_id: str) -> ShardReader:
        return self._shards[self._places[clip_id]]

    def clips(self) -> list[dict[str, Any]]:
        """What the list of clips shows."""
        return [
            {
                "id": entry.clip_id,
                "frames": entry.frames,
                "views": entry.views,
                "width": entry.width,
                "height": entry.height,
                "attributes": dict(entry.attributes),
            }
            for entry in self._shards.entries
        ]

    def labels(self, clip_id: str) -> dict[str, Any]:
        """Cameras, joints and boxes of a whole clip; NaN becomes null.

        Raises:
            KeyError: no such clip.
        """
        with self._lock:
            reader = self._reader(clip_id)
            views = [
                {
                    name: _plain(reader.clip(f"views/{view}/{name}"))
                    for name in ("K", "T_camera_world", "keypoints_2d", "visibility", "bbox")
                }
                for view in range(reader.layout.views)
            ]
            garments = [name for name, _, _ in reader.layout.garments]
            return {
                "fps": float(reader.attributes["fps"]),
                "joint_names": JOINT_NAMES,
                "parents": PARENTS.tolist(),
                "joints_world": _plain(reader.clip("joints_world")),
                "meshes": ["body", *garments],
                "colours": [[214, 170, 145], *garment_colours()[1 : len(garments) + 1].tolist()],
                "views": views,
            }

    def faces(self, clip_id: str, mesh: int) -> bytes:
        """Triangles of a mesh (0: the body, k: the k-th garment) as little-endian uint32.

        Raises:
            KeyError: no such clip or mesh.
        """
        with self._lock:
            reader = self._reader(clip_id)
            if mesh == 0:
                return reader.clip("faces").astype("<u4").tobytes()
            triangles, _ = triangles_of(reader.clip(f"garments/{_garment(reader, mesh)}/faces"))
            return np.ascontiguousarray(triangles).astype("<u4").tobytes()

    def vertices(self, clip_id: str, mesh: int, t: int) -> bytes:
        """Vertices of a mesh in one frame, world frame [m], as little-endian float32.

        Raises:
            KeyError: no such clip, mesh or frame.
        """
        with self._lock:
            reader = self._reader(clip_id)
            _check(t, reader.layout.frames)
            name = "vertices_world" if mesh == 0 else f"garments/{_garment(reader, mesh)}/vertices_world"
            return np.ascontiguousarray(reader.clip(name, t, 1)[0]).astype("<f4").tobytes()

    def picture(self, clip_id: str, view: int, t: int) -> bytes:
        """The stored JPEG.

        Raises:
            KeyError: no such clip, view or frame.
        """
        with self._lock:
            reader = self._reader(clip_id)
            _check(view, reader.layout.views)
            _check(t, reader.layout.frames)
            return reader.jpeg(view, t)

    def overlay(self, clip_id: str, view: int, t: int, layer: str) -> bytes:
        """A label map in colours as a PNG, transparent where it says nothing.

        Raises:
            KeyError: no such clip, view, frame or layer.
        """
        if layer not in LAYERS:
            raise KeyError(layer)
        with self._lock:
            reader = self._reader(clip_id)
            _check(view, reader.layout.views)
            _check(t, reader.layout.frames)
            maps = reader.frame(view, t, ("depth", layer))
        colours, shown = _coloured(layer, maps[layer], maps["depth"] > 0)
        stream = io.BytesIO()
        Image.fromarray(np.dstack([colours, np.where(shown, 255, 0).astype(np.uint8)])).save(
            stream, format="PNG", compress_level=1
        )
        return stream.getvalue()


def _coloured(layer: str, values: Array, person: Array) -> tuple[UInt8[Array, "H W 3"], Array]:
    """Colours of a label map, and where it has any."""
    if layer == "parts":
        return part_colours()[values], values > 0
    if layer == "garments":
        return garment_colours()[values % 8], values > 0
    draw = {"depth": depth_colours, "normal": normal_colours, "flow": flow_colours}[layer]
    return draw(values, person), person


def _garment(reader: ShardReader, mesh: int) -> str:
    _check(mesh - 1, len(reader.layout.garments))
    return reader.layout.garments[mesh - 1][0]


def _check(index: int, count: int) -> None:
    if not 0 <= index < count:
        raise KeyError(index)


def _plain(values: Array) -> Any:
    """Nested lists of numbers rounded to 6 digits after the point, null for what is not finite."""
    if values.dtype.kind != "f":
        return values.tolist()
    text = json.dumps(np.round(values, 6).tolist())
    return json.loads(text.replace("NaN", "null"))
