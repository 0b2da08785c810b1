"""Small files in exactly the form that each data set is distributed in, all of one figure that faces the camera.

The orders of joints are spelled out from the data sets' own documentation, not taken from `train.joints`.
"""

import json
import pickle
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import h5py
import joblib
import numpy as np
from PIL import Image
from scipy.io import savemat

from train.real.insta import masked_crc

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


def write_3dpw(root: Path) -> Path:
    pose, betas, transl = smpl_numbers()
    detected = np.concatenate([figure_2d("openpose18"), np.full((FRAMES, 18, 1), 0.8)], axis=2).transpose(0, 2, 1)
    detected[1, :, 3] = 0
    content = {
        "sequence": "walk_00",
        "poses": [pose, pose + 0.1],
        "betas": [np.concatenate([betas, np.zeros(290)]), betas],
        "trans": [transl, transl],
        "jointPositions": [to_world(figure_3d("smpl")).reshape(FRAMES, 72)] * 2,
        "poses2d": [detected, detected],
        "cam_intrinsics": K,
        "cam_poses": np.tile(world_camera(), (FRAMES, 1, 1)),
        "campose_valid": [np.array([1, 1, 1, 0]), np.ones(FRAMES, dtype=bool)],
        "genders": ["f", "m"],
        "img_frame_ids": np.arange(FRAMES) * 2,
        "texture_maps": [],
        "poses_60Hz": [np.zeros((2 * FRAMES, 72))] * 2,
    }
    folder = root / "sequenceFiles" / "train"
    folder.mkdir(parents=True)
    (folder / "walk_00.pkl").write_bytes(pickle.dumps(content, protocol=2))
    save_pictures(root / "imageFiles" / "walk_00", [f"image_{i:05d}.jpg" for i in range(FRAMES)])
    return root


def write_emdb(root: Path) -> Path:
    pose, betas, transl = smpl_numbers()
    points = figure_2d("smpl")
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    content = {
        "gender": "female",
        "name": "P1_09_outdoor",
        "emdb1": True,
        "emdb2": np.bool_(False),
        "n_frames": FRAMES,
        "good_frames_mask": np.array([True, True, False, True]),
        "camera": {
            "intrinsics": K,
            "extrinsics": np.tile(world_camera(), (FRAMES, 1, 1)),
            "width": SIDE,
            "height": SIDE,
        },
        "smpl": {"poses_root": pose[:, :3], "poses_body": pose[:, 3:], "trans": transl, "betas": betas},
        "kp2d": points,
        "bboxes": {"bboxes": boxes, "invalid_idxs": np.array([2])},
    }
    folder = root / "P1" / "09_outdoor"
    folder.mkdir(parents=True)
    (folder / "P1_09_outdoor_data.pkl").write_bytes(pickle.dumps(content))
    save_pictures(folder / "images", [f"{i:05d}.jpg" for i in range(FRAMES)])
    return root


def coco_row(number: int, image: int, points: np.ndarray, flags: list[int]) -> dict:
    flat = np.concatenate([points - 0.5, np.array(flags)[:, None]], axis=1)
    flat[flat[:, 2] == 0] = 0
    low, high = points.min(axis=0), points.max(axis=0)
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": int((flat[:, 2] > 0).sum()),
        "keypoints": flat.ravel().tolist(),
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "segmentation": [[1.0, 2.0, 3.0, 4.0]],
    }


def write_coco(root: Path) -> Path:
    points = figure_2d("coco")
    flags = [2] * 15 + [1, 0]
    people = [coco_row(11, 5, points[0], flags), coco_row(12, 7, points[1], [2] * 17)]
    people.append(coco_row(13, 7, points[1], [0] * 17) | {"bbox": [0, 0, 1, 1]})
    people.append(
        coco_row(14, 7, points[1], [2] * 17) | {"iscrowd": 1, "segmentation": {"counts": [1], "size": [1, 1]}}
    )
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "width": SIDE, "height": SIDE} for i in (7, 5)]
    category = {"id": 1, "name": "person", "keypoints": ORDERS["coco"].split(), "skeleton": [[16, 14]]}
    (root / "annotations").mkdir(parents=True)
    content = {"info": {}, "licenses": [], "images": images, "annotations": people, "categories": [category]}
    (root / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(content))
    save_pictures(root / "train2017", ["000000000005.jpg", "000000000007.jpg"])
    return root


