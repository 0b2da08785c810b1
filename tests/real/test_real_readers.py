import pickle
from pathlib import Path

import numpy as np
import pytest
import real_formats as formats
from scipy.io import savemat

from synth.errors import SynthError
from synth.geometry.rotations import rotvec_to_rotmat
from train.joints import VOCABULARY, joint_set
from train.real import OCCLUDED, Record, Source, labels, open_source
from train.real.pictures import picture_size, read_picture

HIDDEN = {"coco": {("left_ankle", OCCLUDED)}, "lsp": {("right_ankle", OCCLUDED)}}
SCALE = {"insta": 224 / formats.SIDE, "vibe-insta": 224 / formats.SIDE}
OFFSET = {"3dhp": 100}
"""The second video of the same sequence is moved by this many pixels."""


def opened(form: str, tmp_path: Path, **changes: object) -> Source:
    name, split, write = formats.WRITERS[form]
    return open_source(name, write(tmp_path / form), split, **changes)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("form", [form for form in formats.WRITERS if form != "amass"])
def test_every_keypoint_lies_where_the_figure_has_it(form: str, tmp_path: Path) -> None:
    # catches any joint taken for another, a half or whole pixel lost, frames out of step, a missing label read as zero
    source = opened(form, tmp_path)
    record = source[0]
    frames = len(record)
    taken = labels(record, joints="vocabulary")
    wanted = formats.figure_2d(" ".join(VOCABULARY), max(frames, 1)) * SCALE.get(form, 1)
    seen = taken["confidence"] > 0
    assert seen.any(axis=1).sum() >= frames - 1
    assert np.abs(taken["keypoints_2d"] - wanted)[seen].max() < 1e-3
    assert not taken["keypoints_2d"][~seen].any()
    assert np.isnan(record.keypoints_2d[~record.keypoints_valid]).all()
    known = taken["joints_valid"]
    if known.any():
        solid = formats.figure_3d(" ".join(VOCABULARY), frames)
        middle = 0.0 if record.joints_absolute or form == "vibe" else formats.figure_3d("mid_hip", frames)
        assert np.abs(taken["joints_3d"] - (solid - middle))[known].max() < 1e-5
    assert not taken["joints_3d"][~known].any()


@pytest.mark.parametrize("form", list(formats.WRITERS))
def test_lengths_pictures_and_masks_fit_together(form: str, tmp_path: Path) -> None:
    source = opened(form, tmp_path)
    again = pickle.loads(pickle.dumps(source))  # as it goes to the workers of a loader
    for index, entry in enumerate(source.entries):
        record = again[index]
        assert (len(record), record.fps, record.name) == (entry.frames, entry.fps, entry.name)
        for name, value in labels(record).items():
            assert len(value) == len(record), name
            assert np.isfinite(value).all(), name
    assert len({entry.name for entry in source.entries}) == len(source)
    record = source[0]
    if form in ("amass", "vibe-insta"):
        assert record.images == ()
    else:
        assert len(record.images) == len(record)
        width, height = picture_size(record.images[-1])
        assert read_picture(record.images[-1]).shape == (height, width, 3)
        if form not in ("3dhp", "h36m"):  # they state the size of their cameras, the small pictures here have not
            assert record.image_size in (None, (width, height))
    with pytest.raises(IndexError):
        source[len(source)]


def test_a_single_picture_becomes_a_clip_by_repetition(tmp_path: Path) -> None:
    record = opened("coco", tmp_path)[0]
    assert record.still
    clip = labels(record, length=16)
    assert clip["keypoints_2d"].shape == (16, 24, 2)
    assert (clip["keypoints_2d"] == clip["keypoints_2d"][:1]).all()
    assert clip["bbox_valid"].all()
    video = opened("penn", tmp_path)[0]
    assert np.array_equal(labels(video, 1, 2)["bbox"], labels(video)["bbox"][1:3])
    with pytest.raises(ValueError, match="no frames"):
        labels(video, 2, 3)


