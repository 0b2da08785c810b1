"""The figure that all hand-made data show: it faces the camera and walks to its left.

The orders of joints are spelled out from the data sets' own documentation, not taken from `train.joints`.
"""

from pathlib import Path

import numpy as np
from PIL import Image

FRAMES, SIDE, DEPTH = 4, 160, 3.0
K = np.array([[120.0, 0, 80], [0, 120, 80], [0, 0, 1]])
_HALF = {
    "eye": (0.03, -0.68), "ear": (0.08, -0.66), "collar": (0.07, -0.46), "clavicle": (0.05, -0.49),
    "shoulder": (0.18, -0.47), "elbow": (0.30, -0.20), "wrist": (0.35, 0.05), "hand": (0.36, 0.12),
    "knuckle": (0.37, 0.14), "hip": (0.10, 0.01), "knee": (0.12, 0.45), "ankle": (0.13, 0.85), "heel": (0.125, 0.9),
    "foot": (0.15, 0.93), "instep": (0.14, 0.92), "toe": (0.16, 0.96), "big_toe": (0.15, 0.95),
    "small_toe": (0.2, 0.94),
}  # fmt: skip
_MIDDLE = {
    "pelvis": -0.05, "mid_hip": 0.0, "spine1": -0.12, "spine2": -0.2, "spine3": -0.3, "spine": -0.25, "neck": -0.5,
    "mid_shoulder": -0.48, "thorax": -0.42, "head": -0.62, "jaw": -0.6, "nose": -0.65, "head_top": -0.85,
    "h36m_head": -0.8, "mpi3d_spine2": -0.22, "mpi3d_spine3": -0.33, "mpi3d_spine4": -0.38,
}  # fmt: skip
FIGURE = {name: (0.0, y) for name, y in _MIDDLE.items()}
FIGURE |= {f"left_{part}": (x, y) for part, (x, y) in _HALF.items()}
FIGURE |= {f"right_{part}": (-x, y) for part, (x, y) in _HALF.items()}
ORDERS = {
    "coco": "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    "openpose18": "nose mid_shoulder right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
    "openpose25": "nose mid_shoulder right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "mid_hip right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear "
    "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel",
    "smpl": "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot "
    "right_foot neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hand right_hand",
    "lsp": "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder "
    "left_shoulder left_elbow left_wrist neck head_top",
    "spin24": "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder "
    "left_shoulder left_elbow left_wrist neck head_top mid_hip thorax spine jaw h36m_head nose left_eye right_eye "
    "left_ear right_ear",
    "mpii": "right_ankle right_knee right_hip left_hip left_knee left_ankle mid_hip thorax neck head_top right_wrist "
    "right_elbow right_shoulder left_shoulder left_elbow left_wrist",
    "penn": "head_top right_shoulder left_shoulder right_elbow left_elbow right_wrist left_wrist right_hip left_hip "
    "right_knee left_knee right_ankle left_ankle",
    "posetrack": "nose neck head_top left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    "mpi28": "mpi3d_spine3 mpi3d_spine4 mpi3d_spine2 spine mid_hip neck jaw h36m_head left_clavicle left_shoulder "
    "left_elbow left_wrist left_knuckle right_clavicle right_shoulder right_elbow right_wrist right_knuckle left_hip "
    "left_knee left_ankle left_instep left_toe right_hip right_knee right_ankle right_instep right_toe",
    "mpi17": "h36m_head neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip "
    "right_knee right_ankle left_hip left_knee left_ankle mid_hip spine jaw",
    "h36m": "mid_hip right_hip right_knee right_ankle left_hip left_knee left_ankle spine neck jaw h36m_head "
    "left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist",
    "insta": "right_heel right_knee right_hip left_hip left_knee left_heel right_wrist right_elbow right_shoulder "
    "left_shoulder left_elbow left_wrist mid_shoulder head_top nose left_eye right_eye left_ear right_ear left_big_toe "
    "right_big_toe left_small_toe right_small_toe left_ankle right_ankle",
}


def figure_3d(order: str, frames: int = FRAMES) -> np.ndarray:
    """The figure's points (T, K, 3) in the camera's frame [m]; it walks to its left."""
    flat = np.array([FIGURE[name] for name in ORDERS.get(order, order).split()])
    points = np.concatenate([flat, np.full((len(flat), 1), DEPTH)], axis=1)
    return points + np.arange(frames)[:, None, None] * np.array([0.05, 0, 0])


def figure_2d(order: str, frames: int = FRAMES) -> np.ndarray:
    """Its points in the picture [px], (T, K, 2), the first pixel's centre at 0.5."""
    points = figure_3d(order, frames) @ K.T
    return points[..., :2] / points[..., 2:]


def picture(t: int = 0) -> Image.Image:
    """A grey picture with a lighter body, so that labels laid over it can be judged."""
    points = figure_2d("lsp")[t % FRAMES]
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    near = np.min(np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1]), axis=-1)
    grey = np.where(near < 5, 190, 70).astype(np.uint8)
    return Image.fromarray(np.stack([grey, grey, 90 + grey // 3], axis=-1))


def save_pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for t, name in enumerate(names):
        picture(t).save(folder / name)


def world_camera() -> np.ndarray:
    """A camera that is neither at the origin nor straight."""
    angle = 0.7
    T = np.eye(4)
    T[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    T[:3, 3] = [0.3, -1.0, 2.0]
    return T


def to_world(points: np.ndarray) -> np.ndarray:
    T = world_camera()
    return (points - T[:3, 3]) @ T[:3, :3]


def smpl_numbers(frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return rng.normal(0, 0.3, (frames, 72)), rng.normal(0, 1, 10), rng.normal(0, 1, (frames, 3))


def both_49(frames: int = FRAMES) -> np.ndarray:
    """SPIN's 49 keypoints: detections of OpenPose's points, annotations of LSP's."""
    detected = np.concatenate([figure_2d("openpose25", frames), np.full((frames, 25, 1), 0.7)], axis=2)
    annotated = np.concatenate([figure_2d("spin24", frames), np.ones((frames, 24, 1))], axis=2)
    annotated[:, 14:] = 0
    return np.concatenate([detected, annotated], axis=1)


def cell(items: list) -> np.ndarray:
    values = np.empty((len(items), 1), dtype=object)
    for i, item in enumerate(items):
        values[i, 0] = item
    return values
