"""EMDB (Kaufmann et al. 2023): long sequences of one person with a moving camera, for evaluation."""

from collections.abc import Sequence

import numpy as np

from train.real import pickled
from train.real.files import Fields
from train.real.geometry import to_camera, with_body
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["EMDB"]

FPS = 30.0
GENDERS = ("neutral", "male", "female")


class EMDB(Source):
    """EMDB: splits "all", and "emdb1" and "emdb2" as its authors evaluate on.

    The files hold no 3D joints, and without the body SMPL's translation cannot be carried into the camera's frame:
    both need `bodies`. Frames outside of `good_frames_mask` are masked.
    """

    name = "emdb"
    splits = ("all", "emdb1", "emdb2")
    expects = "a folder with P0/*/P0_*_data.pkl and so on"

    def _index(self) -> Sequence[Entry]:
        entries, self.places = [], []
        for path in sorted(self.path.glob("P*/*/*_data.pkl")):
            fields = Fields(path, pickled.load(path))
            if self.split == "all" or fields.number(self.split):
                name = path.name.removesuffix("_data.pkl")
                entries.append(Entry(name=name, frames=_frames(fields), fps=FPS))
                self.places.append(path)
        return entries

    def _read(self, index: int) -> Record:
        path = self.places[index]
        fields = Fields(path, pickled.load(path))
        frames = _frames(fields)
        good = fields.array("good_frames_mask", frames) == 1
        smpl, camera = fields.fields("smpl"), fields.fields("camera")
        pose = np.where(good[:, None], smpl.array("poses_root", frames, 3), np.nan)
        body_pose = smpl.array("poses_body", frames, 69).reshape(frames, 23, 3)
        transl, betas = smpl.array("trans", frames, 3), smpl.array("betas", 10)
        T_camera_world = camera.array("extrinsics", frames, 4, 4)
        gender = fields.text("gender")
        if gender not in GENDERS:
            raise fields.wrong("gender", f"one of {', '.join(GENDERS)}", gender)
        pelvis, joints = np.full(3, np.nan), np.empty((0, 0, 3))
        if self.bodies is not None:
            pelvis, world = with_body(self.bodies, gender, betas, pose, body_pose, transl)
            rotation, origin = T_camera_world[:, :3, :3], T_camera_world[:, :3, 3]
            joints = np.einsum("tij,tkj->tki", rotation, world) + origin[:, None]
        orient, moved = to_camera(pose, transl, np.tile(pelvis, (frames, 1)), T_camera_world)
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=tuple(ImageRef(path=path.parent / "images" / f"{i:05d}.jpg") for i in range(frames)),
            image_size=(camera.integer("width"), camera.integer("height")),
            fps=FPS,
            frame_ids=np.arange(frames),
            subject=path.parents[1].name,
            action=path.parent.name,
            gender=gender,
            split=self.split,
            bbox=_boxes(fields, good),
            keypoints_set="smpl24",
            keypoints_2d=fields.array("kp2d", frames, 24, 2),
            confidence=np.tile(good[:, None].astype(np.float64), (1, 24)),
            joints_set="smpl24",
            joints_3d=joints,
            global_orient=orient,
            body_pose=body_pose,
            betas=np.tile(betas, (frames, 1)),
            transl=moved,
            K=np.tile(camera.array("intrinsics", 3, 3), (frames, 1, 1)),
            T_camera_world=T_camera_world,
        )


def _frames(fields: Fields) -> int:
    frames = fields.integer("n_frames")
    if not 0 < frames < 1 << 24:
        raise fields.wrong("n_frames", "a number of frames", frames)
    return frames


def _boxes(fields: Fields, good: np.ndarray) -> np.ndarray:
    """Boxes (T, 4) [px], NaN where they are marked invalid or the person is out of sight."""
    held = fields.fields("bboxes")
    boxes = held.array("bboxes", len(good), 4)
    invalid = held.integers("invalid_idxs").ravel()
    if ((invalid < 0) | (invalid >= len(good))).any():
        raise held.wrong("invalid_idxs", f"frames below {len(good)}", invalid)
    valid = good & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    valid[invalid] = False
    return np.where(valid[:, None], boxes, np.nan)