def test_records_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="bbox: expected"):
        Record(source="x", name="a", frame_ids=np.arange(2), bbox=np.zeros((3, 4)))
    with pytest.raises(ValueError, match="no frames"):
        Record(source="x", name="a", frame_ids=np.arange(0))
    record = Record(source="x", name="a", frame_ids=np.arange(2), keypoints_set="coco17")
    assert not labels(record)["confidence"].any()
    assert np.isnan(record.betas).all()
    with pytest.raises(ValueError, match="read-only"):
        record.bbox[0] = 1


def camera_pose(pose: np.ndarray) -> np.ndarray:
    """Root rotations of the shared numbers, in the camera's frame, as matrices."""
    return formats.world_camera()[:3, :3] @ rotvec_to_rotmat(pose[:, :3])


def test_3dpw_roots_are_turned_and_invalid_cameras_masked(tmp_path: Path) -> None:
    source = opened("3dpw", tmp_path)
    pose, betas, transl = formats.smpl_numbers()
    record = source[0]
    assert (record.gender, source[1].gender) == ("female", "male")
    assert record.pose_valid.tolist() == [True, True, True, False]
    assert record.joints_valid.all(axis=1).tolist() == [True, True, True, False]
    assert record.keypoints_valid[3].all()  # detections need no camera pose
    assert not record.keypoints_valid[1, 3]
    assert np.allclose(rotvec_to_rotmat(record.global_orient[:3]), camera_pose(pose)[:3])
    assert np.allclose(record.body_pose.reshape(-1, 69), pose[:, 3:])
    assert np.allclose(record.betas, betas)
    # the pelvis must be where the joints say: transl' + J0 with J0 = joint 0 - transl in the world
    rest = formats.to_world(formats.figure_3d("smpl"))[:, 0] - transl
    assert np.allclose(record.transl[:3] + rest[:3], formats.figure_3d("pelvis")[:3, 0])
    assert np.allclose(record.K, formats.K)


def test_emdb_needs_the_body_for_translations_only(tmp_path: Path) -> None:
    pose, _, _ = formats.smpl_numbers()
    source = opened("emdb", tmp_path)
    record = source[0]
    assert record.pose_valid.tolist() == [True, True, False, True]
    assert record.bbox_valid.tolist() == [True, True, False, True]
    assert np.allclose(rotvec_to_rotmat(record.global_orient[:2]), camera_pose(pose)[:2])
    assert not record.transl_valid.any()
    assert len(open_source("emdb", source.path)) == 1
    with pytest.raises(SynthError, match="no emdb2 data"):
        open_source("emdb", source.path, "emdb2")
    with pytest.raises(SynthError, match="not to the free body"):
        open_source("emdb", source.path, bodies=Path("free"))[0]


def test_a_body_gives_emdbs_translation_and_joints(tmp_path: Path) -> None:
    # catches the rotation about the origin instead of the pelvis, and a pelvis of the wrong shape
    from synth.assets import asset
    from synth.body.lbs import posed
    from synth.body.model import load_body

    with np.load(asset("bodies/free_female.npz")) as arrays:
        fields = dict(arrays) | {"name": np.array("like_smpl")}
    path = tmp_path / "SMPL_FEMALE.npz"
    np.savez(path, **fields)
    body = load_body(path, "female")
    record = opened("emdb", tmp_path, bodies=path)[0]
    good = [0, 1, 3]
    assert record.transl_valid.tolist() == record.joints_valid.all(axis=1).tolist() == [True, True, False, True]
    _, joints = posed(body, record.betas[0], record.global_orient[good], record.body_pose[good], record.transl[good])
    assert np.allclose(joints, record.joints_3d[good], atol=1e-9)
    pose, betas, transl = formats.smpl_numbers()
    T = formats.world_camera()
    _, world = posed(body, betas, pose[good, :3], pose[good, 3:].reshape(-1, 23, 3), transl[good])
    assert np.allclose(joints, world @ T[:3, :3].T + T[:3, 3], atol=1e-9)


def test_coco_tells_seen_hidden_and_missing_apart(tmp_path: Path) -> None:
    source = opened("coco", tmp_path)
    assert [entry.name for entry in source.entries] == ["11", "12"]  # without crowds and people without keypoints
    record = source[0]
    assert record.confidence[0].tolist() == [1.0] * 15 + [OCCLUDED, 0.0]
    assert record.images[0].path.name == "000000000005.jpg"
    points = formats.figure_2d("coco")[0]
    assert np.allclose(record.bbox[0], [*points.min(axis=0), *points.max(axis=0)])


