"""Small files in exactly the form that video and motion capture data sets are distributed in."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
from real_figure import (
    FRAMES,
    ORDERS,
    SIDE,
    K,
    cell,
    figure_2d,
    figure_3d,
    save_pictures,
    smpl_numbers,
    to_world,
    world_camera,
)
from real_still_forms import coco_row
from scipy.io import savemat


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