def both_49(frames: int = FRAMES) -> np.ndarray:
    """SPIN's 49 keypoints: detections of OpenPose's points, annotations of LSP's."""
    detected = np.concatenate([figure_2d("openpose25", frames), np.full((frames, 25, 1), 0.7)], axis=2)
    annotated = np.concatenate([figure_2d("spin24", frames), np.ones((frames, 24, 1))], axis=2)
    annotated[:, 14:] = 0
    return np.concatenate([detected, annotated], axis=1)


def write_eft(root: Path) -> Path:
    from synth.geometry.rotations import rotvec_to_rotmat

    pose, betas, _ = smpl_numbers()
    rows = []
    for t in range(2):
        row = {
            "parm_pose": rotvec_to_rotmat(pose[t].reshape(24, 3)).tolist(),
            "parm_shape": betas.tolist(),
            "parm_cam": [0.9, 0.1, 0.2],
            "bbox_scale": 0.6,
            "bbox_center": [80.0, 85.0],
            "joint_validity_openpose18": [True] * 18,
            "gt_keypoint_2d": both_49()[t].tolist(),
            "smpltype": "smpl",
            "annotId": 100 + t,
            "imageName": f"COCO_train2014_{t:012d}.jpg",
        }
        rows.append(row)
    root.mkdir(parents=True, exist_ok=True)
    path = root / "COCO2014-All-ver01.json"
    path.write_text(json.dumps({"ver": 0.1, "data": rows}))
    save_pictures(root / "train2014", [row["imageName"] for row in rows])
    return path


def cell(items: list) -> np.ndarray:
    values = np.empty((len(items), 1), dtype=object)
    for i, item in enumerate(items):
        values[i, 0] = item
    return values


CALIBRATION = """Skeletool Camera Calibration File V1.0
name          {0}
  sensor      10 10
  size        2048 2048
  animated    0
  intrinsic   120 0 80 0 0 120 80 0 0 0 1 0 0 0 0 1
  extrinsic   1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1
  radial      0
"""


def write_3dhp(root: Path) -> Path:
    folder = root / "S1" / "Seq2"
    folder.mkdir(parents=True)
    points, joints = figure_2d("mpi28").reshape(FRAMES, 56), figure_3d("mpi28").reshape(FRAMES, 84) * 1000
    content = {
        "annot2": cell([points + 100 * c for c in range(14)]),
        "annot3": cell([joints] * 14),
        "univ_annot3": cell([joints] * 14),
        "cameras": np.arange(14)[None].astype(np.uint8),
        "frames": np.arange(FRAMES)[:, None],
    }
    savemat(folder / "annot.mat", content, do_compression=True)
    (folder / "camera.calibration").write_text("".join(CALIBRATION.format(c) for c in range(14)))
    save_pictures(folder / "imageFrames" / "video_0", [f"frame_{i + 1:06d}.jpg" for i in range(FRAMES)])
    return root


def write_3dhp_test(root: Path) -> Path:
    folder = root / "mpi_inf_3dhp_test_set" / "TS1"
    folder.mkdir(parents=True)
    with h5py.File(folder / "annot_data.mat", "w", userblock_size=512) as file:
        file["annot2"] = figure_2d("mpi17")[:, None]
        file["annot3"] = figure_3d("mpi17")[:, None] * 1000
        file["univ_annot3"] = (figure_3d("mpi17")[:, None] - figure_3d("mid_hip")[:, None]) * 1000
        file["valid_frame"] = np.array([[1.0], [1.0], [0.0], [1.0]])
    save_pictures(folder / "imageSequence", [f"img_{i + 1:06d}.jpg" for i in range(FRAMES)])
    return root