@pytest.mark.parametrize("form", ["coco", "posetrack"])
def test_joints_go_by_the_names_that_the_file_states(form: str, tmp_path: Path) -> None:
    # catches labels read into the wrong joints because a file lists them in another order
    import json

    name, split, write = formats.WRITERS[form]
    root = write(tmp_path)
    path = next(root.rglob("*.json"))
    content = json.loads(path.read_text())
    wanted = open_source(name, root, split)[0]
    order = np.random.default_rng(0).permutation(17)
    category = content["categories"][0]
    category["keypoints"] = [category["keypoints"][i] for i in order]
    for row in content["annotations"]:
        row["keypoints"] = np.array(row["keypoints"]).reshape(17, 3)[order].ravel().tolist()
    path.write_text(json.dumps(content))
    record = open_source(name, root, split)[0]
    assert np.array_equal(record.confidence, wanted.confidence)
    assert np.array_equal(record.keypoints_2d, wanted.keypoints_2d, equal_nan=True)
    category["keypoints"][0] = "tail"
    path.write_text(json.dumps(content))
    with pytest.raises(SynthError, match=rf"{path.name}: categories.*other joints"):
        open_source(name, root, split)


def test_fits_of_another_body_are_refused(tmp_path: Path) -> None:
    path = formats.write_eft(tmp_path)
    path.write_text(path.read_text().replace('"smpltype": "smpl"', '"smpltype": "smplx"'))
    with pytest.raises(
        SynthError, match=r"COCO2014-All-ver01\.json: data\[0\]\.smpltype: expected 'smpl', got 'smplx'"
    ):
        open_source("eft", path)


def test_eft_matrices_become_axis_angles(tmp_path: Path) -> None:
    pose, betas, _ = formats.smpl_numbers()
    record = opened("eft", tmp_path)[1]
    assert np.allclose(record.global_orient[0], pose[1, :3])
    assert np.allclose(record.body_pose[0].ravel(), pose[1, 3:])
    assert np.allclose(record.betas[0], betas)
    assert record.bbox[0].tolist() == [20.0, 25.0, 140.0, 145.0]
    assert record.images[0].path.parent.name == "train2014"


def test_3dhp_takes_the_eight_cameras_and_their_rates(tmp_path: Path) -> None:
    source = opened("3dhp", tmp_path)
    assert [entry.name[-1] for entry in source.entries] == list("01245678")
    assert {entry.fps for entry in source.entries} == {50.0}  # S1 Seq2; most others have 25
    second = source[1]
    assert np.allclose(second.keypoints_2d, source[0].keypoints_2d + 100)
    assert np.allclose(second.K, formats.K)
    assert second.images[3].path.name == "video_1.avi"
    assert second.images[3].frame == 3
    assert source[0].images[3].path.name == "frame_000004.jpg"


def test_3dhp_test_frames_that_are_not_valid_are_masked(tmp_path: Path) -> None:
    record = opened("3dhp-test", tmp_path)[0]
    assert record.joints_valid.all(axis=1).tolist() == [True, True, False, True]
    assert record.bbox_valid.tolist() == [True, True, False, True]
    assert not record.joints_absolute


def test_h36m_protocols_and_cameras(tmp_path: Path) -> None:
    root = formats.write_h36m(tmp_path)
    (root / "S1").rename(root / "S9")
    assert [entry.name for entry in open_source("h36m", root, "test").entries] == [
        "S9/Directions 1.54138969",
        "S9/Directions 1.60457274",
    ]
    source = open_source("h36m", root, "test-p2")
    assert [entry.name for entry in source.entries] == ["S9/Directions 1.60457274"]
    record = source[0]
    assert (record.action, record.image_size) == ("Directions 1", (1000, 1002))
    assert np.allclose(record.K, formats.K)
    with pytest.raises(SynthError, match="no train data"):
        open_source("h36m", root, "train")


