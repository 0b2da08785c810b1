"""The labels of one view as the exporters need them, in the camera's frame and in the picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from synth.body.joints import JOINT_NAMES, KEYPOINT_SETS
from synth.errors import SynthError
from synth.labels.keypoints import project_points
from synth.shards.manifest import Entry, ShardFolder
from synth.shards.read import ShardReader

Array = np.ndarray

__all__ = ["SPIN_JOINTS", "View", "boxes", "named_points", "ten_betas", "views_of", "visible_points", "write_pictures"]

_SKIN_DEPTH = 0.03
"""How far behind the surface seen a point of the face still counts as seen [m]."""

SPIN_JOINTS: tuple[tuple[str, str] | None, ...] = (
    *(("lsp14", name) for name in KEYPOINT_SETS["lsp14"].names),
    ("h36m17", "pelvis"),
    None,  # MPII's thorax: no regressor for it
    ("h36m17", "spine"),
    ("h36m17", "nose"),  # called "jaw (H36M)" there
    ("h36m17", "head"),
    *(("coco17", name) for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")),
)
"""SPIN's 24 ground-truth joints in its order: our keypoint set and name, None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One view of one clip: all labels but the maps."""

    reader: ShardReader
    entry: Entry
    view: int
    name: str
    """`<clip id>_v<view>`: unique in the folder."""
    K: Float[Array, "3 3"]
    T_camera_world: Float[Array, "T 4 4"]
    keypoints_2d: Float[Array, "T 24 2"]
    joints_camera: Float[Array, "T 24 3"]
    visibility: UInt8[Array, "T 24"]
    bbox: Float[Array, "T 4"]
    betas: Float[Array, " B"]
    body_pose: Float[Array, "T 69"]
    orient_camera: Float[Array, "T 3"]
    transl_camera: Float[Array, "T 3"]
    orient_world: Float[Array, "T 3"]
    transl_world: Float[Array, "T 3"]

    def __len__(self) -> int:
        return len(self.body_pose)

    @property
    def pose_camera(self) -> Float[Array, "T 72"]:
        """SMPL's 24 rotations, axis-angle [rad], the root's in the camera's frame."""
        return np.concatenate([self.orient_camera, self.body_pose], axis=1)

    def seen(self, every: int = 1) -> Int[Array, " N"]:
        """Frames that show the person, of each `every`th."""
        frames = np.arange(0, len(self), every)
        return frames[np.isfinite(self.bbox[frames]).all(axis=1)]

    def picture(self, t: int) -> str:
        """Path of a picture in an exported folder."""
        return f"images/{self.name}/{t:06d}.jpg"

    @property
    def gender(self) -> str:
        """Of the body model."""
        return str(self.entry.attributes.get("gender", "neutral"))

    def keypoints_camera(self, name: str) -> Float[Array, "T K 3"]:
        """A keypoint set in the camera's frame [m]."""
        world = self.reader.clip(f"keypoints_world/{name}")
        pose = self.T_camera_world
        return np.einsum("tij,tkj->tki", pose[:, :3, :3], world) + pose[:, None, :3, 3]


def views_of(shards: ShardFolder) -> Iterator[View]:
    """Every view of every clip, in the order of the manifest."""
    for index, entry in enumerate(shards.entries):
        reader = shards[index]
        body_pose = reader.clip("smpl/body_pose")
        for view in range(reader.layout.views):
            where = f"views/{view}"
            yield View(
                reader=reader,
                entry=entry,
                view=view,
                name=f"{entry.clip_id}_v{view}",
                K=reader.clip(f"{where}/K"),
                T_camera_world=reader.clip(f"{where}/T_camera_world"),
                keypoints_2d=reader.clip(f"{where}/keypoints_2d"),
                joints_camera=reader.clip(f"{where}/joints_camera"),
                visibility=reader.clip(f"{where}/visibility"),
                bbox=reader.clip(f"{where}/bbox"),
                betas=reader.clip("smpl/betas"),
                body_pose=body_pose.reshape(len(body_pose), 69),
                orient_camera=reader.clip(f"{where}/smpl_camera/global_orient"),
                transl_camera=reader.clip(f"{where}/smpl_camera/transl"),
                orient_world=reader.clip("smpl/global_orient"),
                transl_world=reader.clip("smpl/transl"),
            )


def write_pictures(view: View, frames: Int[Array, " N"], out: Path) -> None:
    """Write the stored JPEGs byte by byte, without coding them again."""
    for t in frames.tolist():
        path = out / view.picture(t)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(view.reader.jpeg(view.view, t))


def boxes(view: View, frames: Int[Array, " N"]) -> tuple[Float[Array, "N 2"], Float[Array, "N 2"]]:
    """Centre and size (width, height) of the person's box [px]."""
    corners = view.bbox[frames]
    return (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]


def ten_betas(view: View) -> Float[Array, " 10"]:
    """The shape in ten numbers, filled up with zeros.

    Raises:
        SynthError: the shape has more than ten components that are not zero.
    """
    if np.any(view.betas[10:]):
        raise SynthError(
            f"{view.entry.file}: its {len(view.betas)} betas do not fit into this format's ten",
            "Export to bedlam or webdataset, which hold any number",
        )
    return np.concatenate([view.betas, np.zeros(10)])[:10]


def named_points(view: View, wanted: tuple[tuple[str, str] | None, ...]) -> tuple[Array, Array, Bool[Array, " K"]]:
    """Points by set and name: in the camera's frame (T, K, 3) [m], in the picture (T, K, 2) [px], and which exist."""
    sets = {name for name, _ in view.reader.layout.keypoint_sets}
    points = np.zeros((len(view), len(wanted), 3))
    exists = np.array([source is not None and source[0] in sets for source in wanted])
    cache = {name: view.keypoints_camera(name) for name in {s[0] for s in wanted if s is not None} & sets}
    for k, source in enumerate(wanted):
        if source is not None and source[0] in cache:
            points[:, k] = cache[source[0]][:, KEYPOINT_SETS[source[0]].names.index(source[1])]
    pixels = np.where(exists[:, None], np.nan_to_num(project_points(points, view.K)), 0.0)
    return points, pixels, exists


def visible_points(
    view: View, t: int, names: tuple[str, ...], points: Float[Array, "K 3"], pixels: Float[Array, "K 2"]
) -> tuple[Bool[Array, " K"], Bool[Array, " K"]]:
    """Which points lie inside the picture, and which of them are seen.

    A point named like an SMPL joint has that joint's visibility; others are points of the skin, seen where the depth
    map shows a surface no more than 3 cm before them.
    """
    layout = view.reader.layout
    column, row = np.floor(pixels).astype(np.int64).T
    inside = (points[:, 2] > 0) & (column >= 0) & (row >= 0) & (column < layout.width) & (row < layout.height)
    depth = view.reader.frame(view.view, t, ("depth",))["depth"]
    at = depth[np.where(inside, row, 0), np.where(inside, column, 0)]
    seen = inside & (at > 0) & (at > points[:, 2] - _SKIN_DEPTH)
    for k, name in enumerate(names):
        if name in JOINT_NAMES:
            seen[k] = inside[k] and view.visibility[t, JOINT_NAMES.index(name)] == 0
    return inside, seen
