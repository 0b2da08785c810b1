"""A sheet of samples of a real data set with their labels, to be looked at."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from synth.body.lbs import joint_transforms, shaped
from synth.body.model import load_named
from synth.errors import SynthError
from synth.files import replacing
from synth.types import BodyModel
from train.check import spread
from train.joints import convert, joint_set
from train.real import Record, Source
from train.real.geometry import project_frames
from train.real.pictures import read_picture

Array = np.ndarray

__all__ = ["draw_sheet"]

_LIMBS = ("hip knee", "knee ankle", "shoulder elbow", "elbow wrist", "shoulder hip", "ankle big_toe", "eye ear")
BONES = [(f"{side}_{a}", f"{side}_{b}") for a, b in map(str.split, _LIMBS) for side in ("left", "right")]
BONES += [(f"left_{part}", f"right_{part}") for part in ("shoulder", "hip")]
BONES += [("neck", "head_top"), ("neck", "h36m_head"), ("mid_hip", "neck"), ("nose", "left_eye"), ("nose", "right_eye")]
_LEFT, _RIGHT, _MIDDLE = (255, 146, 43), (51, 173, 255), (240, 240, 240)
_BACK, _TEXT, _FAINT, _BOX, _SOLID = (24, 26, 30), (232, 232, 232), (150, 154, 160), (90, 220, 120), (255, 90, 200)
_CELL, _GAP = 220, 6


def draw_sheet(source: Source, out: Path, samples: int = 12) -> int:
    """Draw samples with their labels: keypoints on the picture, and SMPL's pose on the free body's bones.

    Left is orange, right blue, projected 3D joints pink crosses, the box green. The pose is seen by the camera, or, for
    motions without one, along the world's Y axis.

    Args:
        source: The data set.
        out: PNG to write, all or nothing.
        samples: Number of tracks, spread evenly; of each the frame with most labels.

    Returns:
        Number of samples drawn.
    """
    body = load_named("free", "neutral")
    cells = [cell for index in spread(len(source), samples) for cell in _cells(source[index], body)]
    columns = 6
    rows = -(-len(cells) // columns)
    line = _CELL + 34
    sheet = Image.new("RGB", (columns * (_CELL + _GAP) + _GAP, rows * line + 30), _BACK)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, 6), f"{source.name}: {source.path.name} ({source.split})", _TEXT, ImageFont.load_default(14))
    small = ImageFont.load_default(10)
    for number, (image, caption, about) in enumerate(cells):
        x, y = _GAP + number % columns * (_CELL + _GAP), 28 + number // columns * line
        sheet.paste(image, (x, y))
        pen.text((x, y + _CELL + 2), caption[-40:], _TEXT, small)
        pen.text((x, y + _CELL + 15), about, _FAINT, small)
    with replacing(out) as part:
        sheet.save(part, format="PNG")
    return len(spread(len(source), samples))


def _cells(record: Record, body: BodyModel) -> Iterator[tuple[Image.Image, str, str]]:
    t = int(np.argmax(record.keypoints_valid.sum(axis=1) + record.joints_valid.sum(axis=1) + record.pose_valid))
    if record.images:
        known = int(record.keypoints_valid[t].sum())
        yield _pictured(record, t), record.name, f"frame {record.frame_ids[t]}: {known} keypoints"
    if record.pose_valid[t]:
        yield _posed(record, t, body), record.name, f"SMPL pose ({record.smpl_frame}), free body"


def _pictured(record: Record, t: int) -> Image.Image:
    """The stretch of the picture around the labels, with them."""
    try:
        picture = Image.fromarray(read_picture(record.images[t]))
    except SynthError:
        picture = Image.new("RGB", record.image_size or (256, 256), (60, 40, 40))
    points = record.keypoints_2d[t]
    corners = [
        points[np.isfinite(points).all(axis=1)],
        record.bbox[t].reshape(2, 2)[record.bbox_valid[t, None].repeat(2)],
    ]
    around = np.concatenate([*corners, np.empty((0, 2))])
    around = around[(np.abs(around) < 1e5).all(axis=1)]
    low, high = (around.min(axis=0), around.max(axis=0)) if len(around) else (np.zeros(2), np.array(picture.size))
    side = max(float((high - low).max()) * 1.25, 16.0)
    start = (low + high) / 2 - side / 2
    scale = 2 * _CELL / side
    image = picture.transform(
        (2 * _CELL, 2 * _CELL), Image.Transform.AFFINE, (1 / scale, 0, start[0], 0, 1 / scale, start[1])
    ).point(lambda value: value * 0.75)
    pen = ImageDraw.Draw(image)
    if record.bbox_valid[t]:
        pen.rectangle(((record.bbox[t].reshape(2, 2) - start) * scale).ravel().tolist(), outline=_BOX, width=2)
    shown, known = convert(points, record.keypoints_valid[t], record.keypoints_set, "vocabulary")
    _bones(pen, (shown - start) * scale, known, joint_set("vocabulary"))
    if record.joints_absolute and record.K_valid[t]:
        for x, y in (project_frames(record.joints_3d[t : t + 1], record.K[t : t + 1])[0] - start) * scale:
            if np.isfinite([x, y]).all() and abs(x) + abs(y) < 1e5:
                pen.line([x - 5, y - 5, x + 5, y + 5], fill=_SOLID, width=2)
                pen.line([x - 5, y + 5, x + 5, y - 5], fill=_SOLID, width=2)
    return image.resize((_CELL, _CELL), Image.Resampling.LANCZOS)


def _posed(record: Record, t: int, body: BodyModel) -> Image.Image:
    """SMPL's pose on the free body's skeleton; the picture's axes are the camera's x and y, or the world's x and -z."""
    zero = np.zeros(body.shapedirs.shape[-1])
    _, rest = shaped(body, zero)
    pose = record.body_pose[t : t + 1]
    transforms = joint_transforms(body, zero, record.global_orient[t : t + 1], pose, np.zeros((1, 3)))[0]
    joints = np.einsum("jab,jb->ja", transforms[:, :3, :3], rest) + transforms[:, :3, 3]
    flat = joints[:, :2] if record.smpl_frame == "camera" else joints[:, [0, 2]] * [1, -1]
    flat = flat - (flat.min(axis=0) + flat.max(axis=0)) / 2
    image = Image.new("RGB", (2 * _CELL, 2 * _CELL), (40, 42, 48))
    at = flat * (1.6 * _CELL / 2.0) + _CELL
    pen = ImageDraw.Draw(image)
    names = joint_set("smpl24")
    for child, parent in enumerate(body.parents.tolist()):
        if parent >= 0:
            pen.line([*at[parent], *at[child]], fill=_colour(names[child]), width=5)
    return image.resize((_CELL, _CELL), Image.Resampling.LANCZOS)


def _bones(pen: ImageDraw.ImageDraw, at: Float[Array, "K 2"], known: Array, names: tuple[str, ...]) -> None:
    usable = known & (np.abs(np.nan_to_num(at, nan=1e9)) < 1e5).all(axis=1)
    place = {name: i for i, name in enumerate(names) if usable[i]}
    for first, second in BONES:
        if first in place and second in place:
            one_side = first.split("_")[0] == second.split("_")[0]
            pen.line([*at[place[first]], *at[place[second]]], fill=_colour(first) if one_side else _MIDDLE, width=3)
    for name, i in place.items():
        x, y = at[i]
        pen.ellipse([x - 5, y - 5, x + 5, y + 5], fill=_colour(name), outline=_BACK)


def _colour(name: str) -> tuple[int, int, int]:
    return _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _MIDDLE