def test_h36m_json_carries_world_into_camera(tmp_path: Path) -> None:
    source = opened("h36m-json", tmp_path)
    pose, betas, _ = formats.smpl_numbers()
    record = source[1]
    assert record.name == "S1/2_1.60457274"
    assert record.pose_valid.tolist() == [True, True, True, False]  # the last frame has no fit
    assert np.allclose(rotvec_to_rotmat(record.global_orient[:3]), camera_pose(pose)[:3])
    assert np.allclose(record.betas[:3], betas)
    assert not record.transl_valid.any()
    assert record.image_size == (formats.SIDE, formats.SIDE)


def test_mpii_flags_and_boxes(tmp_path: Path) -> None:
    for form in ("mpii", "mpii-json"):
        source = opened(form, tmp_path)
        assert len(source) == 1  # neither people who are only counted nor pictures for testing
        record = source[0]
        assert record.bbox[0].tolist() == [30.0, 35.0, 130.0, 135.0]  # scale 0.5: 100 pixels around (80, 85)
        assert record.confidence[0, 15] == 0
        assert record.confidence[0, 3] == (OCCLUDED if form == "mpii" else 1.0)
        assert record.confidence[0, 8] == 1.0  # the flag is empty for the head


def test_lsp_and_its_extension_mean_the_opposite_by_their_flag(tmp_path: Path) -> None:
    lsp, extended = opened("lsp", tmp_path)[0], opened("lspet", tmp_path)[0]
    assert lsp.confidence[0].tolist() == [OCCLUDED] + [1.0] * 13
    assert extended.confidence[0].tolist() == [0.0] + [1.0] * 13
    assert open_source("lsp", tmp_path / "lsp").entries[3].name == "im00004"
    with pytest.raises(SynthError, match="no test data"):
        open_source("lsp", tmp_path / "lsp", "test")


def test_lspets_flags_are_held_against_its_points(tmp_path: Path) -> None:
    # catches an edition whose flags mean what LSP's mean
    path = formats.write_lspet(tmp_path) / "joints.mat"
    points = np.concatenate([formats.figure_2d("lsp"), np.zeros((formats.FRAMES, 14, 1))], axis=2)
    points[:, :3] = [0, 0, 1]
    savemat(path, {"joints": points.transpose(1, 2, 0)})
    with pytest.raises(SynthError, match=r"joints\.mat: joints: expected flags of 1"):
        open_source("lspet", tmp_path)


def test_lspet_in_high_resolution_goes_by_the_names_of_its_pictures(tmp_path: Path) -> None:
    root = formats.write_lspet(tmp_path)
    for name in ("im00007.png", "im00009.png"):
        formats.picture().save(root / name)
    source = open_source("lspet", root)
    assert [source[i].images[0].path.name for i in range(len(source))] == ["im00007.png", "im00009.png"]


def test_penn_action_is_not_mislabelled(tmp_path: Path) -> None:
    record = opened("penn", tmp_path)[0]
    at = {name: record.keypoints_2d[1, i] for i, name in enumerate(joint_set("penn13"))}
    assert at["left_wrist"][0] > at["head_top"][0] > at["right_wrist"][0]
    assert at["left_ankle"][1] > at["left_knee"][1] > at["left_hip"][1] > at["left_shoulder"][1]
    assert record.confidence[0, 12] == 0
    assert record.bbox_valid.tolist() == [True, True, True, False]  # one box fewer than frames
    assert (record.action, record.image_size) == ("bowl", (formats.SIDE, formats.SIDE))


def test_posetrack_frames_without_labels_are_masked(tmp_path: Path) -> None:
    source = opened("posetrack", tmp_path)
    record = source[0]
    assert record.keypoints_valid.any(axis=1).tolist() == [True, False, True, True]
    assert record.bbox_valid.tolist() == [True, False, True, True]
    assert record.images[1].path.name == "000001.jpg"
    assert not record.keypoints_valid[0, 3:5].any()  # ears are in the list but never annotated


def test_insta_pictures_lie_inside_the_records(tmp_path: Path) -> None:
    source = opened("insta", tmp_path)
    assert len(source) == 2
    shown = read_picture(source[1].images[2]).astype(float)
    wanted = np.asarray(formats.picture(2).resize((224, 224)), dtype=float)
    assert np.abs(shown - wanted).mean() < 6
    assert not source[0].keypoints_valid[:, 5].any()


