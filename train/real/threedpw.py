"""3D Poses in the Wild (von Marcard et al. 2018): one pickle a sequence, one or two people in each."""

from collections.abc import Sequence

import numpy as np

from synth.errors import SynthError
from train.real import pickled
from train.real.files import Fields
from train.real.geometry import box_around, project_frames, to_camera
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["ThreeDPW"]

Array = np.ndarray
FPS = 30.0


class ThreeDPW(Source):
    """3DPW. The fits are of SMPL's gendered bodies, in the world; camera poses carry them into the camera's frame.

    Keypoints are OpenPose's detections, 3D joints the 24 of the fitted body; the box is drawn around the projected
    joints. Frames whose camera pose is marked invalid keep their keypoints only.
    """

    name = "3dpw"
    splits = ("train", "validation", "test")
    expects = "a folder with sequenceFiles/train/*.pkl and imageFiles/"

    def _index(self) -> Sequence[Entry]:
        entries, self.places = [], []
        for path in sorted((self.path / "sequenceFiles" / self.split).glob("*.pkl")):
            fields = Fields(path, pickled.load(path))
            for person in range(len(fields.items("poses"))):
                frames = len(fields.items("poses").array(str(person), None, 72))
                entries.append(Entry(name=f"{path.stem}/{person}", frames=frames, fps=FPS))
                self.places.append((path, person))
        return entries

    def _read(self, index: int) -> Record:
        path, person = self.places[index]
        fields = Fields(path, pickled.load(path))
        pose, transl, joints = _motion(fields, person)
        frames = len(pose)
        if not frames:
            raise fields.wrong(f"poses.{person}", "frames", pose)
        T_camera_world = fields.array("cam_poses", frames, 4, 4)
        valid = fields.items("campose_valid").array(str(person), frames) == 1
        T_camera_world = np.where(valid[:, None, None], T_camera_world, np.nan)
        orient, moved = to_camera(pose[:, :3], transl, joints[:, 0] - transl, T_camera_world)
        rotation, origin = T_camera_world[:, :3, :3], T_camera_world[:, :3, 3]
        joints = np.einsum("tij,tkj->tki", rotation, joints) + origin[:, None]
        K = np.broadcast_to(fields.array("cam_intrinsics", 3, 3), (frames, 3, 3))
        detected = fields.items("poses2d").array(str(person), frames, 3, 18).transpose(0, 2, 1)
        betas = fields.items("betas").array(str(person)).ravel()
        if len(betas) < 10:
            raise fields.wrong(f"betas.{person}", "10 numbers or more", betas)
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=self._images(path.stem, frames),
            fps=FPS,
            frame_ids=np.arange(frames),
            subject=f"{path.stem}/{person}",
            gender=_gender(fields, person),
            split=self.split,
            bbox=box_around(project_frames(joints, K)),
            keypoints_set="coco18",
            keypoints_2d=detected[..., :2],
            confidence=np.nan_to_num(detected[..., 2]).clip(0, 1),
            joints_set="smpl24",
            joints_3d=joints,
            global_orient=orient,
            body_pose=pose[:, 3:].reshape(frames, 23, 3),
            betas=np.tile(betas[:10], (frames, 1)),
            transl=moved,
            K=K,
            T_camera_world=T_camera_world,
        )

    def _images(self, sequence: str, frames: int) -> tuple[ImageRef, ...]:
        folder = self.path / "imageFiles" / sequence
        return tuple(ImageRef(path=folder / f"image_{i:05d}.jpg") for i in range(frames))


def _motion(fields: Fields, person: int) -> tuple[Array, Array, Array]:
    """Pose (T, 72) [rad], translation (T, 3) [m] and joints (T, 24, 3) [m] in the world."""
    pose = fields.items("poses").array(str(person), None, 72)
    transl = fields.items("trans").array(str(person), len(pose), 3)
    joints = fields.items("jointPositions").array(str(person), len(pose), 72)
    return pose, transl, joints.reshape(-1, 24, 3)


def _gender(fields: Fields, person: int) -> str:
    name = "genders" if "genders" in fields else "gender"
    letter = fields.items(name).text(str(person))
    if letter[:1] not in ("m", "f"):
        raise SynthError(f"{fields.path}: {name}[{person}]: expected 'm' or 'f', got {letter[:20]!r}")
    return "male" if letter[0] == "m" else "female"
