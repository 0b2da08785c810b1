"""Every export is read back by a reader that is not ours, and its numbers are used as that format's users use them."""

import dataclasses
import io
import json
import sys
import tarfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import scipy.io
from PIL import Image

from synth.body.lbs import posed
from synth.body.model import load_named
from synth.errors import SynthError
from synth.export.bedlam import _joints_boxes
from synth.export.labels import views_of
from synth.export.targets import TARGETS, export, target
from synth.labels.keypoints import rest_pelvis
from synth.shards.manifest import Manifest, open_dataset
from synth.shards.read import ShardReader

sys.path.insert(0, str(Path(__file__).parents[1] / "shards"))
from shard_factory import make_shard

FRAMES = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    Manifest(folder).record(make_shard(folder, frames=FRAMES, views=2, dressed=True, size=128))
    return folder


@pytest.fixture
def reader(folder: Path) -> ShardReader:
    return ShardReader(next(folder.glob("*.h5")))


def project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    pixels = points @ K.T
    return pixels[..., :2] / pixels[..., 2:]


@pytest.mark.parametrize("name", TARGETS)
def test_an_export_says_what_it_is_and_what_it_lacks(name: str, folder: Path, tmp_path: Path) -> None:
    if name in ("surreal", "video"):
        pytest.importorskip("av")
    done = export(folder, tmp_path / "out", name)
    about = json.loads((tmp_path / "out/export.json").read_text())
    assert done.images == about["images"] == 2 * FRAMES
    assert about["cannot_hold"] == list(target(name).CANNOT_HOLD)
    assert about["body_models"][0]["name"] == "free"
    assert not list(tmp_path.glob("*.part.*"))
    with pytest.raises(SynthError, match="already"):
        export(folder, tmp_path / "out", name)


def test_a_failed_export_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.export.coco.run_lengths", lambda mask: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(folder, tmp_path / "out", "coco")
    assert list(tmp_path.iterdir()) == []


def test_bedlam_mesh_projects_onto_its_own_keypoints(folder: Path, reader: ShardReader, tmp_path: Path) -> None:
    # catches a translation without BEDLAM's split between trans_cam and cam_ext, and a root in the world's frame
    export(folder, tmp_path / "out", "bedlam")
    with np.load(tmp_path / "out/labels.npz", allow_pickle=False) as file:
        labels = dict(file)
    body = load_named("free", "neutral")
    pose = labels["pose_cam"].reshape(-1, 24, 3)
    _, joints = posed(body, labels["shape"][0], pose[:, 0], pose[:, 1:], labels["trans_cam"])
    joints = joints + labels["cam_ext"][:, None, :3, 3]
    for row in range(len(joints)):
        np.testing.assert_allclose(project(joints[row], labels["cam_int"][row]), labels["gtkps"][row, :, :2], atol=1e-6)
    name = labels["imgname"][1]
    assert (tmp_path / "out" / name).read_bytes() == reader.jpeg(0, 1)
    points = reader.clip("views/0/keypoints_2d")[0, :22]
    low, high = points.min(axis=0), points.max(axis=0)
    np.testing.assert_allclose(labels["center"][0], (low + high) / 2)
    assert labels["scale"][0] * 200 == pytest.approx(1.2 * (high - low).max())
    assert set(labels["gender"]) == {"n"}
    # root and translation follow from those in the world as in BEDLAM's script: c = R (w + J0) - J0
    pelvis = rest_pelvis(body, labels["shape"][0])
    turned = np.einsum("nij,nj->ni", labels["cam_ext"][:, :3, :3], labels["trans_world"] + pelvis) - pelvis
    np.testing.assert_allclose(labels["trans_cam"], turned, atol=1e-9)