def test_amass_files_of_both_forms(tmp_path: Path) -> None:
    source = opened("amass", tmp_path)
    assert [(entry.name, entry.fps) for entry in source.entries] == [
        ("BMLrub/s1/x_stageii", 60.0),
        ("CMU/01/01_01_poses", 120.0),
    ]  # and not the subject's shape.npz
    record = source[1]
    with np.load(source.files[1]) as arrays:  # pyright: ignore[reportAttributeAccessIssue]
        assert np.allclose(record.global_orient, arrays["poses"][:, :3])
        assert np.allclose(record.betas[0], arrays["betas"][:10])
    assert (record.smpl_frame, record.gender) == ("world", "female")
    assert record.transl_valid.all()
    assert not source[0].betas_valid.any()  # SMPL-X's shapes are not SMPL's


def test_frames_of_a_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 12
        for t in range(40):
            image = np.full((48, 64, 3), 6 * t, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    from train.real import ImageRef

    for number in (0, 1, 11, 12, 13, 39):
        frame = read_picture(ImageRef(path=path, frame=number))
        assert frame.shape == (48, 64, 3)
        assert abs(float(frame.mean()) - 6 * number) < 3, number
    with pytest.raises(SynthError, match="frame 40 was asked for"):
        read_picture(ImageRef(path=path, frame=40))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("3dpw", None, "3dpw expects a folder with sequenceFiles"),
        ("coco", {}, "no train data of coco"),
        ("h36m", {}, "expects a folder with S1"),
    ],
)
def test_a_wrong_folder_is_said_to_be_wrong(name: str, content: dict | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    if content is not None:
        path.mkdir()
    with pytest.raises(SynthError, match=said):
        open_source(name, path)
    with pytest.raises(SynthError, match="unknown"):
        open_source("imagenet", path)
    with pytest.raises(SynthError, match="split"):
        open_source(name, path, "holdout")


def test_matlab_values_as_scipy_writes_them(tmp_path: Path) -> None:
    from train.real.matlab import mat_fields

    content = {
        "x": np.arange(6.0).reshape(2, 3), "small": np.arange(3, dtype=np.uint8), "text": "gähn", "flag": True,
        "cells": formats.cell([np.eye(2), "b"]), "tree": {"a": {"b": 1.5}, "e": np.zeros((0, 0))},
    }  # fmt: skip
    for packed in (False, True):
        savemat(tmp_path / "a.mat", content, do_compression=packed)
        fields = mat_fields(tmp_path / "a.mat")
        assert np.array_equal(fields["x"], content["x"])
        assert fields["small"].tolist() == [[0, 1, 2]]
        assert fields.text("text") == "gähn"
        assert fields["cells"][1] == "b"
        assert fields.fields("tree").fields("a").number("b") == 1.5
        assert fields.fields("tree")["e"].size == 0
        assert list(mat_fields(tmp_path / "a.mat", "flag")) == ["flag"]


@pytest.mark.parametrize("majority", ["row_major", "column_major"])
@pytest.mark.parametrize(("encoding", "kind"), [(1, 45), (6, 44)])
@pytest.mark.parametrize("packed", [0, 6])
def test_cdf_values_as_cdflib_reads_them(majority: str, encoding: int, kind: int, packed: int, tmp_path: Path) -> None:
    cdflib = pytest.importorskip("cdflib")
    from cdflib.cdfwrite import CDF

    from train.real.cdf import cdf_array

    path = tmp_path / "a.cdf"
    rows = np.random.default_rng(0).random((1, 9, 96)).astype(np.float64 if kind == 45 else np.float32)
    writer = CDF(str(path), cdf_spec={"Majority": majority, "Encoding": encoding}, delete=True)
    about = {"Num_Elements": 1, "Rec_Vary": True, "Var_Type": "zVariable", "Compress": packed}
    writer.write_var(about | {"Variable": "Time", "Data_Type": 45, "Dim_Sizes": []}, var_data=np.arange(5.0))
    writer.write_var(about | {"Variable": "Pose", "Data_Type": kind, "Dim_Sizes": [9, 96]}, var_data=rows)
    writer.close()
    assert np.array_equal(cdf_array(path, "Pose", 96), cdflib.CDF(str(path)).varget("Pose")[0])
