"""Exemplar fine-tuning's SMPL fits to COCO, MPII and LSPet (Joo et al. 2021): single pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.joints import merged
from train.real.files import Fields, json_fields
from train.real.geometry import rotvecs, square
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["EFT"]

FOLDERS = ("", "images", "train2014", "val2014", "images/train2014")
"""Where the pictures of the data set that was fitted may lie below the folder."""


class EFT(Source):
    """EFT: neutral SMPL, root in the camera's frame, no translation (its cameras are weak-perspective).

    The path is one of its JSON files, or a folder with a single one; the pictures are looked for beside it.
    """

    name = "eft"
    expects = "a JSON file such as COCO2014-All-ver01.json, the pictures' folder beside it"

    def _index(self) -> Sequence[Entry]:
        files = sorted(self.path.glob("*.json")) if self.path.is_dir() else [self.path]
        if len(files) != 1:
            return []
        content = json_fields(files[0])
        self.folder, self.rows = files[0].parent, []
        for row in content.rows("data"):
            row.below(self.folder, "imageName")
            if "smpltype" in row and row.text("smpltype") != "smpl":
                raise row.wrong("smpltype", "'smpl'", row["smpltype"])
            # 24 matrices as nested lists take seven times the memory of an array
            kept = ("imageName", "bbox_scale", "bbox_center", "annotId")
            small: dict[str, object] = {name: row[name] for name in kept if name in row}
            small |= {"parm_pose": row.array("parm_pose", 24, 3, 3), "parm_shape": row.array("parm_shape", 10)}
            if "gt_keypoint_2d" in row:
                small["gt_keypoint_2d"] = row.array("gt_keypoint_2d", 49, 3)
            self.rows.append(Fields(row.path, small, row.where))
        return [Entry(name=_name(row, i), frames=1, fps=None) for i, row in enumerate(self.rows)]

    def _read(self, index: int) -> Record:
        row = self.rows[index]
        pose = rotvecs(row.array("parm_pose", 24, 3, 3))[None]
        if not np.isfinite(pose).all():
            raise row.wrong("parm_pose", "24 rotation matrices", row["parm_pose"])
        scale = row.number("bbox_scale")
        points, confidence = np.empty((1, 0, 2)), np.empty((1, 0))
        if "gt_keypoint_2d" in row:
            points, confidence = merged(row.array("gt_keypoint_2d", 49, 3)[None])
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=(ImageRef(path=self._picture(row)),),
            frame_ids=np.zeros(1, dtype=np.int64),
            bbox=square(row.array("bbox_center", 2)[None], np.array([200 * scale])),
            keypoints_set="vocabulary",
            keypoints_2d=points,
            confidence=confidence,
            global_orient=pose[:, 0],
            body_pose=pose[:, 1:],
            betas=row.array("parm_shape", 10)[None],
        )

    def _picture(self, row: Fields) -> Path:
        paths = [row.below(self.folder / folder, "imageName") for folder in FOLDERS]
        return next((path for path in paths if path.exists()), paths[1])


def _name(row: Fields, number: int) -> str:
    """The picture and the person in it; the number keeps it unique."""
    person = f"/{row.integer('annotId')}" if "annotId" in row else ""
    return f"{number:06d}/{row.text('imageName')}{person}"
