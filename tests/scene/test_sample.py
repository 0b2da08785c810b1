"""Sampled scenes: deterministic, within bounds, valid specs; folders of pictures."""

import json

import numpy as np
import pytest

from synth.config import SceneConfig
from synth.errors import SynthError
from synth.rng import generator
from synth.scene.materials import PATTERNS, cloth_tile, hair_cover, skin_colours
from synth.scene.sample import SceneFiles, find_files, sample_cloth, sample_scene, sample_skin, studio_lights
from synth.spec import FileRef, SceneSpec, from_json, to_json

HDRIS = (FileRef(path="/a.exr", sha256="0" * 64), FileRef(path="/b.exr", sha256="1" * 64))


def draw(seed: int, files: SceneFiles | None = None, **config) -> SceneSpec:
    rng = generator(seed, "scene")
    return sample_scene(
        rng, config=SceneConfig(**config), files=files or SceneFiles(hdris=HDRIS), extent=1.0, travel=0.5
    )


def test_the_same_seed_draws_the_same_scene_and_it_survives_json():
    scene = draw(3)
    assert to_json(draw(3)) == to_json(scene) != to_json(draw(4))
    assert from_json(SceneSpec, to_json(scene)) == scene
    assert all(isinstance(v, int | float | str | bool | type(None)) for v in _leaves(json.loads(to_json(scene))))


def _leaves(value):
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def test_scenes_vary_and_stay_within_bounds():
    scenes = [draw(seed) for seed in range(200)]
    assert {s.background.kind for s in scenes} == {"environment", "generated"}
    assert {s.environment.image.path for s in scenes} == {"/a.exr", "/b.exr"}
    for scene in scenes:
        assert len(scene.lights) == 4
        totals = [light.power / (np.pi * np.linalg.norm(light.offset)) ** 2 for light in scene.lights]
        assert 0.149 < sum(totals) < 0.601
        assert all(light.offset[2] > 0 for light in scene.lights)
        assert all(0 < c <= 1 for light in scene.lights for c in light.colour)
        assert all(0 < c < 0.8 for c in scene.skin.colour)
        assert scene.background.scale >= 1
        assert 11.7 < scene.cameras.distance < 15.0
    tones = np.array([s.skin.colour for s in scenes])
    assert (tones[:, 0] > tones[:, 1]).all()
    assert tones[:, 0].min() < 0.12
    assert tones[:, 0].max() > 0.5


def test_pictures_and_skins_of_folders_are_used(tmp_path):
    for name in ("pictures", "skins"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.png").write_bytes(b"x")
    files = find_files(SceneConfig(backgrounds=str(tmp_path / "pictures"), skins=str(tmp_path / "skins")))
    kinds = {draw(seed, files).background.kind for seed in range(30)}
    assert kinds == {"environment", "picture"}
    skin = sample_skin(generator(0, "skin"), files.skins)
    assert skin.kind == "image"
    assert skin.image is not None
    assert skin.image.path.endswith("one.png")


def test_a_folder_without_pictures_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SynthError, match=tmp_path.name):
        find_files(SceneConfig(hdris=str(tmp_path)))


def test_blenders_own_lights_are_found_without_starting_it():
    pytest.importorskip("bpy")
    names = [file.path for file in studio_lights()]
    assert "bpy:studiolights/world/forest.exr" in names
    assert len(names) == 8
    assert names == sorted(names)


def test_cloth_tiles_tile_and_patterns_differ():
    tiles = {}
    for seed in range(40):
        spec = sample_cloth(generator(seed, "cloth"), ())
        assert spec.pattern in PATTERNS
        tile = cloth_tile(spec, 64)
        assert tile.shape == (64, 64, 3)
        assert 0 <= tile.min() <= tile.max() <= 1
        seam = np.abs(tile[:, 0] - tile[:, -1]).mean(), np.abs(tile[0] - tile[-1]).mean()
        inner = np.abs(np.diff(tile, axis=1)).max(), np.abs(np.diff(tile, axis=0)).max()
        assert seam[0] <= inner[0] + 1e-6
        assert seam[1] <= inner[1] + 1e-6
        tiles[spec.pattern] = tile
    assert set(tiles) == set(PATTERNS)


def test_skin_has_hair_on_top_of_the_head_only():
    grid = np.stack(np.meshgrid([0.0], np.linspace(1.4, 1.7, 31), np.linspace(-0.1, 0.1, 21)), axis=-1).reshape(-1, 3)
    parts = np.full(len(grid), 16, dtype=np.uint8)
    cover = hair_cover(grid, parts, np.zeros(len(grid)))
    front = grid[:, 2] > 0.06
    assert cover[front & (grid[:, 1] < 1.6)].max() == 0  # the face
    assert cover[grid[:, 1] > 1.69].min() > 0.9  # the crown
    assert (hair_cover(grid, np.full(len(grid), 10, np.uint8), np.zeros(len(grid))) == 0).all()
    spec = sample_skin(generator(5, "skin"), ())
    colours = skin_colours(spec, grid, parts)
    assert colours.shape == (len(grid), 3)
    np.testing.assert_allclose(colours[front & (grid[:, 1] < 1.55)].mean(axis=0), spec.colour, rtol=0.2)
