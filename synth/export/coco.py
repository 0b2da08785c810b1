"""COCO's keypoint annotations with the person's mask, one person a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from synth.body.joints import KEYPOINT_SETS
from synth.export.labels import View, named_points, views_of, visible_points, write_pictures
from synth.shards.manifest import ShardFolder

Array = np.ndarray

__all__ = ["CANNOT_HOLD", "NOTES", "write"]

NOTES = """\
annotations.json; pictures under images/. Keypoints are COCO's 17, not rounded: 2 seen, 1 hidden, 0 outside the picture.
The segmentation is the person's mask, clothes included, as an uncompressed run-length code; bbox is x, y, width and
height."""
CANNOT_HOLD = (
    "anything in three dimensions: pose, shape, meshes, cameras",
    "depth, flow, normals, body parts, which garment",
    "motion over time (the picture's name holds clip, view and frame)",
)
_NAMES = KEYPOINT_SETS["coco17"].names
_BONES = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip


def write(shards: ShardFolder, out: Path, every: int) -> int:
    """Write annotations.json and the pictures; returns the number of pictures."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for view in views_of(shards):
        frames = view.seen(every)
        write_pictures(view, frames, out)
        points, pixels, _ = named_points(view, tuple(("coco17", name) for name in _NAMES))
        for t in frames.tolist():
            number, layout = len(images) + 1, view.reader.layout
            images.append({"id": number, "file_name": view.picture(t), "width": layout.width, "height": layout.height})
            annotations.append(_annotation(view, t, number, points[t], pixels[t]))
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(_NAMES), "skeleton": _BONES}
    page = {"info": {"description": "clothed human motion, rendered"}, "licenses": [], "images": images}
    text = json.dumps({**page, "annotations": annotations, "categories": [category]}, allow_nan=False)
    (out / "annotations.json").write_text(text, encoding="utf-8")
    return len(images)


def _annotation(view: View, t: int, number: int, points: Array, pixels: Array) -> dict[str, Any]:
    inside, seen = visible_points(view, t, _NAMES, points, pixels)
    flags = np.where(seen, 2, inside.astype(int))
    keypoints = np.column_stack([np.where(inside[:, None], pixels, 0.0), flags])
    mask = view.reader.frame(view.view, t, ("depth",))["depth"] > 0
    x0, y0, x1, y1 = view.bbox[t].tolist()
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "iscrowd": 0,
        "area": int(mask.sum()),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
        "keypoints": keypoints.ravel().tolist(),
        "num_keypoints": int(inside.sum()),
    }


def run_lengths(mask: Bool[Array, "H W"]) -> list[int]:
    """COCO's run-length code: lengths of runs of 0, 1, 0 ... down the columns."""
    flat = mask.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends.tolist(), len(flat)]).tolist()
    return [0, *runs] if flat[0] else runs
