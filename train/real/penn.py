"""Penn Action (Zhang et al. 2013): short videos of one person doing sport."""

from collections.abc import Sequence

import numpy as np

from train.real.files import Fields
from train.real.geometry import FROM_MATLAB
from train.real.matlab import mat_fields
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["PennAction"]

FACING = ("front", "back", "left", "right")


class PennAction(Source):
    """Penn Action. Joints: head, then RIGHT and left of each; hidden ones are masked.

    Its README has left before right, but means the viewer's left of a person seen from the front: compared with
    detections, and by readers that train on other sets besides, the first of each pair is the person's right
    (docs/real-data.md). `Record.facing` is the coarse viewpoint ("pose"), against which `train check` holds the sides.

    The rate is not stated. Boxes may be missing for the last frames.
    """

    name = "penn"
    splits = ("train", "test")
    expects = "a folder with labels/0001.mat and frames/0001/000001.jpg"

    def _index(self) -> Sequence[Entry]:
        entries, self.places = [], []
        for path in sorted((self.path / "labels").glob("*.mat")):
            fields = mat_fields(path, "train", "nframes")
            if (fields.number("train") > 0) == (self.split == "train"):
                frames = fields.integer("nframes")
                if not 0 < frames < 1 << 24:
                    raise fields.wrong("nframes", "a number of frames", frames)
                entries.append(Entry(name=path.stem, frames=frames, fps=None))
                self.places.append(path)
        return entries

    def _read(self, index: int) -> Record:
        path, frames = self.places[index], self.entries[index].frames
        fields = mat_fields(path)
        x, y, seen = (fields.array(name, frames, 13) for name in ("x", "y", "visibility"))
        boxes = np.full((frames, 4), np.nan)
        if "bbox" in fields:
            given = np.atleast_2d(fields.array("bbox"))
            if given.ndim != 2 or given.shape[1] != 4:
                raise fields.wrong("bbox", "rows of 4 numbers", given)
            count = min(frames, len(given))
            boxes[:count] = given[:count] + FROM_MATLAB
        dimensions = fields.integers("dimensions").ravel().tolist()
        if len(dimensions) != 3:
            raise fields.wrong("dimensions", "height, width and frames", fields["dimensions"])
        folder = self.path / "frames" / path.stem
        return Record(
            source=self.name,
            name=path.stem,
            images=tuple(ImageRef(path=folder / f"{i + 1:06d}.jpg") for i in range(frames)),
            image_size=(dimensions[1], dimensions[0]),
            frame_ids=np.arange(frames),
            action=fields.text("action"),
            split=self.split,
            facing=_facing(fields),
            bbox=np.where((boxes[:, 2:] > boxes[:, :2]).all(axis=1)[:, None], boxes, np.nan),
            keypoints_set="penn13",
            keypoints_2d=np.stack([x, y], axis=-1) + FROM_MATLAB,
            confidence=(np.nan_to_num(seen) > 0).astype(np.float64),
        )


def _facing(fields: Fields) -> str:
    """The viewpoint that a file states, if it is one that says which side is which."""
    stated = fields.text("pose").strip().lower() if "pose" in fields else ""
    return stated if stated in FACING else ""
