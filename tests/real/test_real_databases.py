"""VIBE's and SPIN's own files: read, written, and read again, by us and by what others read them with."""

from pathlib import Path

import h5py
import joblib
import numpy as np
import pytest
import real_formats as formats

from synth.errors import SynthError
from train.joints import VOCABULARY, joint_set
from train.real import Source, labels, open_source, spin, vibe


def opened(form: str, tmp_path: Path) -> Source:
    name, split, write = formats.WRITERS[form]
    return open_source(name, write(tmp_path / form), split)


def test_vibe_zeros_are_masks(tmp_path: Path) -> None:
    source = opened("vibe", tmp_path)
    first, second = source[0], source[1]
    assert (first.subject, second.subject) == ("a_0", "a_1")
    assert first.pose_valid.all()
    assert not second.pose_valid.any()
    assert second.keypoints_valid.any(axis=1).tolist() == [True, True, True, False]  # "valid" is 0 for the last row
    assert first.features.shape == (formats.FRAMES, 16)
    assert np.allclose(first.bbox[0], [30, 35, 130, 135])


@pytest.mark.parametrize("form", ["spin", "vibe"])
def test_databases_are_written_as_they_are_read(form: str, tmp_path: Path) -> None:
    source = opened(form, tmp_path)
    path = source.path.with_name("again" + source.path.suffix)
    write = spin.write if form == "spin" else vibe.write
    assert write(path, source) == sum(len(record) for record in source)
    for record, again in zip(source, open_source(form, path), strict=True):
        assert [ref.path for ref in again.images] == [ref.path for ref in record.images]
        assert again.gender == record.gender
        for name, value in labels(record, joints="vocabulary").items():
            if name != "transl":
                assert np.allclose(labels(again, joints="vocabulary")[name], value, atol=1e-5), name


def test_other_sources_become_databases(tmp_path: Path) -> None:
    # 3DPW's joints are in the camera's frame; SPIN wants them around the pelvis. VIBE's bug was an order lost here
    source = opened("penn", tmp_path)
    vibe.write(tmp_path / "penn_db.pt", source)
    spin.write(tmp_path / "penn.npz", source)
    record = source[0]
    wanted = labels(record, joints="penn13")
    for form, name in (("vibe", "penn_db.pt"), ("spin", "penn.npz")):
        rows = [labels(r, joints="penn13") for r in open_source(form, tmp_path / name)]
        found = np.concatenate([row["keypoints_2d"] for row in rows])
        kept = slice(None) if form == "vibe" else slice(0, 3)  # SPIN has no rows without a box
        shown = (wanted["confidence"] > 0)[kept]
        if form == "vibe":
            shown &= wanted["bbox_valid"][:, None]
        assert np.allclose(found[: len(shown)][shown], wanted["keypoints_2d"][kept][shown])
    motions = opened("amass", tmp_path)
    assert vibe.write(tmp_path / "amass_db.pt", motions) == 120
    again = open_source("vibe", tmp_path / "amass_db.pt")[0]
    assert again.smpl_frame == "world"
    assert np.allclose(again.body_pose[:, :21], motions[0].body_pose[:, :21], atol=1e-6)
    with pytest.raises(SynthError, match="other fields"):
        vibe.write(tmp_path / "mixed.pt", [motions[0], record])


def test_old_vibe_databases_of_14_points_are_in_lsps_order(tmp_path: Path) -> None:
    points = np.concatenate([formats.figure_2d("lsp"), np.ones((formats.FRAMES, 14, 1))], axis=2)
    joblib.dump({"vid_name": np.array(["a"] * formats.FRAMES), "joints2D": points}, tmp_path / "db.pt")
    record = open_source("vibe", tmp_path / "db.pt")[0]
    taken = labels(record, joints="lsp14")
    assert np.allclose(taken["keypoints_2d"], formats.figure_2d("lsp"))


def test_what_is_written_is_what_vibes_and_spins_code_reads(tmp_path: Path) -> None:
    # plain joblib, NumPy and h5py, none of our readers: names, shapes and kinds of the columns their loaders index
    source = opened("3dpw", tmp_path)
    count = sum(len(record) for record in source)
    vibe.write(tmp_path / "3dpw_train_db.pt", source)
    held = joblib.load(tmp_path / "3dpw_train_db.pt")
    shapes = {"joints2D": (49, 3), "joints3D": (49, 3), "pose": (72,), "shape": (10,), "bbox": (4,), "valid": ()}
    for name, shape in shapes.items():
        assert (held[name].shape, held[name].dtype.kind) == ((count, *shape), "f"), name
    assert {held[name].dtype.kind for name in ("vid_name", "img_name")} == {"U"}
    assert held["frame_id"].tolist() == [0, 1, 2, 3] * 2
    assert np.isfinite(held["joints3D"]).all()
    record = source[0]
    ankle = 25 + joint_set("spin24").index("right_ankle")
    wanted = labels(record, joints="spin24")
    assert np.allclose(held["joints2D"][0, ankle, :2], wanted["keypoints_2d"][0, ankle - 25])
    kept = spin.write(tmp_path / "3dpw.npz", source)
    assert kept == int(sum(r.bbox_valid.sum() for r in source)) < count
    with np.load(tmp_path / "3dpw.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].shape[1:] for name in arrays} == {
            "imgname": (), "center": (2,), "scale": (), "part": (24, 3), "openpose": (25, 3), "S": (24, 4),
            "pose": (72,), "shape": (10,), "has_smpl": (), "gender": (),
        }  # fmt: skip
        assert sorted(set(arrays["gender"].tolist())) == ["f", "m"]
        x0, y0, x1, y1 = record.bbox[0]
        assert np.allclose(arrays["scale"][0], 1.2 * max(x1 - x0, y1 - y0) / 200)
        assert set(arrays["S"][..., 3].ravel().tolist()) == {0.0, 1.0}


