from pathlib import Path

import numpy as np
import pytest
import real_formats as formats
from click.testing import CliRunner
from PIL import Image

from synth.errors import SynthError
from train.check import check, spread
from train.cli import train
from train.real import Source, open_source


def opened(form: str, tmp_path: Path) -> Source:
    name, split, write = formats.WRITERS[form]
    return open_source(name, write(tmp_path / form), split)


def test_the_report_counts_what_there_is(tmp_path: Path) -> None:
    report = check(opened("3dpw", tmp_path))
    assert (report.tracks, report.stills, report.frames) == (2, 0, 8)
    assert report.rates == {"30": 8}
    assert report.keypoint_sets == {"coco18": 2}
    assert (report.valid["pose"], report.possible["pose"]) == (7, 8)  # one camera pose is marked invalid
    assert report.valid["keypoints"] == 2 * 4 * 18 - 2
    assert report.pictures_missing == 0
    assert report.sides > 30
    assert report.sides_agree == report.sides
    assert not report.faults()
    assert check(opened("coco", tmp_path)).rates == {"single": 2}


def test_mirrored_labels_missing_pictures_and_lost_boxes_are_found(tmp_path: Path) -> None:
    root = formats.write_3dpw(tmp_path)
    file = root / "sequenceFiles" / "train" / "walk_00.pkl"
    import pickle

    content = pickle.loads(file.read_bytes())
    points = content["poses2d"][0]  # both people share it
    points[:, 0] = formats.SIDE - points[:, 0]
    file.write_bytes(pickle.dumps(content, protocol=2))
    (root / "imageFiles" / "walk_00" / "image_00002.jpg").unlink()
    report = check(open_source("3dpw", root))
    assert report.sides_agree == 0
    assert report.pictures_missing == 2
    assert [fault for fault in report.faults() if "left and right" in fault]
    assert [fault for fault in report.faults() if "missing" in fault]
    path = formats.write_coco(tmp_path / "coco") / "annotations" / "person_keypoints_train2017.json"
    path.write_text(path.read_text().replace('"width": 160', '"width": 60'))
    outside = check(open_source("coco", tmp_path / "coco"))
    assert (outside.boxes, outside.boxes_across, outside.boxes_outside) == (2, 2, 2)


def penn_of_ten(root: Path, *, viewpoint: str, mirrored: bool, exchanged: bool) -> Source:
    """Ten of Penn Action's files: people seen from the front or back, labelled rightly or with sides exchanged."""
    from scipy.io import loadmat, savemat

    path = formats.write_penn(root) / "labels" / "0001.mat"
    content = loadmat(path)
    x = formats.SIDE + 1 - content["x"] if mirrored else content["x"]
    if exchanged:
        x = x[:, [0, *np.arange(1, 13).reshape(6, 2)[:, ::-1].ravel()]]
    held = {name: content[name] for name in ("action", "y", "visibility", "train", "dimensions", "nframes")}
    for number in range(1, 11):
        savemat(path.with_name(f"{number:04d}.mat"), held | {"x": x, "pose": viewpoint})
    return open_source("penn", root)


def test_penn_actions_viewpoint_tells_whether_left_is_left(tmp_path: Path) -> None:
    # catches the order of its README, and labels that mean the picture's sides: those fit from the front only
    made = {
        ("front", False, False): (1.0, None),
        ("back", True, False): (1.0, None),
        ("front", False, True): (0.0, "seen from the front: exchanged"),
        ("back", False, False): (0.0, "viewer's sides"),
    }
    for (view, mirrored, exchanged), (share, said) in made.items():
        source = penn_of_ten(
            tmp_path / f"{view}{mirrored}{exchanged}", viewpoint=view, mirrored=mirrored, exchanged=exchanged
        )
        report = check(source)
        assert report.facing[view] == 10 * 4 * 2
        assert report.facing_agree[view] == share * report.facing[view]
        assert any(f"seen from the {view}" in line for line in report.lines())
        faults = [fault for fault in report.faults() if "left" in fault]
        assert len(faults) == (said is not None)
        assert said is None or said in faults[0]


def test_two_eyes_mean_the_front(tmp_path: Path) -> None:
    report = check(opened("coco", tmp_path))
    assert report.facing == report.facing_agree == {"front": 4}
    assert not check(opened("lsp", tmp_path)).facing.total()  # no eyes, no viewpoint


