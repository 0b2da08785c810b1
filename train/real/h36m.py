"""Human3.6M (Ionescu et al. 2014): the original CDF files, or the JSON form with NeuralAnnot's SMPL fits."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from synth.errors import SynthError
from train.real.cdf import cdf_array
from train.real.files import Fields, json_fields, natural
from train.real.geometry import box_around, project_frames, to_camera, with_body
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["CAMERAS", "H36M"]

Array = np.ndarray
FPS = 50.0
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
"""Serial numbers in the order of the JSON form's cameras 1 to 4."""
CHOSEN = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
"""H36M-17 out of the 32 joints of the original skeleton, of which many are doubled: hip, right leg, left leg, ..."""
SUBJECTS = {"train": (1, 5, 6, 7, 8), "test": (9, 11), "test-p2": (9, 11)}


class H36M(Source):
    """Human3.6M. Splits: "train" (S1, 5, 6, 7, 8), "test" (S9, S11, protocol 1), "test-p2" (camera 60457274 only).

    Original form: S1/MyPoseFeatures/D3_Positions_mono/*.cdf (needed), D2_Positions/*.cdf (keypoints and boxes),
    Videos/*.mp4 or pictures extracted from them, metadata.xml of the authors' code beside S1 (intrinsics).
    JSON form: annotations/Human36M_subject1_{data,camera,joint_3d}.json, and _SMPL_NeuralAnnot.json (or _smpl_param).

    All frames at 50 Hz; the protocols take every fifth. SMPL's translation in the JSON form needs `bodies`.
    """

    name = "h36m"
    splits = ("train", "test", "test-p2")
    expects = "a folder with S1/MyPoseFeatures/ and so on, or annotations/Human36M_subject1_data.json"

    def _index(self) -> Sequence[Entry]:
        self.json = any((self.path / "annotations").glob("Human36M_subject*_data.json"))
        return self._index_json() if self.json else self._index_cdf()

    def _read(self, index: int) -> Record:
        return self._read_json(index) if self.json else self._read_cdf(index)

    def _wanted(self, camera: str) -> bool:
        return self.split != "test-p2" or camera == CAMERAS[3]

    def _index_cdf(self) -> list[Entry]:
        entries, self.files = [], []
        for subject in SUBJECTS[self.split]:
            folder = self.path / f"S{subject}" / "MyPoseFeatures" / "D3_Positions_mono"
            for path in sorted(folder.glob("*.cdf"), key=natural):
                action, _, camera = path.stem.rpartition(".")
                if action != "_ALL" and self._wanted(camera):
                    entries.append(Entry(name=f"S{subject}/{path.stem}", frames=len(_joints(path)), fps=FPS))
                    self.files.append(path)
        return entries

    def _read_cdf(self, index: int) -> Record:
        path = self.files[index]
        subject, (action, _, camera) = path.parents[2], path.stem.rpartition(".")
        joints = _joints(path)
        frames = len(joints)
        points = np.full((frames, 17, 2), np.nan)
        flat = path.parents[1] / "D2_Positions" / path.name
        if flat.exists():
            rows = cdf_array(flat, "Pose", 64)
            if len(rows) != frames:
                raise SynthError(f"{flat}: Pose: expected {frames} frames as in {path.parent.name}, got {len(rows)}")
            points = rows.reshape(frames, 32, 2)[:, CHOSEN]
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=_pictures(subject, action, camera, frames),
            image_size=(1000, 1000 if camera in CAMERAS[1:3] else 1002),
            fps=FPS,
            frame_ids=np.arange(frames),
            subject=subject.name,
            action=action,
            split=self.split,
            bbox=box_around(points),
            keypoints_set="h36m17",
            keypoints_2d=points,
            confidence=np.ones((frames, 17)),
            joints_set="h36m17",
            joints_3d=joints,
            K=np.tile(_intrinsics(self.path / "metadata.xml", camera), (frames, 1, 1)),
        )

    def _index_json(self) -> list[Entry]:
        entries, self.tracks = [], []
        for subject in SUBJECTS[self.split]:
            path = self.path / "annotations" / f"Human36M_subject{subject}_data.json"
            if path.exists():
                for track in _tracks(path):
                    if self._wanted(CAMERAS[track["camera"] - 1]):
                        name = f"S{subject}/{track['action']}_{track['subaction']}.{CAMERAS[track['camera'] - 1]}"
                        entries.append(Entry(name=name, frames=len(track["frames"]), fps=FPS))
                        self.tracks.append(track | {"subject": subject})
        return entries

    def _read_json(self, index: int) -> Record:
        track = self.tracks[index]
        folder, frames = self.path / "annotations", len(track["frames"])
        stem = f"Human36M_subject{track['subject']}"
        R, t, K = _camera(folder / f"{stem}_camera.json", track["camera"])
        T_camera_world = np.tile(np.eye(4), (frames, 1, 1))
        T_camera_world[:, :3, :3], T_camera_world[:, :3, 3] = R, t
        joints = _by_frame(folder / f"{stem}_joint_3d.json", track, (17, 3)) / 1000
        joints = np.einsum("ij,tkj->tki", R, joints) + t
        K = np.tile(K, (frames, 1, 1))
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=tuple(ImageRef(path=self.path / "images" / name) for name in track["pictures"]),
            image_size=track["size"],
            fps=FPS,
            frame_ids=np.array(track["frames"]),
            subject=f"S{track['subject']}",
            action=track["name"],
            split=self.split,
            bbox=track["boxes"],
            keypoints_set="h36m17",
            keypoints_2d=project_frames(joints, K),
            confidence=np.ones((frames, 17)),
            joints_set="h36m17",
            joints_3d=joints,
            K=K,
            T_camera_world=T_camera_world,
            **self._smpl(folder, stem, track, T_camera_world),
        )

    def _smpl(self, folder: Path, stem: str, track: dict[str, Any], T_camera_world: Array) -> dict[str, Any]:
        """SMPL's labels in the camera's frame; frames that NeuralAnnot left out are NaN."""
        found = [
            p for p in (folder / f"{stem}_SMPL_NeuralAnnot.json", folder / f"{stem}_smpl_param.json") if p.exists()
        ]
        if not found:
            return {}
        pose = _by_frame(found[0], track, (72,), "pose")
        betas = _by_frame(found[0], track, (10,), "shape")
        transl = _by_frame(found[0], track, (3,), "trans")
        pelvis = np.full_like(transl, np.nan)
        if self.bodies is not None:
            for shape in np.unique(betas[np.isfinite(betas).all(axis=1)], axis=0):
                rows = (betas == shape).all(axis=1)
                body = pose[rows, 3:].reshape(-1, 23, 3)
                pelvis[rows] = with_body(self.bodies, "neutral", shape, pose[rows, :3], body, transl[rows])[0]
        orient, moved = to_camera(pose[:, :3], transl, pelvis, T_camera_world)
        return {
            "global_orient": orient,
            "body_pose": pose[:, 3:].reshape(-1, 23, 3),
            "betas": betas,
            "transl": moved,
        }


