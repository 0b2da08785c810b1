"""A folder with good and broken files of every kind goes through; nothing that is broken stops it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_c3d import made
from test_motion_cli import cmu_bvh, run

from synth.body.lbs import joint_transforms, posed, shaped
from synth.body.model import load_named
from synth.errors import SynthError
from synth.motion import amass, catalog, intake
from synth.motion.markers import LAYOUT, attach


def marker_file(frames=40, drop=()):
    """Bytes of a C3D file of a body that stands and swings its arms, in millimetres, Z up."""
    body = load_named("free", "male")
    labels = [label for label in LAYOUT if label not in drop]
    places = attach(body, labels)
    betas, time = np.zeros(10), np.linspace(0, 1, frames)
    pose = np.zeros((frames, 23, 3))
    pose[:, 15, 2], pose[:, 16, 2] = -1.1 + 0.3 * np.sin(6 * time), 1.1
    zero = np.zeros((frames, 3))
    transl = zero + np.array([0.1, -posed(body, betas, zero[:1], pose[:1], zero[:1])[0][..., 1].min(), 0.2])
    transforms = joint_transforms(body, betas, zero, pose, transl)
    blended = np.einsum("kj,tjab->tkab", places.weights, transforms)
    points = np.einsum("tkab,kb->tka", blended[..., :3, :3], places.points) + blended[..., :3, 3]
    return made(points[..., [2, 0, 1]] * 1e3, labels=labels, rate=120.0), pose, transl


@pytest.fixture(autouse=True)
def one_thread():
    """Small fits only wait for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """200 files: four that can be fitted, of two people, the rest broken in as many ways as there are kinds."""
    folder = tmp_path_factory.mktemp("mixed")
    bvh, (c3d, _, _) = cmu_bvh(40), marker_file()
    good = {"a_01.bvh": bvh.encode(), "a_02.bvh": bvh.encode(), "b/b_01.c3d": c3d, "b/b_02.c3d": c3d}
    rng = np.random.default_rng(0)
    for k in range(196):
        name, content = [
            (f"x_{k}.bvh", bvh.encode()[: int(rng.integers(10, len(bvh) - 200))]),
            (f"y_{k}.c3d", c3d[: int(rng.integers(10, len(c3d) - 10))]),
            (f"z_{k}.amc", b"1\nroot 0 0 0 0 0 0\n"),
            (f"b/e_{k}.c3d", made(np.zeros((3, 4, 3)) + 5.0)),
            (f"n_{k}.bvh", rng.bytes(500)),
        ][k % 5]
        good.setdefault(name, content)
    for name, content in good.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_of_good_and_broken_files_goes_through(folder, tmp_path):
    assert sum(p.is_file() for p in folder.rglob("*")) == 200
    told = run("fit", folder, "--out", tmp_path, "--iterations", 25, "--batch", 2, "--no-held-out")
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    at = lines.index("skipped 196 of 200:")
    assert len(lines[at + 1 :]) == 196
    assert all(line.strip() and ": " in line for line in lines[at + 1 :])
    made_files = sorted(p.relative_to(tmp_path).as_posix() for p in catalog._in_folder(tmp_path))
    assert made_files == ["a_01.npz", "a_02.npz", "b/b_01.npz", "b/b_02.npz"]
    first, second = (amass.read(tmp_path / f"a_0{k}.npz") for k in (1, 2))
    assert np.array_equal(first.betas, second.betas)  # one shape for a person
    report = json.loads((tmp_path / "b/report.json").read_text())["b_01"]
    assert report["held_out_marker_mm"] is None
    assert {"residual_mm", "contact_mm", "sinking_mm", "skating_mm_s", "ms_per_frame"} <= set(report)
    # Again: what is there is kept, not fitted anew.
    before = (tmp_path / "b/b_01.npz").stat().st_mtime_ns
    again = run("fit", folder / "b", "--out", tmp_path / "b", "--iterations", 25)
    assert "b_01.npz: kept" in again.output
    assert (tmp_path / "b/b_01.npz").stat().st_mtime_ns == before
    # A trial taken later gets the shape that the person has.
    (tmp_path / "b/b_02.npz").unlink()
    run("fit", folder / "b/b_02.c3d", "--out", tmp_path / "b", "--iterations", 25)
    assert json.loads((tmp_path / "b/report.json").read_text())["b_02"]["held_out_marker_mm"] < 15.0
    shapes = [amass.read(tmp_path / f"b/b_0{k}.npz").betas for k in (1, 2)]
    assert np.array_equal(*shapes)


def test_nothing_that_can_be_fitted_is_an_error(folder, tmp_path):
    with pytest.raises(SynthError, match="no motion capture"):
        run("fit", tmp_path, "--out", tmp_path / "out")
    with pytest.raises(SynthError, match=r"x_0\.bvh"):
        run("fit", folder / "x_0.bvh", "--out", tmp_path / "out")


def test_markers_win_over_a_skeleton_of_the_same_trial(tmp_path):
    for name in ("01_01.c3d", "01_01.amc", "01_02.bvh", "02_01.BVH", "01.asf"):
        (tmp_path / name).write_text("x")
    found = intake.gather([tmp_path], tmp_path / "out")
    assert [t.path.name for t in found.trials] == ["01_01.c3d", "01_02.bvh", "02_01.BVH"]
    assert [(s.path.name, s.reason) for s in found.skipped] == [("01_01.amc", "the same trial as 01_01.c3d")]
    assert [len(group) for group in found.people()] == [1, 1, 1]


def test_markers_are_fitted(tmp_path):
    # Catches a wrong place, a left taken for a right, a mirrored world: each leaves centimetres.
    from synth.motion import c3d
    from synth.motion.moshmarkers import MARKER_SETTINGS, fit_person, held_out_errors

    settings = replace(MARKER_SETTINGS, iterations=50)

    content, pose, transl = marker_file(drop=("LFIN", "RBHD"))
    (tmp_path / "a.c3d").write_bytes(content)
    motion, body = c3d.read(tmp_path / "a.c3d"), load_named("free", "male")
    (result,) = fit_person([motion], body, settings)
    assert np.nanmean(result.residual) < 0.004
    true = posed(body, np.zeros(10), np.zeros_like(transl), pose, transl)[1][..., [0, 2, 1]] * [1.0, -1.0, 1.0]
    found = posed(body, result.betas, result.motion.global_orient, result.motion.body_pose, result.motion.transl)[1]
    assert np.linalg.norm(found - true, axis=-1)[:, :22].mean() < 0.02
    heights = shaped(body, result.betas)[0][:, 1]
    assert np.ptp(heights) == pytest.approx(np.ptp(body.v_template[:, 1]), abs=0.04)
    errors = held_out_errors(motion, body, settings, folds=2)
    assert set(errors) == set(LAYOUT) - {"LFIN", "RBHD"}
    assert np.mean([np.nanmean(e) for e in errors.values()]) < 0.012