def test_bedlam_leaves_out_pictures_that_show_too_few_joints(folder: Path, reader: ShardReader) -> None:
    (view, _) = views_of(open_dataset(folder))
    points = np.tile([-10.0, 10.0], (FRAMES, 24, 1))
    points[0, :8], points[1, :7], points[2, 15:] = [20, 30], [20, 30], [20, 30]
    centre, size, enough = _joints_boxes(dataclasses.replace(view, keypoints_2d=points), np.arange(FRAMES))
    assert enough.tolist() == [True, False, False]  # the hands do not count
    np.testing.assert_array_equal(centre[0], [20, 30])
    np.testing.assert_array_equal(size[0], [0, 0])


def test_spin_and_vibe_agree_with_the_shard(folder: Path, reader: ShardReader, tmp_path: Path) -> None:
    # catches joints in another order and left exchanged with right
    export(folder, tmp_path / "spin", "spin")
    export(folder, tmp_path / "vibe", "vibe")
    with np.load(tmp_path / "spin/labels.npz", allow_pickle=False) as file:
        spin = dict(file)
    vibe = joblib.load(tmp_path / "vibe/db.pt")
    smpl = reader.clip("views/1/keypoints_2d")[2]
    row = FRAMES + 2  # second view, third frame
    # SPIN: 0 right ankle, 5 left ankle, 7 right elbow, 10 left elbow; VIBE has them after OpenPose's 25
    for spin_joint, smpl_joint in {0: 8, 5: 7, 7: 19, 10: 18}.items():
        np.testing.assert_allclose(spin["part"][row, spin_joint, :2], smpl[smpl_joint], atol=1.5)
        np.testing.assert_array_equal(vibe["joints2D"][row, 25 + spin_joint], spin["part"][row, spin_joint])
    assert (spin["part"][:, 15, 2] == 0).all()  # MPII's thorax has no regressor
    assert spin["S"].shape == (2 * FRAMES, 24, 4)
    assert spin["openpose"].shape == (2 * FRAMES, 25, 3)
    np.testing.assert_array_equal(spin["pose"], vibe["pose"])
    np.testing.assert_array_equal(spin["pose"][row, 3:], reader.clip("smpl/body_pose")[2].ravel())
    assert vibe["joints3D"].shape == (2 * FRAMES, 49, 3)
    assert vibe["frame_id"].tolist() == [*range(FRAMES)] * 2
    assert len(set(vibe["vid_name"])) == 2
    assert "features" not in vibe
    assert np.abs(vibe["joints3D"][:, 25 + 14]).max() == 0  # relative to the pelvis


