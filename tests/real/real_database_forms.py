"""Small files in the forms of InstaVariety, AMASS, and of what VIBE and SPIN prepare."""

import struct
from io import BytesIO
from pathlib import Path

import h5py
import joblib
import numpy as np
from real_figure import FRAMES, ORDERS, SIDE, both_49, figure_2d, figure_3d, picture, save_pictures, smpl_numbers

from train.real.insta import masked_crc


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


def write_vibe_insta(root: Path) -> Path:
    """VIBE's InstaVariety: text of fixed length, numbers in double precision, keypoints in crops of 224 pixels."""
    root.mkdir(parents=True, exist_ok=True)
    points = np.concatenate([figure_2d("insta") * 224 / SIDE, np.ones((FRAMES, 25, 1))], axis=2)
    points[:, 5] = 0
    path = root / "insta_train_db.h5"
    with h5py.File(path, "w") as file:
        names = [f"insta_variety_00.tfrecord-{video}" for video in (0, 1) for _ in range(FRAMES)]
        file["vid_name"] = np.array(names, dtype=np.bytes_)
        file["frame_id"] = np.tile(np.arange(FRAMES), 2)
        file["joints2D"] = np.concatenate([points, points])
        file["features"] = np.ones((2 * FRAMES, 16), dtype=np.float32)
    return path


def write_vibe_penn(root: Path) -> Path:
    """What VIBE makes of Penn Action: LSP's order by the README's names, so that left and right are exchanged."""
    root.mkdir(parents=True, exist_ok=True)
    readme = ORDERS["penn"].replace("right", "LEFT").replace("left", "RIGHT").lower().split()
    points = figure_2d("penn")
    rows = np.zeros((FRAMES, 14, 3))
    for j, name in enumerate(ORDERS["lsp"].split()):
        if name in readme:  # all but the neck
            rows[:, j] = np.concatenate([points[:, readme.index(name)], np.ones((FRAMES, 1))], axis=1)
    names = [f"data/pennaction/frames/0001/{t + 1:06d}.jpg" for t in range(FRAMES)]
    content = {
        "vid_name": np.array(["data/pennaction/labels/0001.mat"] * FRAMES),
        "img_name": np.array(names),
        "joints2D": rows,
        "bbox": np.tile([80.0, 85.0, 100.0, 100.0], (FRAMES, 1)),
        "features": np.ones((FRAMES, 16), dtype=np.float32),
    }
    path = root / "vibe_db" / "pennaction_train_db.pt"
    path.parent.mkdir()
    joblib.dump(content, path)
    save_pictures(root / "data/pennaction/frames/0001", [name.rpartition("/")[2] for name in names])
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