def _joints(path: Path) -> Array:
    """The 17 joints (T, 17, 3) [m] in the camera's frame."""
    return cdf_array(path, "Pose", 96).reshape(-1, 32, 3)[:, CHOSEN] / 1000


def _pictures(subject: Path, action: str, camera: str, frames: int) -> tuple[ImageRef, ...]:
    """Extracted pictures if there are any, else frames of the video."""
    stem = f"{subject.name}_{action.replace(' ', '_')}.{camera}"
    for folder in (subject / "images" / stem, subject.parent / "images"):
        if (folder / f"{stem}_000001.jpg").exists():
            return tuple(ImageRef(path=folder / f"{stem}_{i + 1:06d}.jpg") for i in range(frames))
    video = subject / "Videos" / f"{action}.{camera}.mp4"
    return tuple(ImageRef(path=video, frame=i) for i in range(frames))


def _intrinsics(path: Path, camera: str) -> Array:
    """K (3, 3) [px] from the numbers of metadata.xml: 4 cameras of 11 subjects with 6, then 4 cameras with 9 each.

    The lens distorts by some pixels, which K leaves out.
    """
    if not path.exists() or camera not in CAMERAS:
        return np.full((3, 3), np.nan)
    found = re.search(rb"<w0>\s*\[([^\]<]*)\]\s*</w0>", path.read_bytes())
    numbers = np.array([float(word) for word in found[1].split()] if found else [])
    if len(numbers) < 300:
        raise SynthError(f"{path}: w0: expected 300 numbers, got {len(numbers)}")
    fx, fy, cx, cy = numbers[264 + 9 * CAMERAS.index(camera) :][:4]
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def _tracks(path: Path) -> list[dict[str, Any]]:
    """Tracks of one subject: frames of one action, repetition and camera, in order."""
    content = json_fields(path)
    boxes = {row.integer("image_id"): row.array("bbox", 4) for row in content.rows("annotations")}
    tracks: dict[tuple[int, int, int], dict[str, Any]] = {}
    for row in content.rows("images"):
        key = (row.integer("action_idx"), row.integer("subaction_idx"), row.integer("cam_idx"))
        if not 1 <= key[2] <= 4:
            raise row.wrong("cam_idx", "a camera from 1 to 4", key[2])
        row.below(Path(), "file_name")
        track = tracks.setdefault(key, {"rows": [], "size": (row.integer("width"), row.integer("height"))})
        track["name"] = row.text("action_name") if "action_name" in row else str(key[0])
        box = boxes.get(row.integer("id"), np.full(4, np.nan))
        track["rows"].append((row.integer("frame_idx"), row.text("file_name"), box))
    return [_track(key, track) for key, track in sorted(tracks.items())]


