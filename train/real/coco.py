"""COCO's person keypoints (Lin et al. 2014): single pictures, one record a person."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from synth.body.joints import KEYPOINT_SETS
from synth.errors import SynthError
from train.real.files import Fields, json_fields
from train.real.geometry import FROM_ZERO
from train.real.record import OCCLUDED, ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["COCO", "joint_order", "keypoints", "xywh"]

Array = np.ndarray


class COCO(Source):
    """COCO keypoints of 2014 or 2017. People without a single keypoint, and crowds, are left out."""

    name = "coco"
    splits = ("train", "val")
    expects = "a folder with annotations/person_keypoints_train2017.json (or 2014) and train2017/"

    def _index(self) -> Sequence[Entry]:
        found = sorted((self.path / "annotations").glob(f"person_keypoints_{self.split}20??.json"))
        if not found:
            return []
        self.file = found[-1]
        folder = self.file.stem.removeprefix("person_keypoints_")
        inside = self.path / "images" / folder
        self.folder = inside if inside.is_dir() else self.path / folder
        content = json_fields(self.file)
        order = joint_order(content, KEYPOINT_SETS["coco17"].names)
        self.pictures = [_picture(image) for image in content.rows("images")]
        places = {image.integer("id"): i for i, image in enumerate(content.rows("images"))}
        entries, points, boxes, self.place = [], [], [], []
        for person in content.rows("annotations"):
            if "keypoints" not in person or person.content.get("iscrowd") == 1:
                continue
            annotated = keypoints(person, order)
            if not annotated[:, 2].any():
                continue
            number = person.integer("image_id")
            if number not in places:
                raise person.wrong("image_id", "a picture of the file", number)
            entries.append(Entry(name=str(person.integer("id")), frames=1, fps=None))
            points.append(annotated)
            boxes.append(xywh(person))
            self.place.append(places[number])
        # the file's own objects would take ten times the memory
        self.points, self.boxes = np.array(points, dtype=np.float32), np.array(boxes, dtype=np.float32)
        return entries

    def _read(self, index: int) -> Record:
        file_name, width, height = self.pictures[self.place[index]]
        annotated = self.points[index : index + 1].astype(np.float64)
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=(ImageRef(path=self.folder / file_name),),
            image_size=(width, height),
            frame_ids=np.zeros(1, dtype=np.int64),
            split=self.split,
            bbox=self.boxes[index : index + 1].astype(np.float64),
            keypoints_set="coco17",
            keypoints_2d=annotated[..., :2],
            confidence=annotated[..., 2],
        )


def _picture(image: Fields) -> tuple[str, int, int]:
    """Name, width and height of a picture, the name checked to stay in its folder."""
    image.below(Path(), "file_name")
    return image.text("file_name"), image.integer("width"), image.integer("height")


def joint_order(content: Fields, expected: tuple[str, ...]) -> Int[Array, " K"]:
    """Where each of our points stands in the list that a COCO-like file states; our order if it states none.

    Raises:
        SynthError: it lists other points, so the labels would be taken for others'.
    """
    for category in content.rows("categories") if "categories" in content else ():
        if category.content.get("name") == "person" and "keypoints" in category:
            stated = category["keypoints"]
            if not isinstance(stated, list) or sorted(map(str, stated)) != sorted(expected):
                problem = f"{content.path}: {category.at('keypoints')}: other joints than this reader knows"
                raise SynthError(problem, f"It knows {', '.join(expected)}")
            return np.array([stated.index(name) for name in expected])
    return np.arange(len(expected))


def keypoints(person: Fields, order: Int[Array, " K"]) -> Float[Array, "K 3"]:
    """Keypoints of an annotation in our order: x, y [px], NaN where not annotated, and confidence."""
    values = person.array("keypoints", 3 * len(order)).reshape(-1, 3)[order]
    flag = np.nan_to_num(values[:, 2])
    confidence = np.where(flag >= 2, 1.0, np.where(flag > 0, OCCLUDED, 0.0))
    points = np.where(flag[:, None] > 0, values[:, :2] + FROM_ZERO, np.nan)
    return np.concatenate([points, confidence[:, None]], axis=1)


def xywh(person: Fields) -> Array:
    """The annotation's box as x0, y0, x1, y1 [px]; NaN if it is empty or missing."""
    if "bbox" not in person or person["bbox"] in ([], None):
        return np.full(4, np.nan)
    x, y, width, height = person.array("bbox", 4)
    return np.array([x, y, x + width, y + height]) if width > 0 and height > 0 else np.full(4, np.nan)
