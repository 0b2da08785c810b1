"""Small files in exactly the form that data sets of single pictures are distributed in."""

import json
from pathlib import Path

import numpy as np
from real_figure import FRAMES, ORDERS, SIDE, both_49, figure_2d, save_pictures, smpl_numbers
from scipy.io import savemat


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
