"""Read a real data set from end to end: what it holds, what is missing, and whether left is left."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from synth.errors import SynthError
from train.joints import joint_set
from train.real import Record, Source, labels
from train.real.pictures import picture_size

Array = np.ndarray

__all__ = ["Report", "check", "spread"]

SEEN = 0.5
"""Keypoints more certain than this take part in judging left and right; hidden ones (`OCCLUDED`) do not."""
LABELS = ("boxes", "keypoints", "3D joints", "pose", "shape", "translation", "intrinsics")


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
    facing: Counter = field(default_factory=Counter)
    """Pairs of shoulders and of hips of upright people whose viewpoint is known, by "front" and "back"."""
    facing_agree: Counter = field(default_factory=Counter)
    """Of these, pairs whose left one lies on the side that the viewpoint demands."""

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
        for view, side in (("front", "right"), ("back", "left")):
            if self.facing[view]:
                share = self.facing_agree[view] / self.facing[view]
                out.append(f"seen from the {view:<6} {share:.1%} of {self.facing[view]} pairs have left on the {side}")
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
        wrong = [
            view
            for view in ("front", "back")
            if self.facing[view] >= 20 and self.facing_agree[view] < 0.75 * self.facing[view]
        ]
        if wrong == ["back"]:
            out.append("left and right fit people seen from the front, not from the back: the viewer's sides?")
        elif wrong:
            out.append("left and right do not fit people seen from the front: exchanged?")
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
    _count_facing(report, record)


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


def _count_facing(report: Report, record: Record) -> None:
    """Hold shoulders and hips against the side from which the person is seen.

    A data set may state it (Penn Action); else two eyes that are seen mean the front. Lying and diving people, and
    pairs nearly behind each other, say nothing.
    """
    taken = labels(record, joints="vocabulary")
    names, points, sure = joint_set("vocabulary"), taken["keypoints_2d"], taken["confidence"] > SEEN

    def pair(part: str) -> list[int]:
        return [names.index(f"{side}_{part}") for side in ("left", "right")]

    shoulders, hips = points[:, pair("shoulder")].mean(axis=1), points[:, pair("hip")].mean(axis=1)
    known = sure[:, pair("shoulder")].all(axis=1) & sure[:, pair("hip")].all(axis=1)
    down = hips - shoulders
    upright = known & (down[:, 1] > 2 * np.abs(down[:, 0]))
    view = record.facing or "front"
    if view not in ("front", "back"):
        return
    if not record.facing:
        upright &= sure[:, pair("eye")].all(axis=1)
    for part in ("shoulder", "hip"):
        left, right = points[:, pair(part)].transpose(1, 0, 2)
        apart = (left - right)[:, 0] * (1 if view == "front" else -1)
        usable = upright & (np.abs(apart) > 0.2 * down[:, 1])
        report.facing[view] += int(usable.sum())
        report.facing_agree[view] += int((apart > 0)[usable].sum())
