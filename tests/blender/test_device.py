"""A device that is not there is an error; Blender itself would render on the CPU without a word.

Machines with cards are simulated: Cycles' preferences are replaced by ones that list what such a machine lists.
"""

import logging
from dataclasses import dataclass, field

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import render_toys as toys  # noqa: E402

from synth import pipeline  # noqa: E402
from synth.blender import device, scene  # noqa: E402
from synth.blender.render import ClipRenderer  # noqa: E402
from synth.errors import SynthError  # noqa: E402
from synth.journal import Journal  # noqa: E402
from synth.spec import RenderSpec  # noqa: E402
from synth.types import Passes  # noqa: E402

pytestmark = pytest.mark.blender


@dataclass
class Entry:
    """One line of Cycles' list of devices."""

    name: str
    type: str
    use: bool = False


@dataclass
class Preferences:
    """Cycles' preferences on a machine with these cards; every back-end lists the CPU too, as Blender's does."""

    cards: dict[str, list[str]]
    compiled: tuple[str, ...] = ("CUDA", "OPTIX", "HIP", "ONEAPI")
    hidden: bool = False
    """The cards vanish when Blender lists them anew: a broken driver."""
    compute_device_type: str = "NONE"
    devices: list[Entry] = field(default_factory=list)

    def get_device_types(self, context):
        return [("NONE", "None", "", 0), *((kind, kind, "", i) for i, kind in enumerate(self.compiled, 1))]

    def get_devices_for_type(self, kind):
        names = self.cards.get(kind, [])
        return [*(Entry(name, kind, use=True) for name in names), Entry("A processor", "CPU", use=True)]

    def refresh_devices(self):
        everything = [entry for kind in self.compiled for entry in self.get_devices_for_type(kind)]
        self.devices = [entry for entry in everything if entry.type == "CPU" or not self.hidden]


@pytest.fixture
def machine(monkeypatch):
    """Puts a machine in place of this one."""

    def install(cards=None, **more):
        preferences = Preferences(cards or {}, **more)
        monkeypatch.setattr(device, "_preferences", lambda: preferences)
        return preferences

    return install


def used(preferences):
    return [(entry.name, entry.type) for entry in preferences.devices if entry.use]


def test_cpu_is_always_there():
    assert device.choose("cpu") == "cpu"
    assert "cpu" in device.available()


def test_what_is_missing_is_refused_and_what_is_there_is_listed(monkeypatch):
    monkeypatch.setattr(device, "available", lambda: {"cpu": ["CPU"]})
    for name in device.BACKENDS:
        with pytest.raises(SynthError, match=f"'{name}' is not on this machine.*Found cpu"):
            device.choose(name)
    with pytest.raises(SynthError, match="unknown"):
        device.choose("gpu")


def test_auto_says_what_it_took(monkeypatch, caplog):
    monkeypatch.setattr(device, "available", lambda: {"cpu": ["CPU"]})
    with caplog.at_level(logging.INFO):
        assert device.choose("auto") == "cpu"
    assert "auto: cpu" in caplog.text


def test_auto_prefers_optix_and_says_which_card(machine, caplog):
    preferences = machine({"CUDA": ["NVIDIA H200"], "OPTIX": ["NVIDIA H200"]})
    with caplog.at_level(logging.INFO):
        assert device.choose("auto") == "optix"
    assert "auto: optix (NVIDIA H200)" in caplog.text
    assert preferences.compute_device_type == "OPTIX"
    assert used(preferences) == [("NVIDIA H200", "OPTIX")]  # not the CPU beside it, which would slow the card down


def test_auto_falls_back_to_cuda_where_optix_finds_no_card(machine):
    preferences = machine({"CUDA": ["NVIDIA H200"]})
    assert device.available() == {"cpu": ["CPU"], "cuda": ["NVIDIA H200"]}
    assert device.choose("auto") == "cuda"
    assert (preferences.compute_device_type, used(preferences)) == ("CUDA", [("NVIDIA H200", "CUDA")])