H36M_32 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]


def write_cdf(path: Path, name: str, rows: np.ndarray) -> None:
    """A CDF of version 3 with one compressed variable of one record, as the original files are."""
    from cdflib.cdfwrite import CDF

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = CDF(str(path), cdf_spec={"Majority": "row_major", "Encoding": 6}, delete=True)
    about = {"Variable": name, "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable"}
    writer.write_var(about | {"Dim_Sizes": list(rows.shape), "Compress": 6}, var_data=rows[None])
    writer.close()


def write_h36m(root: Path) -> Path:
    flat, solid = np.full((FRAMES, 32, 2), 1.0), np.full((FRAMES, 32, 3), 1.0)
    flat[:, H36M_32], solid[:, H36M_32] = figure_2d("h36m"), figure_3d("h36m") * 1000
    features = root / "S1" / "MyPoseFeatures"
    for camera in ("54138969", "60457274"):
        name = f"Directions 1.{camera}.cdf"
        write_cdf(features / "D2_Positions" / name, "Pose", flat.reshape(FRAMES, 64))
        write_cdf(features / "D3_Positions_mono" / name, "Pose", solid.reshape(FRAMES, 96))
    numbers = np.zeros(300)
    for camera in range(4):
        numbers[264 + 9 * camera :][:4] = 120, 120, 80, 80
    listed = " ".join(str(number) for number in numbers)
    (root / "metadata.xml").write_text(f"<xml><mapping/><w0>[{listed}]</w0></xml>")
    for camera in ("54138969", "60457274"):
        stem = f"S1_Directions_1.{camera}"
        save_pictures(root / "S1" / "images" / stem, [f"{stem}_{i + 1:06d}.jpg" for i in range(FRAMES)])
    return root


def write_h36m_json(root: Path) -> Path:
    folder = root / "annotations"
    folder.mkdir(parents=True)
    pose, betas, transl = smpl_numbers()
    points = figure_2d("h36m")
    images, rows = [], []
    for camera in (1, 4):
        name = f"s_01_act_02_subact_01_ca_{camera:02d}"
        for t in range(FRAMES):
            about = {"subject": 1, "action_name": "Directions", "action_idx": 2, "subaction_idx": 1, "cam_idx": camera}
            file_name = f"{name}/{name}_{t + 1:06d}.jpg"
            number = 10 * camera + t
            images.append(about | {"id": number, "file_name": file_name, "width": SIDE, "height": SIDE, "frame_idx": t})
            low, high = points[t].min(axis=0), points[t].max(axis=0)
            box = [*low.tolist(), *(high - low).tolist()]
            rows.append({"id": number, "image_id": number, "keypoints_vis": [True] * 17, "bbox": box})
        save_pictures(root / "images" / name, [f"{name}_{t + 1:06d}.jpg" for t in range(FRAMES)])
    T = world_camera()
    camera = {"R": T[:3, :3].tolist(), "t": (T[:3, 3] * 1000).tolist(), "f": [120, 120], "c": [80, 80]}
    world = to_world(figure_3d("h36m")) * 1000
    fits = {
        str(t): {"pose": pose[t].tolist(), "shape": betas.tolist(), "trans": [transl[t].tolist()]}
        for t in range(FRAMES - 1)
    }
    parts = {
        "data": {"images": images, "annotations": rows},
        "camera": {str(c): camera for c in range(1, 5)},
        "joint_3d": {"2": {"1": {str(t): world[t].tolist() for t in range(FRAMES)}}},
        "SMPL_NeuralAnnot": {"2": {"1": fits}},
    }
    for name, content in parts.items():
        (folder / f"Human36M_subject1_{name}.json").write_text(json.dumps(content))
    return root


