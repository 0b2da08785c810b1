"""MPI-INF-3DHP (Mehta et al. 2017): eight subjects before 14 cameras in a studio; six test sequences, some outdoors."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.real.files import Fields, natural, readable
from train.real.geometry import box_around
from train.real.hdf5 import hdf5_fields
from train.real.matlab import mat_fields
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["MPI3D"]

Array = np.ndarray
CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
"""Those at chest height, which its authors and all later papers train on."""
FAST = {(1, 2), (3, 1), (3, 2), (5, 1), (5, 2)}
"""Subject and sequence recorded at 50 frames a second; the others at 25 (mpii_get_sequence_info.m)."""
SIDE = 2048
"""Width and height of the studio's pictures [px]."""


class MPI3D(Source):
    """MPI-INF-3DHP. Splits "train" (S1-S8, annot.mat) and "test" (TS1-TS6, annot_data.mat).

    Training joints are metric in the camera's frame. Test joints are the skeleton scaled to one height
    (univ_annot3), which its protocol compares; they are known up to a translation. Boxes are drawn around the joints.
    """

    name = "3dhp"
    splits = ("train", "test")
    expects = "a folder with S1/Seq1/annot.mat and imageSequence/ beside it, or mpi_inf_3dhp_test_set/TS1 ..."

    def _index(self) -> Sequence[Entry]:
        self.places: list[tuple[Path, int]] = []
        return self._index_test() if self.split == "test" else self._index_train()

    def _index_train(self) -> list[Entry]:
        entries = []
        for path in sorted(
            self.path.glob("S*/Seq*/annot.mat"), key=lambda p: (natural(p.parents[1]), natural(p.parent))
        ):
            fields = mat_fields(path, "annot2", "cameras")
            for cell, camera in enumerate(_cameras(fields)):
                if camera in CAMERAS:
                    frames = len(fields.items("annot2").array(str(cell), None, 56))
                    name = f"{path.parents[1].name}/{path.parent.name}/video_{camera}"
                    entries.append(Entry(name=name, frames=frames, fps=_rate(path)))
                    self.places.append((path, cell))
        return entries

    def _index_test(self) -> list[Entry]:
        inside = self.path / "mpi_inf_3dhp_test_set"
        folder = inside if inside.is_dir() else self.path
        entries = []
        for path in sorted(folder.glob("TS*/annot_data.mat"), key=lambda p: natural(p.parent)):
            frames = len(hdf5_fields(path, "annot2").array("annot2", None, 1, 17, 2))
            entries.append(Entry(name=path.parent.name, frames=frames, fps=None))
            self.places.append((path, 0))
        return entries

    def _read(self, index: int) -> Record:
        path, cell = self.places[index]
        return self._read_test(index, path) if self.split == "test" else self._read_train(index, path, cell)

    def _read_train(self, index: int, path: Path, cell: int) -> Record:
        fields = mat_fields(path, "annot2", "annot3", "cameras")
        camera = _cameras(fields)[cell]
        points = fields.items("annot2").array(str(cell), None, 56).reshape(-1, 28, 2)
        joints = fields.items("annot3").array(str(cell), len(points), 84).reshape(-1, 28, 3) / 1000
        calibration = path.parent / "camera.calibration"
        K = _intrinsics(calibration, camera) if calibration.exists() else np.full((3, 3), np.nan)
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=_pictures(path.parent, camera, len(points)),
            image_size=(SIDE, SIDE),
            fps=_rate(path),
            frame_ids=np.arange(len(points)),
            subject=path.parents[1].name,
            action=path.parent.name,
            split=self.split,
            bbox=box_around(points),
            keypoints_set="mpi3d28",
            keypoints_2d=points,
            confidence=np.ones(points.shape[:2]),
            joints_set="mpi3d28",
            joints_3d=joints,
            K=np.tile(K, (len(points), 1, 1)),
        )

    def _read_test(self, index: int, path: Path) -> Record:
        fields = hdf5_fields(path, "annot2", "univ_annot3", "valid_frame")
        points = fields.array("annot2", None, 1, 17, 2)[:, 0]
        frames = len(points)
        valid = fields.array("valid_frame").ravel() == 1
        if len(valid) != frames:
            raise fields.wrong("valid_frame", f"{frames} flags", valid)
        points = np.where(valid[:, None, None], points, np.nan)
        joints = fields.array("univ_annot3", frames, 1, 17, 3)[:, 0] / 1000
        folder = path.parent / "imageSequence"
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=tuple(ImageRef(path=folder / f"img_{i + 1:06d}.jpg") for i in range(frames)),
            frame_ids=np.arange(frames),
            subject=path.parent.name,
            split=self.split,
            bbox=box_around(points),
            keypoints_set="mpi3d17",
            keypoints_2d=points,
            confidence=np.ones(points.shape[:2]),
            joints_set="mpi3d17",
            joints_3d=np.where(valid[:, None, None], joints, np.nan),
            joints_absolute=False,
        )


def _cameras(fields: Fields) -> list[int]:
    """Number of the camera that each cell of annotations belongs to."""
    cameras = fields.integers("cameras").ravel().tolist()
    if len(cameras) != len(fields.items("annot2")):
        raise fields.wrong("cameras", f"{len(fields.items('annot2'))} numbers", fields["cameras"])
    return cameras


def _rate(path: Path) -> float:
    """Frame rate [Hz] of a training sequence."""
    place = re.fullmatch(r"S(\d+)/Seq(\d+)", f"{path.parents[1].name}/{path.parent.name}")
    return 50.0 if place and (int(place[1]), int(place[2])) in FAST else 25.0


def _intrinsics(path: Path, camera: int) -> Array:
    """K (3, 3) [px] of one camera from the text of camera.calibration: "name", number, then "intrinsic", 16 numbers."""
    with readable(path, "calibration"):
        current = None
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:1] == ["name"]:
                current = int(words[1])
            elif words[:1] == ["intrinsic"] and current == camera:
                return np.array([float(word) for word in words[1:17]]).reshape(4, 4)[:3, :3]
        raise ValueError(f"no camera {camera}")


def _pictures(folder: Path, camera: int, frames: int) -> tuple[ImageRef, ...]:
    """Extracted pictures if there are any (in SPIN's folders, HMR's, or its README's), else frames of the video."""
    sequence = folder / "imageSequence"
    for extracted in (folder / "imageFrames" / f"video_{camera}", folder / f"video_{camera}"):
        if extracted.is_dir():
            return tuple(ImageRef(path=extracted / f"frame_{i + 1:06d}.jpg") for i in range(frames))
    if (sequence / f"img_{camera}_000001.jpg").exists():
        return tuple(ImageRef(path=sequence / f"img_{camera}_{i + 1:06d}.jpg") for i in range(frames))
    return tuple(ImageRef(path=sequence / f"video_{camera}.avi", frame=i) for i in range(frames))