def test_instavariety_is_written_as_vibes_hdf5(tmp_path: Path) -> None:
    source = opened("insta", tmp_path)
    path = tmp_path / "insta_train_db.h5"
    assert vibe.write(path, source) == 8
    with h5py.File(path) as file:
        assert (file["joints2D"].shape, file["vid_name"].dtype.kind) == ((8, 25, 3), "S")
        assert file["vid_name"][4].decode() == source[1].name  # as VIBE's loader takes it
        shown = file["joints2D"][:4, :, 2] > 0
        crop = formats.figure_2d("insta") * 224 / formats.SIDE
        assert np.allclose(file["joints2D"][:4, :, :2][shown], crop[shown], atol=1e-4)
    for record, again in zip(source, open_source("vibe", path), strict=True):
        first, second = labels(record, joints="insta25"), labels(again, joints="insta25")
        for name in ("keypoints_2d", "confidence"):
            assert np.allclose(first[name], second[name], atol=1e-4), name
        assert again.subject == record.name


def test_any_picture_is_cut_to_the_crop_of_the_hdf5_form(tmp_path: Path) -> None:
    # catches keypoints left in the picture's pixels: VIBE's loader divides by 224 and nothing else
    source = opened("penn", tmp_path)
    vibe.write(tmp_path / "penn.h5", source)
    record, again = source[0], open_source("vibe", tmp_path / "penn.h5")[0]
    seen = again.confidence > 0
    assert not seen[3].any()  # no box, so no crop
    low, high = record.bbox[0].reshape(2, 2)
    place = VOCABULARY.index("left_knee")
    known = record.keypoints_2d[0, joint_set("penn13").index("left_knee")]
    assert np.allclose(again.keypoints_2d[0, place], (known - (low + high) / 2) / (1.2 * max(high - low)) * 224 + 112)


def test_hdf5_is_read_a_track_at_a_time(tmp_path: Path) -> None:
    # catches columns that are kept: VIBE's InstaVariety is larger than most memories
    import pickle

    path = formats.write_vibe_insta(tmp_path)
    with h5py.File(path, "a") as file:
        del file["features"]
        file["features"] = np.repeat(np.arange(8.0)[:, None], 50_000, axis=1)
    source = open_source("vibe", path)
    assert len(pickle.dumps(source)) < 5000
    again = pickle.loads(pickle.dumps(source))
    assert again[1].features[:, 0].tolist() == [4.0, 5.0, 6.0, 7.0]
    assert [entry.frames for entry in source.entries] == [4, 4]


def test_columns_as_vibes_scripts_leave_them(tmp_path: Path) -> None:
    # MPI-INF-3DHP's: names of pictures for frame numbers, flags of the test set by another name, one column wide
    path = formats.write_vibe(tmp_path)
    content = joblib.load(path)
    del content["valid"]
    content["frame_id"] = np.array([f"img_{i + 1:06d}" for i in range(8)])
    content["valid_i"] = np.array([[1.0]] * 7 + [[0.0]])
    joblib.dump(content, path)
    record = open_source("vibe", path)[1]
    assert record.frame_ids.tolist() == [5, 6, 7, 8]
    assert record.keypoints_valid.any(axis=1).tolist() == [True, True, True, False]
    joblib.dump(content | {"valid_i": np.ones(3)}, path)
    with pytest.raises(SynthError, match=r"3dpw_train_db\.pt: valid_i: expected 8 flags"):
        open_source("vibe", path)


def test_pictures_may_be_named_from_a_folder_above(tmp_path: Path) -> None:
    # VIBE runs in one folder and notes data/...; its databases lie in data/vibe_db
    source = opened("vibe-penn", tmp_path)
    assert all(ref.path.exists() for ref in source[0].images)


@pytest.mark.parametrize("column", ["joints2D", "vid_name", "frame_id"])
def test_hdf5_of_wrong_columns_is_refused_by_name(column: str, tmp_path: Path) -> None:
    path = formats.write_vibe_insta(tmp_path)
    with h5py.File(path, "a") as file:
        values = file[column][()]
        del file[column]
        if column == "vid_name":
            file[column] = np.arange(8)
        else:
            file[column] = values[:, :7] if column == "joints2D" else values[:5]
    with pytest.raises(SynthError, match=rf"insta_train_db\.h5.*{column}"):
        list(open_source("vibe", path))