def test_a_backend_that_finds_only_the_cpu_is_not_there(machine):
    machine({"CUDA": ["NVIDIA H200"]})
    with pytest.raises(SynthError, match=r"'optix' is not on this machine.*Found cpu: CPU; cuda: NVIDIA H200"):
        device.choose("optix")


def test_a_backend_that_was_not_compiled_is_not_there(machine):
    machine({"METAL": ["A card"]})
    with pytest.raises(SynthError, match="'metal' is not on this machine"):
        device.choose("metal")


def test_the_cpu_switches_the_cards_off(machine):
    preferences = machine({"CUDA": ["NVIDIA H200"]})
    device.choose("cuda")
    device.choose("cpu")
    assert preferences.compute_device_type == "NONE"


def test_processes_take_several_cards_in_turn(machine, monkeypatch):
    taken = []
    for process in (100, 101, 102, 103):
        monkeypatch.setattr(device.os, "getpid", lambda process=process: process)
        preferences = machine({"CUDA": ["card 0", "card 1"]})
        device.choose("cuda")
        taken += used(preferences)
    assert taken == [("card 0", "CUDA"), ("card 1", "CUDA")] * 2


def test_a_card_that_vanishes_is_an_error_not_the_cpu(machine):
    machine({"CUDA": ["NVIDIA H200"]}, hidden=True)
    with pytest.raises(SynthError, match=r"Blender shows no card of it.*nvidia-smi"):
        device.choose("cuda")


def test_a_gpu_traces_and_denoises_the_picture():
    render = RenderSpec(samples=4, denoise=True, jpeg_quality=95, exposure=1.0)
    for name, engine, on_gpu in (("optix", "GPU", True), ("cuda", "GPU", True), ("cpu", "CPU", False)):
        made = scene.picture_scene(render, name, 1)
        assert (made.cycles.device, made.cycles.denoising_use_gpu) == (engine, on_gpu)
        bpy.data.scenes.remove(made)


@pytest.fixture(scope="module")
def toy():
    body = toys.toy_body()
    clip = toys.toy_clip(body)
    return body, clip, toys.toy_spec(clip)


def test_a_card_traces_the_picture_and_the_cpu_the_ground_truth(toy, machine):
    """So labels are the same bits on every machine."""
    machine({"OPTIX": ["NVIDIA H200"]})
    body, clip, spec = toy
    views = toys.toy_cameras(spec, clip)
    with ClipRenderer(spec, clip, body, views, "auto", threads=1) as made:
        assert made.device == "optix"
        assert (made._picture.cycles.device, made._truth.cycles.device) == ("GPU", "CPU")
    with ClipRenderer(spec, clip, body, views, "optix", truth_device="optix", threads=1) as made:
        assert made._truth.cycles.device == "GPU"
    with pytest.raises(ValueError, match="truth_device"):
        ClipRenderer(spec, clip, body, views, "cpu", truth_device="cuda")
    device.choose("cpu")


class Renderer:
    """Gives black pictures of four pixels."""

    def __init__(self, *_):
        pass

    def frame(self, view, t):
        flat, deep = np.zeros((2, 2), np.float32), np.zeros((2, 2, 3), np.float32)
        labels = flat.astype(np.uint8)
        return Passes(
            rgb=deep.astype(np.uint8),
            alpha=flat,
            depth=flat,
            normal=deep,
            flow=deep[..., :2],
            parts=labels,
            garments=labels,
        )

    def close(self):
        pass


@pytest.mark.parametrize(("name", "kept"), [("cpu", True), ("optix", False), ("cuda", False)])
def test_pictures_are_kept_for_going_on_only_where_they_are_dear(toy, name, kept, tmp_path, monkeypatch):
    """On a card keeping a picture may cost more than rendering it; on the CPU an interrupted clip goes on."""
    monkeypatch.setattr(pipeline, "ClipRenderer", Renderer)
    body, clip, spec = toy
    journal = Journal(tmp_path / "journal")
    made = list(pipeline.frames(spec, clip, body, journal, name, lambda stage, done, of: None))
    assert made
    assert len(journal) == (len(made) if kept else 0)