def write_mpii(root: Path) -> Path:
    """RELEASE with a picture for training (one person labelled, one only counted) and one for testing."""
    root.mkdir(parents=True, exist_ok=True)
    points = figure_2d("mpii")[0] + 0.5
    listed = np.zeros((1, 15), dtype=[(name, object) for name in ("x", "y", "id", "is_visible")])
    for j in range(15):
        flag = np.zeros((0, 0)) if j in (8, 9) else int(j != 3)
        listed[0, j] = (points[j, 0], points[j, 1], j, flag)
    person = {"x1": 60, "y1": 40, "annopoints": {"point": listed}, "scale": 0.5, "objpos": {"x": 80.5, "y": 85.5}}
    other = {"x1": 0, "y1": 0, "annopoints": np.zeros((0, 0)), "scale": np.zeros((0, 0)), "objpos": np.zeros((0, 0))}
    names = ("x1", "y1", "annopoints", "scale", "objpos")
    rects = np.zeros((1, 2), dtype=[(name, object) for name in names])
    for i, rect in enumerate((person, other)):
        for name in names:
            rects[name][0, i] = rect[name]
    pictures = np.zeros((1, 2), dtype=[(name, object) for name in ("image", "annorect", "frame_sec", "vididx")])
    for i in range(2):
        pictures["image"][0, i] = {"name": f"{i:09d}.jpg"}
        pictures["annorect"][0, i] = rects if i == 0 else np.zeros((0, 0))
        pictures["frame_sec"][0, i] = pictures["vididx"][0, i] = np.zeros((0, 0))
    release = {"annolist": pictures, "img_train": np.array([[1, 0]], dtype=np.uint8), "version": "12"}
    savemat(root / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release}, do_compression=True)
    save_pictures(root / "images", ["000000000.jpg"])
    return root


def write_mpii_json(root: Path) -> Path:
    (root / "annot").mkdir(parents=True)
    points = figure_2d("mpii")[0] + 0.5
    points[15] = -1
    row = {
        "joints_vis": [1] * 15 + [0],
        "joints": points.tolist(),
        "image": "000000000.jpg",
        "scale": 0.5,
        "center": [80.5, 85.5],
    }
    (root / "annot" / "train.json").write_text(json.dumps([row]))
    save_pictures(root / "images", ["000000000.jpg"])
    return root