def test_samples_are_spread_evenly() -> None:
    assert spread(10, None) == list(range(10))
    assert spread(10, 3) == [0, 4, 9]
    assert spread(2, 5) == [0, 1]
    assert spread(0, 5) == []


EXPECTED = {
    # tracks, frames, rate, keypoints, 3D joints, boxes
    "3dpw": (2, 8, "30: 8", "coco18 (18)", "smpl24 (24)", 7), "emdb": (1, 4, "30: 4", "smpl24 (24)", "none", 3),
    "coco": (2, 2, "single: 2", "coco17 (17)", "none", 2), "eft": (2, 2, "single: 2", "vocabulary", "none", 2),
    "3dhp": (8, 32, "50: 32", "mpi3d28 (28)", "mpi3d28 (28)", 32),
    "3dhp-test": (1, 4, "unknown: 4", "mpi3d17 (17)", "mpi3d17 (17)", 3),
    "h36m": (2, 8, "50: 8", "h36m17 (17)", "h36m17 (17)", 8),
    "h36m-json": (2, 8, "50: 8", "h36m17 (17)", "h36m17 (17)", 8),
    "mpii": (1, 1, "single: 1", "mpii16 (16)", "none", 1),
    "mpii-json": (1, 1, "single: 1", "mpii16 (16)", "none", 1), "lsp": (4, 4, "single: 4", "lsp14 (14)", "none", 4),
    "lspet": (4, 4, "single: 4", "lsp14 (14)", "none", 4), "penn": (1, 4, "unknown: 4", "penn13 (13)", "none", 3),
    "posetrack": (1, 4, "unknown: 4", "posetrack17 (17)", "none", 3),
    "insta": (2, 8, "unknown: 8", "insta25 (25)", "none", 8), "amass": (2, 120, "60: 60, 120: 60", "none", "none", 0),
    "vibe": (2, 8, "unknown: 8", "vocabulary", "vocabulary", 8),
    "vibe-insta": (2, 8, "unknown: 8", "vocabulary", "none", 0),
    "vibe-penn": (1, 4, "unknown: 4", "vocabulary", "none", 4),
    "spin": (4, 4, "single: 4", "vocabulary", "spin24 (24)", 4),
}  # fmt: skip


@pytest.mark.parametrize("form", formats.WRITERS)
def test_the_command_reads_says_and_draws(form: str, tmp_path: Path) -> None:
    source = opened(form, tmp_path)
    out = tmp_path / "sheet.png"
    arguments = ["check", f"{source.name}={source.path}", "--out", str(out), "--split", source.split, "--samples", "2"]
    done = CliRunner().invoke(train, arguments)
    assert done.exit_code == 0, done.output
    tracks, frames, rates, keypoints, joints, boxes = EXPECTED[form]
    said = {line[2:22].strip(): line[22:].strip() for line in done.output.splitlines() if line.startswith("  ")}
    assert said["tracks"].startswith(f"{tracks} (")
    assert (said["frames"], said["frames by rate [Hz]"]) == (str(frames), rates)
    assert said["keypoints"].startswith(keypoints)
    assert said["3D joints"].startswith(joints)
    assert said["boxes over the edge"] == f"0 of {boxes}, 0 wholly outside"
    assert said["pictures missing"] == ("28" if form == "3dhp" else "0")  # of its eight videos one is there
    assert 10 < float(said["known pose" if form == "amass" else "known keypoints"].rstrip("%")) <= 100
    assert f"{min(tracks, 2)} samples drawn" in done.output
    with Image.open(out) as sheet:
        shown = np.asarray(sheet).astype(int)
    if form == "vibe-insta":  # features without pictures or pose: nothing to be seen
        return
    orange, blue = ((np.abs(shown - side).sum(axis=2) < 40).any(axis=0) for side in ((255, 146, 43), (51, 173, 255)))
    assert orange.any()
    assert blue.any()
    if source[0].images:  # the figure faces the camera: its left, orange, is right in the picture
        first = slice(0, 226)
        assert np.flatnonzero(orange[first]).mean() > np.flatnonzero(blue[first]).mean() + 10


def test_a_wrong_argument_is_explained() -> None:
    done = CliRunner().invoke(train, ["check", "3dpw"])
    assert isinstance(done.exception, SynthError)
    assert "SOURCE=PATH" in str(done.exception)
