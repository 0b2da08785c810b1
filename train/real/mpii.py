"""MPII Human Pose (Andriluka et al. 2014): single pictures, from the original .mat or the JSON most code trains on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synth.errors import SynthError
from train.real.files import Fields, readable
from train.real.geometry import FROM_MATLAB, square
from train.real.matlab import mat_fields
from train.real.record import OCCLUDED, ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["MPII"]

Array = np.ndarray
Person = tuple[str, Array, Array, Array]
"""Picture, keypoints (16, 2) and confidence (16,), box (4,) [px]."""


class MPII(Source):
    """MPII. The box is the square that its "scale" and "objpos" describe: 200 pixels times the scale.

    Read are, whichever is found first: annot/train.json and valid.json (lists of joints, joints_vis, center, scale),
    mpii_annotations.json (joint_self), or mpii_human_pose_v1_u12_1.mat, whose only labelled split is "train".
    """

    name = "mpii"
    splits = ("train", "valid")
    expects = "a folder with mpii_human_pose_v1_u12_1.mat (or annot/train.json) and images/"

    def _index(self) -> Sequence[Entry]:
        self.people = list(self._people())
        return [Entry(name=f"{i:06d}/{person[0]}", frames=1, fps=None) for i, person in enumerate(self.people)]

    def _people(self) -> Iterator[Person]:
        for folder in (self.path / "annot", self.path / "annotations", self.path):
            if (path := folder / f"{self.split}.json").exists():
                return _of_lists(path)
            if (path := folder / "mpii_annotations.json").exists():
                return _of_one_list(path, validation=self.split == "valid")
        found = sorted(self.path.glob("**/mpii_human_pose_v1_u12_*.mat"))
        if found and self.split == "train":
            return _of_release(found[0])
        return iter(())

    def _read(self, index: int) -> Record:
        picture, points, confidence, box = self.people[index]
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=(ImageRef(path=self.path / "images" / picture),),
            frame_ids=np.zeros(1, dtype=np.int64),
            split=self.split,
            bbox=box[None],
            keypoints_set="mpii16",
            keypoints_2d=points[None],
            confidence=confidence[None],
        )


def _person(row: Fields, picture: str, points: Array, confidence: Array, center: Array, scale: float) -> Person:
    row.below(Path(), picture)
    known = np.where(confidence[:, None] > 0, points + FROM_MATLAB, np.nan)
    valid = scale > 0 and np.isfinite(center).all() and (center > 0).all()
    box = square(center[None] + FROM_MATLAB, np.array([200 * scale]))[0] if valid else np.full(4, np.nan)
    return row.text(picture), known, confidence, box


def _json_rows(path: Path) -> list[Fields]:
    import json

    with readable(path, "JSON"):
        content: Any = json.loads(path.read_bytes())
    if isinstance(content, dict) and "root" in content:
        content = content["root"]
    return Fields(path, {"people": content}).rows("people")


def _of_lists(path: Path) -> Iterator[Person]:
    """People of train.json and valid.json: unlabelled joints have joints_vis 0."""
    for row in _json_rows(path):
        points, seen = row.array("joints", 16, 2), row.array("joints_vis", 16)
        confidence = np.where((np.nan_to_num(seen) > 0) & (points > 0).any(axis=1), 1.0, 0.0)
        yield _person(row, "image", points, confidence, row.array("center", 2), row.number("scale"))


def _of_one_list(path: Path, validation: bool) -> Iterator[Person]:
    """People of mpii_annotations.json: x, y and whether seen; all zero where not annotated."""
    for row in _json_rows(path):
        if bool(row.number("isValidation")) == validation:
            joints = row.array("joint_self", 16, 3)
            annotated = (joints[:, :2] != 0).any(axis=1)
            confidence = np.where(annotated, np.where(joints[:, 2] > 0, 1.0, OCCLUDED), 0.0)
            center, scale = row.array("objpos", 2), row.number("scale_provided")
            yield _person(row, "img_paths", joints[:, :2], confidence, center, scale)


def _of_release(path: Path) -> Iterator[Person]:
    """People of the original file; pictures for testing, and people who are only counted, have no points."""
    release = mat_fields(path, "RELEASE").fields("RELEASE")
    training = release.array("img_train").ravel()
    pictures = release.rows("annolist")
    if len(training) != len(pictures):
        raise release.wrong("img_train", f"{len(pictures)} flags", training)
    for picture, is_training in zip(pictures, training, strict=True):
        people = picture.content.get("annorect")
        if is_training == 1 and isinstance(people, list):
            name = picture.fields("image")
            for person in picture.rows("annorect"):
                if isinstance(person.content.get("annopoints"), list) and person.content["annopoints"]:
                    yield _rect(person, name)


def _rect(person: Fields, image: Fields) -> Person:
    points, confidence = np.zeros((16, 2)), np.zeros(16)
    for point in person.fields("annopoints").rows("point"):
        joint = point.integer("id")
        if not 0 <= joint < 16:
            raise point.wrong("id", "a joint from 0 to 15", joint)
        points[joint] = point.number("x"), point.number("y")
        confidence[joint] = _seen(point)
    center, scale = np.full(2, np.nan), 0.0
    if isinstance(person.content.get("objpos"), list) and person.content["objpos"]:
        where = person.fields("objpos")
        center, scale = np.array([where.number("x"), where.number("y")]), person.number("scale")
    try:
        return _person(image, "name", points, confidence, center, scale)
    except SynthError as error:
        raise SynthError(f"{error.problem} (of {person.where})", error.hint) from None


def _seen(point: Fields) -> float:
    """1 for a joint that is seen, less for a hidden one; the flag is missing or empty for the head."""
    flag = point.content.get("is_visible")
    if flag is None or np.size(flag) == 0:
        return 1.0
    text = flag if isinstance(flag, str) else str(int(point.number("is_visible")))
    return OCCLUDED if text == "0" else 1.0
