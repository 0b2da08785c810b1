import dataclasses

import numpy as np
import pytest
from clip_factory import make_clip

from synth.cloth import store
from synth.journal import shown
from synth.spec import ClipSpec


@pytest.fixture(scope="module")
def made():
    return make_clip()


def same(first, second):
    if dataclasses.is_dataclass(first):
        assert type(first) is type(second)
        for field in dataclasses.fields(first):
            same(getattr(first, field.name), getattr(second, field.name))
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            same(first[key], second[key])
    elif isinstance(first, tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            same(one, other)
    else:
        assert first == second


def test_what_is_saved_is_loaded_bit_for_bit(made, tmp_path):
    """Mutation: vertices rounded on the way, a field forgotten."""
    spec, body, clip = made
    store.save(tmp_path / "a" / "clip.npz", spec, clip)
    again = store.load(tmp_path / "a" / "clip.npz", spec, body)
    assert again is not None
    same(clip, again)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["clip.npz"]


def test_nothing_there_is_nothing(made, tmp_path):
    assert store.load(tmp_path / "none.npz", made[0], made[1]) is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "pickle", "text"])
def test_a_damaged_file_is_made_again(made, tmp_path, damage):
    """Mutation: the exception let through; pickles allowed."""
    spec, body, clip = made
    path = tmp_path / "clip.npz"
    store.save(path, spec, clip)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pickle":
        with path.open("wb") as file:
            np.savez(file, header=np.array([{"format": 1}], dtype=object))
    else:
        path.write_text("not an archive")
    assert store.load(path, spec, body) is None


def test_a_clip_of_another_simulation_is_not_taken_but_other_looks_are(made, tmp_path):
    spec, body, clip = made
    store.save(tmp_path / "clip.npz", spec, clip)
    other = dataclasses.replace(spec, simulation=dataclasses.replace(spec.simulation, quality=99))
    assert store.load(tmp_path / "clip.npz", other, body) is None
    repainted: ClipSpec = dataclasses.replace(spec, render=dataclasses.replace(spec.render, samples=999))
    assert store.load(tmp_path / "clip.npz", repainted, body) is not None


def test_a_clip_of_another_body_is_not_taken(made, tmp_path):
    spec, body, clip = made
    store.save(tmp_path / "clip.npz", spec, clip)
    smaller = dataclasses.replace(
        body,
        v_template=body.v_template[:-1],
        shapedirs=body.shapedirs[:-1],
        posedirs=body.posedirs[:-1],
        J_regressor=body.J_regressor[:, :-1],
        lbs_weights=body.lbs_weights[:-1],
        keypoint_regressors={},
    )
    assert store.load(tmp_path / "clip.npz", spec, smaller) is None


def test_pictures_are_kept_for_as_long_as_the_meshes_are_the_same(tmp_path):
    spec, body, clip = make_clip()
    store.save(tmp_path / "clip.npz", spec, clip)
    again = store.load(tmp_path / "clip.npz", spec, body)
    assert shown(again) == shown(clip)  # or a resumed run renders all its pictures anew
    moved = {name: vertices + np.float32(0.001) for name, vertices in clip.garment_vertices_world.items()}
    assert moved
    assert shown(clip) != shown(dataclasses.replace(clip, garment_vertices_world=moved))
    assert shown(clip) != shown(dataclasses.replace(clip, body_vertices_world=clip.body_vertices_world + 0.001))
