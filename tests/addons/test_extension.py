"""The Blender extension: built, validated, installed and used as a person would, without a window."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SMALL, run_command

from garments import catalog
from garments.check import check_mesh

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.blender


def builder():
    spec = importlib.util.spec_from_file_location("build_extension", ROOT / "blender_addons" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builder().build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def desk(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `draw_kilt.py` made: garments/kilt and said.json."""
    folder = tmp_path_factory.mktemp("desk")
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(folder / "blender")}
    script = str(Path(__file__).parent / "draw_kilt.py")
    done = subprocess.run(
        [sys.executable, script, str(package), str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    line = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    assert done.returncode == 0, done.stdout + done.stderr
    assert line, done.stdout + done.stderr
    (folder / "said.json").write_text(line[0].removeprefix("SAID "))
    return folder


def test_the_same_sources_give_the_same_package_and_blender_accepts_it(package: Path, tmp_path: Path) -> None:
    """Mutations: times of files in the zip; a field of the manifest that Blender refuses."""
    build = builder()
    assert build.build(tmp_path).read_bytes() == package.read_bytes()
    assert "Success" in build.validated(package)


def test_a_garment_drawn_in_blender_is_tried_in_motion_exported_and_sound(desk: Path) -> None:
    """Mutations: axes mixed up (below the floor, not on the body); marks lost; wrong side out; a bad mesh let pass."""
    said = json.loads((desk / "said.json").read_text())
    assert said["simulated"].startswith("Kilt: ")
    assert said["frames"] == 10
    assert 0.001 < said["moved"] < 1.0
    assert said["above_the_floor"] > 0.3
    assert said["exported"] == ""
    assert said["checked"] == "sound"
    assert "texture coordinates" in said["cube"]
    assert "nothing.npz" in said["nowhere"]
    assert said["disabled"]
    kilt = catalog.load("kilt", desk / "garments")
    assert len(kilt.faces) == said["again"]
    assert check_mesh(kilt) == []
    assert (kilt.covers, kilt.loose, kilt.fabric.name, kilt.licence) == ("lower", True, "wool", "CC0-1.0")
    assert (kilt.pins == 1).sum() == 96
    assert (kilt.region[kilt.pins == 1] == 1).all()
    assert set(kilt.region.tolist()) <= {1, 2, 3, 4, 5, 6}
    assert len(set(kilt.region.tolist())) > 2
    assert kilt.vertices[kilt.pins == 1, 1].min() > kilt.vertices[:, 1].max() - 0.06


@pytest.mark.slow
def test_a_garment_drawn_in_blender_is_rendered(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(catalog.OWN, str(desk / "garments"))
    out = desk / "shards"
    small = [*SMALL, "--clips", "1", "--device", "cpu", "--garment", "kilt", "--garment", "tshirt"]
    done = run_command("synth", "render", *small, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "1 done of 1" in done.stdout + done.stderr
    assert len(list(out.glob("*.h5"))) == 1
