"""PoseTrack 2018 (Andriluka et al. 2018): videos of many people, one record a track."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.real.coco import joint_order, keypoints, xywh
from train.real.files import Fields, json_fields
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["PoseTrack"]

NAMES = (
    "nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip


class PoseTrack(Source):
    """PoseTrack18. A track spans from the first to the last picture that shows the person.

    Files list their joints, and are read by those names: VIBE's reader reorders them too, so the order may differ.
    Frames without labels (outside of the middle every fourth is labelled) are masked. The rate is not stated.
    """

    name = "posetrack"
    splits = ("train", "val")
    expects = "a folder with annotations/train/*.json (or posetrack_data/annotations/train/) and images/train/"

    def _index(self) -> Sequence[Entry]:
        entries, self.places = [], []
        for inside in ("annotations", "posetrack_data/annotations", "posetrack_data"):
            files = sorted((self.path / inside / self.split).glob("*.json"))
            if files:
                break
        for path in files:
            content = json_fields(path)
            joint_order(content, NAMES)  # refuses other joints before anything is trained
            for track, (first, last) in _spans(content).items():
                entries.append(Entry(name=f"{path.stem}/{track}", frames=last - first + 1, fps=None))
                self.places.append((path, track, first))
        return entries

    def _read(self, index: int) -> Record:
        path, track, first = self.places[index]
        content = json_fields(path)
        frames = self.entries[index].frames
        pictures = content.rows("images")
        if first + frames > len(pictures):
            raise content.wrong("images", f"{first + frames} pictures", content["images"])
        points = np.full((frames, 17, 3), np.nan)
        boxes = np.full((frames, 4), np.nan)
        order = joint_order(content, NAMES)
        for person, place in _people(content):
            if person.integer("track_id") == track and 0 <= place - first < frames:
                points[place - first] = keypoints(person, order)
                boxes[place - first] = xywh(person)
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=tuple(ImageRef(path=self._picture(image)) for image in pictures[first : first + frames]),
            frame_ids=np.arange(first, first + frames),
            subject=f"{path.stem}/{track}",
            split=self.split,
            bbox=boxes,
            keypoints_set="posetrack17",
            keypoints_2d=points[..., :2],
            # its flag is 1 for every annotated point; hidden ones are not told apart
            confidence=(points[..., 2] > 0).astype(np.float64),
        )

    def _picture(self, image: Fields) -> Path:
        return image.below(self.path, "file_name")


def _people(content: Fields) -> list[tuple[Fields, int]]:
    """Annotations with keypoints, and the place of their picture in the video."""
    places = {image.integer("id"): i for i, image in enumerate(content.rows("images"))}
    people = []
    for person in content.rows("annotations"):
        if person.content.get("keypoints"):
            number = person.integer("image_id")
            if number not in places:
                raise person.wrong("image_id", "a picture of the file", number)
            people.append((person, places[number]))
    return people


def _spans(content: Fields) -> dict[int, tuple[int, int]]:
    """First and last place of each track."""
    spans: dict[int, tuple[int, int]] = {}
    for person, place in _people(content):
        track = person.integer("track_id")
        first, last = spans.get(track, (place, place))
        spans[track] = min(first, place), max(last, place)
    return spans
