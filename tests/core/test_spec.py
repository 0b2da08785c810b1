import dataclasses
import json

import pytest

from synth.errors import SynthError
from synth.spec import (
    AreaLightSpec,
    BackgroundSpec,
    BodySpec,
    CameraRigSpec,
    ClipSpec,
    EnvironmentSpec,
    FileRef,
    GarmentSpec,
    MaterialSpec,
    MotionSpec,
    RenderSpec,
    SceneSpec,
    SimulationSpec,
    from_json,
    to_json,
)

FILE = FileRef(path="asset:x.npz", sha256="0" * 64)
CLOTH = MaterialSpec(
    kind="procedural",
    seed=1,
    colour=(0.1, 0.2, 0.3),
    accent=(0.0, 0.0, 0.0),
    pattern="plain",
    scale=10.0,
    rotation=0.0,
    roughness=0.8,
)


def make_spec(**changes: object) -> ClipSpec:
    spec = ClipSpec(
        seed=3,
        index=0,
        motion=MotionSpec(kind="original", sources=(FILE,), names=("cmu/01_01",), frames=(0, 120), count=30, fps=30.0),
        body=BodySpec(file=FILE, name="free", gender="male", betas=(0.1,) * 10),
        outfit=(GarmentSpec(name="tshirt", fabric="cotton", sha256="1" * 64, material=CLOTH),),
        simulation=SimulationSpec(solver="cloth", quality=10, retries=1),
        scene=SceneSpec(
            cameras=CameraRigSpec(
                azimuths=(0.0, 1.5), elevation=0.0, distance=12.0, focal_mm=180.0, sensor_mm=32.0, width=250, height=250
            ),
            lights=(AreaLightSpec(offset=(1.0, 2.0, 3.0), size=1.0, power=100.0, colour=(1.0, 1.0, 1.0)),),
            environment=EnvironmentSpec(image=FILE, rotation=0.5, strength=1.0),
            background=BackgroundSpec(kind="environment", seed=2, scale=4.0, rotation=0.0),
            skin=CLOTH,
        ),
        render=RenderSpec(samples=16, denoise=True, jpeg_quality=95, exposure=1.0),
    )
    return dataclasses.replace(spec, **changes)


def test_json_round_trip_keeps_every_field_and_the_id() -> None:
    spec = make_spec()
    again = from_json(ClipSpec, to_json(spec))
    assert again == spec
    assert again.clip_id == spec.clip_id


def test_the_id_changes_with_every_leaf_of_the_spec() -> None:
    # catches a field left out of the hash
    spec = make_spec()
    plain = json.loads(to_json(spec))
    seen = {spec.clip_id}
    for path in _leaves(plain):
        changed = json.loads(to_json(spec))
        _bump(changed, path)
        other = from_json(ClipSpec, json.dumps(changed))
        assert other.clip_id not in seen, path
        seen.add(other.clip_id)


def test_the_simulation_id_ignores_what_is_only_seen() -> None:
    spec = make_spec()
    lights = dataclasses.replace(spec.scene, lights=())
    assert (
        make_spec(scene=lights, render=dataclasses.replace(spec.render, samples=1)).simulation_id == spec.simulation_id
    )
    body = dataclasses.replace(spec.body, gender="female")
    assert make_spec(body=body).simulation_id != spec.simulation_id


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop("seed"), "seed"),
        (lambda s: s.update(sead=1), "sead"),
        (lambda s: s["body"].update(betas=["tall"]), "spec.body.betas[0]"),
        (lambda s: s["scene"]["lights"][0].update(offset=[1.0, 2.0]), "spec.scene.lights[0].offset"),
        (lambda s: s["render"].update(denoise=1), "spec.render.denoise"),
        (lambda s: s.update(motion=[]), "spec.motion"),
    ],
)
def test_a_bad_spec_names_its_field(change, named) -> None:
    plain = json.loads(to_json(make_spec()))
    change(plain)
    with pytest.raises(SynthError) as error:
        from_json(ClipSpec, json.dumps(plain))
    assert named in str(error.value)


def test_nan_has_no_place_in_a_spec() -> None:
    with pytest.raises(ValueError, match="finite"):
        to_json(make_spec(render=RenderSpec(samples=1, denoise=True, jpeg_quality=95, exposure=float("nan"))))


def _leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    elif value is not None:
        yield path


def _bump(value, path) -> None:
    for key in path[:-1]:
        value = value[key]
    old = value[path[-1]]
    value[path[-1]] = not old if isinstance(old, bool) else old + "x" if isinstance(old, str) else old + 1
