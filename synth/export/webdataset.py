"""WebDataset: tar files of samples, for streaming over a network."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np

from synth.export.labels import View, views_of
from synth.shards import schema
from synth.shards.manifest import ShardFolder

__all__ = ["CANNOT_HOLD", "NOTES", "write"]

SAMPLES = 1000
"""Samples in one tar file."""

NOTES = """\
000000.tar, 000001.tar ...; a sample's key is <clip id>_v<view>_<frame>. jpg: the picture; json: all small labels in
their physical units; npz: depth, flow, normal, parts, garments as stored (integers) and <name>_scale for each, physical
value = integer x scale."""
CANNOT_HOLD = (
    "meshes of body and garments, their quality and the spec: the clip's shard holds them",
    "the order of frames: a sample knows its clip, view and frame, but shuffling is what the format is for",
)
_MAPS = ("depth", "flow", "normal", "parts", "garments")


def write(shards: ShardFolder, out: Path, every: int) -> int:
    """Write the tar files; returns the number of samples."""
    count, tar = 0, None
    for view in views_of(shards):
        for t in view.seen(every).tolist():
            if count % SAMPLES == 0:
                if tar is not None:
                    tar.close()
                tar = tarfile.open(out / f"{count // SAMPLES:06d}.tar", "w")  # noqa: SIM115
            assert tar is not None
            _add(tar, view, t)
            count += 1
    if tar is not None:
        tar.close()
    return count


def _add(tar: tarfile.TarFile, view: View, t: int) -> None:
    files = {"jpg": view.reader.jpeg(view.view, t), "json": _labels(view, t), "npz": _maps(view, t)}
    for ending, content in files.items():
        info = tarfile.TarInfo(f"{view.name}_{t:06d}.{ending}")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def _labels(view: View, t: int) -> bytes:
    points = view.keypoints_2d[t]
    labels = {
        "clip_id": view.entry.clip_id,
        "view": view.view,
        "frame": t,
        "fps": float(view.reader.attributes["fps"]),
        "gender": view.gender,
        "K": view.K.tolist(),
        "T_camera_world": view.T_camera_world[t].tolist(),
        "betas": view.betas.tolist(),
        "body_pose": view.body_pose[t].reshape(23, 3).tolist(),
        "global_orient_camera": view.orient_camera[t].tolist(),
        "transl_camera": view.transl_camera[t].tolist(),
        "keypoints_2d": [p if np.isfinite(p).all() else None for p in points.tolist()],
        "joints_camera": view.joints_camera[t].tolist(),
        "visibility": view.visibility[t].tolist(),
        "bbox": view.bbox[t].tolist(),
        "garments": [name for name, _, _ in view.reader.layout.garments],
    }
    return json.dumps(labels, allow_nan=False).encode()


def _maps(view: View, t: int) -> bytes:
    stream = io.BytesIO()
    maps = {name: view.reader.dataset(f"views/{view.view}/{name}")[t] for name in _MAPS}
    scales = {f"{name}_scale": np.float64(schema.VIEW[name].scale) for name in _MAPS}
    np.savez_compressed(stream, **maps, **scales)
    return stream.getvalue()