def _track(key: tuple[int, int, int], track: dict[str, Any]) -> dict[str, Any]:
    rows = sorted(track["rows"], key=lambda row: row[0])
    boxes = np.array([box for _, _, box in rows])
    return {
        "action": key[0],
        "subaction": key[1],
        "camera": key[2],
        "name": track["name"],
        "size": track["size"],
        "frames": [frame for frame, _, _ in rows],
        "pictures": [name for _, name, _ in rows],
        "boxes": np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
    }


@lru_cache(maxsize=3)
def _subject_file(path: Path) -> Fields:
    """One of a subject's large files, kept while its tracks are read."""
    return json_fields(path)


def _camera(path: Path, camera: int) -> tuple[Array, Array, Array]:
    """Rotation (3, 3), translation (3,) [m] and K (3, 3) [px]."""
    fields = _subject_file(path).fields(str(camera))
    focal, center = fields.array("f", 2), fields.array("c", 2)
    K = np.array([[focal[0], 0, center[0]], [0, focal[1], center[1]], [0, 0, 1.0]])
    return fields.array("R", 3, 3), fields.array("t").reshape(3) / 1000, K


def _by_frame(path: Path, track: dict[str, Any], shape: tuple[int, ...], name: str | None = None) -> Array:
    """Values (T, *shape) of a track out of action, repetition, frame; NaN for frames that are missing."""
    values = np.full((len(track["frames"]), *shape), np.nan)
    actions = _subject_file(path)
    if str(track["action"]) not in actions:
        return values
    repetitions = actions.fields(str(track["action"]))
    if str(track["subaction"]) not in repetitions:
        return values
    held = repetitions.fields(str(track["subaction"]))
    for i, frame in enumerate(map(str, track["frames"])):
        if frame in held:
            fields, field = (held, frame) if name is None else (held.fields(frame), name)
            array = fields.array(field)
            if array.size != np.prod(shape):
                raise fields.wrong(field, f"shape {shape}", array)
            values[i] = array.reshape(shape)
    return values
