"""A device that is not there is an error; Blender itself would render on the CPU without a word."""

import logging

import pytest

bpy = pytest.importorskip("bpy")

from synth.blender import device  # noqa: E402
from synth.errors import SynthError  # noqa: E402

pytestmark = pytest.mark.blender


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