def test_coco_is_read_by_pycocotools(folder: Path, reader: ShardReader, tmp_path: Path) -> None:
    coco_module = pytest.importorskip("pycocotools.coco")
    export(folder, tmp_path / "out", "coco")
    coco = coco_module.COCO(str(tmp_path / "out/annotations.json"))
    people = coco.getCatIds(catNms=["person"])
    assert len(coco.getImgIds(catIds=people)) == 2 * FRAMES
    image = coco.loadImgs(coco.getImgIds())[FRAMES + 1]  # second view, second frame
    (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
    frame = reader.frame(1, 1)
    np.testing.assert_array_equal(coco.annToMask(annotation).astype(bool), frame["depth"] > 0)
    assert annotation["area"] == (frame["depth"] > 0).sum()
    keypoints = np.reshape(annotation["keypoints"], (17, 3))
    joints = {5: 16, 6: 17, 7: 18, 8: 19, 13: 4, 14: 5, 15: 7, 16: 8}  # COCO's limbs are SMPL's joints
    for k, joint in joints.items():
        np.testing.assert_allclose(keypoints[k, :2], frame["keypoints_2d"][joint], atol=1.5)
        assert (keypoints[k, 2] == 2) == (frame["visibility"][joint] == 0)
    picture = Image.open(tmp_path / "out" / image["file_name"])
    assert picture.size == (image["width"], image["height"])


def test_webdataset_reads_the_tars(folder: Path, reader: ShardReader, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    export(folder, tmp_path / "out", "webdataset", every=2)
    samples = list(webdataset.WebDataset(str(tmp_path / "out/000000.tar"), shardshuffle=False))
    assert len(samples) == 4  # two views, frames 0 and 2
    sample = samples[1]
    assert sample["__key__"].endswith("_v0_000002")
    assert sample["jpg"] == reader.jpeg(0, 2)
    labels = json.loads(sample["json"])
    np.testing.assert_array_equal(labels["keypoints_2d"], reader.clip("views/0/keypoints_2d")[2])
    with np.load(io.BytesIO(sample["npz"]), allow_pickle=False) as maps:
        frame = reader.frame(0, 2)
        for name in ("depth", "flow", "normal", "parts", "garments"):
            np.testing.assert_allclose(maps[name] * maps[f"{name}_scale"], frame[name], rtol=1e-6)
    with tarfile.open(tmp_path / "out/000000.tar") as tar:
        assert {info.mtime for info in tar} == {0}  # the same shards give the same bytes


def test_video_has_every_frame_at_the_clips_rate(folder: Path, reader: ShardReader, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    export(folder, tmp_path / "out", "video")
    (path,) = (tmp_path / "out").glob("*_v1.mp4")
    with av.open(str(path)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert float(video.streams.video[0].average_rate) == reader.attributes["fps"]
    stored = reader.window(1, 0, FRAMES, ("rgb",))["rgb"]
    assert len(frames) == FRAMES
    own = [np.abs(a.astype(float) - b).mean() for a, b in zip(frames, stored, strict=True)]
    assert max(own) < 4


def test_surreals_own_formulas_give_the_picture(folder: Path, reader: ShardReader, tmp_path: Path) -> None:
    # catches an unmirrored world, forward flow, flow with y down
    pytest.importorskip("av")
    export(folder, tmp_path / "out", "surreal")
    (path,) = (tmp_path / "out").glob("*_v0_c0001_info.mat")
    info = scipy.io.loadmat(path)
    R_world2bcam = np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0]]).transpose()
    R_bcam2cv = np.diag([1, -1, -1])
    extrinsic = R_bcam2cv @ R_world2bcam
    offset = R_bcam2cv @ (-R_world2bcam @ info["camLoc"])
    for t in range(FRAMES):
        pixels = project((extrinsic @ info["joints3D"][:, :, t] + offset).T, info["intrinsics"])
        np.testing.assert_allclose(pixels, info["joints2D"][:, :, t].T, atol=1e-3)
        np.testing.assert_allclose(pixels, reader.clip("views/0/keypoints_2d")[t], atol=1e-3)
    depth = scipy.io.loadmat(str(path).replace("_info", "_depth"))
    np.testing.assert_array_equal(depth["depth_2"] < 1e9, reader.frame(0, 1)["depth"] > 0)
    segm = scipy.io.loadmat(str(path).replace("_info", "_segm"))
    np.testing.assert_array_equal(segm["segm_3"], reader.frame(0, 2)["parts"])
    flow = scipy.io.loadmat(str(path).replace("_info", "_gtflow"))
    forward = reader.frame(0, 1)["flow"]
    seen = (depth["depth_2"] < 1e9) & (depth["depth_3"] < 1e9)
    back = flow["gtflow_3"][seen] * [1, -1]
    # going back is about the opposite of having come
    assert np.median(np.linalg.norm(back + forward[seen], axis=1)) < 0.4 * np.median(
        np.linalg.norm(forward[seen], axis=1)
    )
    assert not flow["gtflow_1"].any()
    assert info["gender"].ravel().tolist() == [1] * FRAMES
    kinds = {name: (info[name].dtype.str[1:], info[name].shape) for name in ("joints2D", "joints3D", "pose", "gender")}
    assert kinds == {
        "joints2D": ("f4", (2, 24, FRAMES)),
        "joints3D": ("f4", (3, 24, FRAMES)),
        "pose": ("f4", (72, FRAMES)),
        "gender": ("u1", (FRAMES, 1)),
    }
    assert segm["segm_1"].dtype == np.uint8
    assert depth["depth_1"].dtype == flow["gtflow_1"].dtype == np.float32