def write_lsp(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    hidden = np.zeros((FRAMES, 14, 1))
    hidden[:, 0] = 1
    joints = np.concatenate([figure_2d("lsp") + 0.5, hidden], axis=2).transpose(2, 1, 0)
    savemat(root / "joints.mat", {"joints": joints})
    save_pictures(root / "images", [f"im{i + 1:04d}.jpg" for i in range(FRAMES)])
    return root


def write_lspet(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    seen = np.ones((FRAMES, 14, 1))
    seen[:, 0] = 0
    points = np.where(seen > 0, figure_2d("lsp") + 0.5, 0.0)
    savemat(root / "joints.mat", {"joints": np.concatenate([points, seen], axis=2).transpose(1, 2, 0)})
    save_pictures(root / "images", [f"im{i + 1:05d}.jpg" for i in range(FRAMES)])
    return root


def write_penn(root: Path) -> Path:
    (root / "labels").mkdir(parents=True)
    points = figure_2d("penn") + 0.5
    seen = np.ones((FRAMES, 13), dtype=np.uint8)
    seen[0, 12] = 0
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    content = {
        "action": "bowl",
        "pose": "front",
        "x": points[..., 0],
        "y": points[..., 1],
        "visibility": seen,
        "train": 1,
        "bbox": boxes[:-1],
        "dimensions": np.array([[SIDE, SIDE, FRAMES]]),
        "nframes": FRAMES,
    }
    savemat(root / "labels" / "0001.mat", content, do_compression=True)
    save_pictures(root / "frames" / "0001", [f"{i + 1:06d}.jpg" for i in range(FRAMES)])
    return root


def write_posetrack(root: Path) -> Path:
    folder = root / "posetrack_data" / "annotations" / "train"
    folder.mkdir(parents=True)
    names = ORDERS["posetrack"].replace("neck", "head_bottom").split()
    points = figure_2d("posetrack")
    flags = [1, 1, 1, 0, 0, *[1] * 12]
    images = [
        {
            "has_no_densepose": True,
            "is_labeled": t != 1,
            "file_name": f"images/train/000001_bonn_train/{t:06d}.jpg",
            "nframes": FRAMES,
            "frame_id": 10000010000 + t,
            "vid_id": "000001",
            "id": 10000010000 + t,
        }
        for t in range(FRAMES)
    ]
    rows = [
        coco_row(100 * t, 10000010000 + t, points[t], flags) | {"track_id": 3, "scores": [], "bbox_head": [1, 2, 3, 4]}
        for t in (0, 2, 3)
    ]
    category = {"supercategory": "person", "id": 1, "name": "person", "keypoints": names, "skeleton": []}
    content = {"images": images, "annotations": rows, "categories": [category]}
    (folder / "000001_bonn_train.json").write_text(json.dumps(content))
    save_pictures(root / "images" / "train" / "000001_bonn_train", [f"{t:06d}.jpg" for t in range(FRAMES)])
    return root


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(value: object) -> bytes:
    if isinstance(value, list):
        return message(1, b"".join(message(1, item) for item in value))
    array = np.asarray(value).ravel()
    if array.dtype.kind == "f":
        return message(2, message(1, array.astype("<f4").tobytes()))
    return message(3, message(1, b"".join(varint(int(item)) for item in array)))


def example(features: dict[str, object]) -> bytes:
    entries = (message(1, message(1, name.encode()) + message(2, feature(value))) for name, value in features.items())
    return message(1, b"".join(entries))


def record_bytes(content: bytes) -> bytes:
    head = struct.pack("<Q", len(content))
    return head + struct.pack("<I", masked_crc(head)) + content + struct.pack("<I", masked_crc(content))


def write_insta(root: Path) -> Path:
    (root / "train").mkdir(parents=True)
    pictures = []
    for t in range(FRAMES):
        file = BytesIO()
        picture(t).resize((224, 224)).save(file, format="JPEG")
        pictures.append(file.getvalue())
    points = figure_2d("insta") * 224 / SIDE / 112 - 1  # from -1 to 1 over the crop
    seen = np.ones((FRAMES, 25))
    seen[:, 5] = 0
    rows = np.concatenate([points, seen[..., None]], axis=2).transpose(0, 2, 1)
    features: dict[str, object] = {
        "meta/N": np.array([FRAMES]),
        "meta/has_3d": np.array([0]),
        "image/filenames": [b"a.jpg"] * FRAMES,
        "image/encoded": pictures,
        "image/xys": rows[:, :2, :14],
        "image/visibilities": rows[:, 2, :14].astype(np.int64),
        "image/face_pts": rows[:, :, 14:19],
        "image/toe_pts": rows[:, :, 19:],
        "image/phis": np.zeros((FRAMES, 8)),
        "image/centers": np.full((FRAMES, 2), -3),
        "mosh/poses": -np.ones((FRAMES, 72)),
    }
    content = record_bytes(example(features))
    (root / "train" / "insta_variety_00_copy00_hmr.tfrecord").write_bytes(content * 2)
    return root


def write_amass(root: Path) -> Path:
    rng = np.random.default_rng(5)
    for name, extra in (("CMU/01/01_01_poses", {"mocap_framerate": 120.0}), ("BMLrub/s1/x_stageii", {})):
        path = root / f"{name}.npz"
        path.parent.mkdir(parents=True)
        steps = np.cumsum(rng.normal(0, 0.02, (60, 156)), axis=0)
        content = {"trans": steps[:, :3], "betas": rng.normal(size=16), "gender": np.array("female"), **extra}
        if extra:
            content |= {"poses": steps, "dmpls": np.zeros((60, 8))}
        else:
            content |= {"root_orient": steps[:, :3], "pose_body": steps[:, 3:66], "mocap_frame_rate": np.array(60.0)}
        np.savez(path, **content)
    np.savez(root / "CMU" / "01" / "shape.npz", betas=np.zeros(16), gender=np.array("female"))
    return root


def write_vibe(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    pose, betas, _ = smpl_numbers()
    count = 2 * FRAMES
    points = both_49()
    boxes = np.tile([80.0, 85.0, 100.0, 100.0], (count, 1))
    joints = np.concatenate([figure_3d("openpose25"), figure_3d("spin24")], axis=1)
    joints[:, 25 + 14 :] = 0
    content = {
        "vid_name": np.array(["a_0"] * FRAMES + ["a_1"] * FRAMES),
        "frame_id": np.tile(np.arange(FRAMES), 2),
        "img_name": np.array([f"images/{i:06d}.jpg" for i in range(FRAMES)] * 2),
        "joints2D": np.concatenate([points, points]).astype(np.float32),
        "joints3D": np.concatenate([joints, joints]).astype(np.float32),
        "pose": np.concatenate([pose, np.zeros_like(pose)]).astype(np.float32),
        "shape": np.concatenate([np.tile(betas, (FRAMES, 1)), np.zeros((FRAMES, 10))]).astype(np.float32),
        "bbox": boxes,
        "features": np.ones((count, 16), dtype=np.float32),
        "valid": np.array([1.0] * (count - 1) + [0.0]),
    }
    path = root / "3dpw_train_db.pt"
    joblib.dump(content, path)
    save_pictures(root / "images", [f"{i:06d}.jpg" for i in range(FRAMES)])
    return path


def write_spin(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    pose, betas, _ = smpl_numbers()
    S = np.concatenate([figure_3d("spin24") - figure_3d("mid_hip"), np.ones((FRAMES, 24, 1))], axis=2)
    S[:, 19:] = 0
    points = both_49()
    path = root / "mpi_inf_3dhp_train.npz"
    np.savez(
        path,
        imgname=[f"images/{i:06d}.jpg" for i in range(FRAMES)],
        center=[[80.0, 85.0]] * FRAMES,
        scale=[0.6] * FRAMES,
        part=points[:, 25:],
        openpose=points[:, :25],
        S=S,
        pose=pose,
        shape=np.tile(betas, (FRAMES, 1)),
        has_smpl=np.array([1, 1, 1, 0], dtype=np.uint8),
        gender=["m"] * FRAMES,
    )
    save_pictures(root / "images", [f"{i:06d}.jpg" for i in range(FRAMES)])
    return path


WRITERS: dict[str, tuple[str, str | None, Callable[[Path], Path]]] = {
    "3dpw": ("3dpw", None, write_3dpw),
    "emdb": ("emdb", "emdb1", write_emdb),
    "coco": ("coco", None, write_coco),
    "eft": ("eft", None, write_eft),
    "3dhp": ("3dhp", None, write_3dhp),
    "3dhp-test": ("3dhp", "test", write_3dhp_test),
    "h36m": ("h36m", None, write_h36m),
    "h36m-json": ("h36m", None, write_h36m_json),
    "mpii": ("mpii", None, write_mpii),
    "mpii-json": ("mpii", None, write_mpii_json),
    "lsp": ("lsp", None, write_lsp),
    "lspet": ("lspet", None, write_lspet),
    "penn": ("penn", None, write_penn),
    "posetrack": ("posetrack", None, write_posetrack),
    "insta": ("insta", None, write_insta),
    "amass": ("amass", None, write_amass),
    "vibe": ("vibe", None, write_vibe),
    "spin": ("spin", None, write_spin),
}
"""Source, split and writer by the name of the form."""
