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


@pytest.mark.parametrize("form", ["3dpw", "insta", "amass"])
def test_the_command_reads_says_and_draws(form: str, tmp_path: Path) -> None:
    source = opened(form, tmp_path)
    out = tmp_path / "sheet.png"
    done = CliRunner().invoke(train, ["check", f"{source.name}={source.path}", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "frames by rate [Hz]" in done.output
    assert "2 samples drawn" in done.output
    with Image.open(out) as sheet:
        shown = np.asarray(sheet)
    orange = (np.abs(shown.astype(int) - (255, 146, 43)).sum(axis=2) < 40).any(axis=0)
    blue = (np.abs(shown.astype(int) - (51, 173, 255)).sum(axis=2) < 40).any(axis=0)
    assert orange.any()
    assert blue.any()
    if form == "insta":  # the figure faces the camera: its left, orange, is right in the picture
        first = slice(0, 226)
        assert np.flatnonzero(orange[first]).mean() > np.flatnonzero(blue[first]).mean() + 10


def test_a_wrong_argument_is_explained() -> None:
    done = CliRunner().invoke(train, ["check", "3dpw"])
    assert isinstance(done.exception, SynthError)
    assert "SOURCE=PATH" in str(done.exception)
