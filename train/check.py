"""Read a real data set from end to end: what it holds, what is missing, and a sheet of samples to be looked at."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from synth.body.lbs import joint_transforms, shaped
from synth.body.model import load_named
from synth.errors import SynthError
from synth.files import replacing
from synth.types import BodyModel
from train.joints import convert, joint_set
from train.real import Record, Source, labels
from train.real.geometry import project_frames
from train.real.pictures import picture_size, read_picture

Array = np.ndarray

__all__ = ["Report", "check", "draw_sheet"]

LABELS = ("boxes", "keypoints", "3D joints", "pose", "shape", "translation", "intrinsics")
_LIMBS = ("hip knee", "knee ankle", "shoulder elbow", "elbow wrist", "shoulder hip", "ankle big_toe", "eye ear")
BONES = [(f"{side}_{a}", f"{side}_{b}") for a, b in map(str.split, _LIMBS) for side in ("left", "right")]
BONES += [(f"left_{part}", f"right_{part}") for part in ("shoulder", "hip")]
BONES += [("neck", "head_top"), ("neck", "h36m_head"), ("mid_hip", "neck"), ("nose", "left_eye"), ("nose", "right_eye")]
_LEFT, _RIGHT, _MIDDLE = (255, 146, 43), (51, 173, 255), (240, 240, 240)
_BACK, _TEXT, _FAINT, _BOX, _SOLID = (24, 26, 30), (232, 232, 232), (150, 154, 160), (90, 220, 120), (255, 90, 200)
_CELL, _GAP = 220, 6


@dataclass(slots=True, kw_only=True)
class Report:
    """What was found; counts of frames unless they say otherwise."""

    tracks: int = 0
    stills: int = 0
    frames: int = 0
    rates: Counter = field(default_factory=Counter)
    """Frames by rate [Hz]; "unknown" for videos that do not state it, "single" for pictures."""
    keypoint_sets: Counter = field(default_factory=Counter)
    joint_sets: Counter = field(default_factory=Counter)
    valid: Counter = field(default_factory=Counter)
    """Labels that are known, by kind; keypoints and 3D joints are counted each."""
    possible: Counter = field(default_factory=Counter)
    """Labels that could be."""
    boxes: int = 0
    """Boxes held against their picture."""
    boxes_across: int = 0
    """Of these, boxes that reach more than a pixel over the picture's edge."""
    boxes_outside: int = 0
    """Of these, boxes that lie outside of it altogether."""
    pictures_missing: int = 0
    sides: int = 0
    """Pairs of left and right limbs that are known in 2D and in 3D."""
    sides_agree: int = 0
    """Of these, pairs of which both say the same is further right."""

    def lines(self) -> list[str]:
        """The report as text."""
        videos = f"{self.tracks - self.stills} videos" + (f", {self.stills} single pictures" if self.stills else "")
        rates = ", ".join(f"{rate}: {count}" for rate, count in self.rates.most_common())
        out = [f"tracks               {self.tracks} ({videos})", f"frames               {self.frames}"]
        out.append(f"frames by rate [Hz]  {rates}")
        for title, sets in (("keypoints", self.keypoint_sets), ("3D joints", self.joint_sets)):
            named = ", ".join(f"{name} ({len(joint_set(name))})" for name in sets)
            out.append(f"{title:<20} {named or 'none'}")
        for name in LABELS:
            share = self.valid[name] / self.possible[name] if self.possible[name] else 0.0
            out.append(f"known {name:<14} {share:7.1%}")
        out.append(f"boxes over the edge  {self.boxes_across} of {self.boxes}, {self.boxes_outside} wholly outside")
        out.append(f"pictures missing     {self.pictures_missing}")
        if self.sides:
            share = self.sides_agree / self.sides
            out.append(f"2D and 3D agree      {share:.1%} of {self.sides} left-right pairs")
        return out

    def faults(self) -> list[str]:
        """What a person should look into."""
        out = []
        if self.pictures_missing:
            out.append(f"{self.pictures_missing} pictures are missing: is the folder complete?")
        if self.boxes_outside:
            out.append(f"{self.boxes_outside} boxes lie outside of their pictures")
        if self.sides >= 20 and self.sides_agree < 0.9 * self.sides:
            out.append("keypoints and 3D joints disagree about left and right: mirrored or mislabelled?")
        return out


def check(source: Source, limit: int | None = None) -> Report:
    """Read every track, or `limit` of them spread evenly.

    Raises:
        SynthError: a file is damaged; the message names it and the field.
    """
    report, seen = Report(), {}
    for index in spread(len(source), limit):
        _count(report, source[index], seen)
    return report


def spread(total: int, limit: int | None) -> list[int]:
    """Numbers below `total`, all or `limit` of them at even distances."""
    count = total if limit is None else min(limit, total)
    return np.unique(np.linspace(0, total - 1, count).astype(int)).tolist() if count else []


def _count(report: Report, record: Record, seen: dict[Path, bool]) -> None:
    frames = len(record)
    report.tracks += 1
    report.frames += frames
    single = record.still and bool(record.images)
    report.stills += single
    report.rates["single" if single else "unknown" if record.fps is None else f"{record.fps:g}"] += frames
    known = (
        record.bbox_valid, record.keypoints_valid, record.joints_valid, record.pose_valid, record.betas_valid,
        record.transl_valid, record.K_valid,
    )  # fmt: skip
    for name, mask in zip(LABELS, known, strict=True):
        report.valid[name] += int(mask.sum())
        report.possible[name] += mask.size
    report.keypoint_sets.update({record.keypoints_set} if record.keypoints_valid.any() else ())
    report.joint_sets.update({record.joints_set} if record.joints_valid.any() else ())
    for path in {ref.path for ref in record.images} - seen.keys():
        seen[path] = path.exists()
    report.pictures_missing += sum(not seen[ref.path] for ref in record.images)
    _count_boxes(report, record)
    _count_sides(report, record)


def _count_boxes(report: Report, record: Record) -> None:
    boxes = record.bbox[record.bbox_valid]
    if not len(boxes) or not record.images:
        return
    try:
        width, height = record.image_size or picture_size(record.images[0])
    except SynthError:
        return  # missing pictures are counted already
    edge = np.array([width, height])
    report.boxes += len(boxes)
    report.boxes_across += int(((boxes[:, :2] < -1) | (boxes[:, 2:] > edge + 1)).any(axis=1).sum())
    report.boxes_outside += int(((boxes[:, 2:] <= 0) | (boxes[:, :2] >= edge)).any(axis=1).sum())


def _count_sides(report: Report, record: Record) -> None:
    """Compare which of two limbs is further right in the picture and in the camera's frame."""
    taken = labels(record, joints="vocabulary")
    if not taken["joints_valid"].any():
        return
    names = joint_set("vocabulary")
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        pair = [names.index(f"{side}_{part}") for side in ("left", "right")]
        usable = (taken["confidence"][:, pair] > 0).all(axis=1) & taken["joints_valid"][:, pair].all(axis=1)
        apart = np.diff(taken["joints_3d"][:, pair, 0], axis=1)[:, 0]
        flat = np.diff(taken["keypoints_2d"][:, pair, 0], axis=1)[:, 0]
        usable &= np.abs(apart) > 0.05  # closer ones may change places by perspective
        report.sides += int(usable.sum())
        report.sides_agree += int((np.sign(apart) == np.sign(flat))[usable].sum())


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
