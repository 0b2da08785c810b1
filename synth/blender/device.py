"""Which device Cycles renders on: what was asked for, or a clear refusal."""

import logging
import os
from typing import Any

import bpy

from synth.errors import SynthError

log = logging.getLogger(__name__)

BACKENDS = ("optix", "cuda", "hip", "oneapi", "metal")
"""GPU back-ends, in the order in which "auto" prefers them."""


def available() -> dict[str, list[str]]:
    """Names of the devices found, by back-end; "cpu" is always there."""
    found = {"cpu": ["CPU"]}
    compiled = {kind for kind, *_ in _preferences().get_device_types(bpy.context)}  # pyright: ignore
    for backend in BACKENDS:
        if backend.upper() in compiled:
            devices = _preferences().get_devices_for_type(backend.upper()) or []  # pyright: ignore
            if names := [d.name for d in devices if d.type == backend.upper()]:
                found[backend] = names
    return found


def choose(device: str) -> str:
    """Settle which device to render on and switch it on.

    Blender itself falls back to the CPU without a word when a GPU it was told to use is missing.

    Args:
        device: "auto" (the first GPU back-end that is there, else the CPU), "cpu", "optix", "cuda", "hip", "oneapi"
            or "metal".

    Returns:
        "cpu" or the name of the back-end; never "auto".

    Raises:
        SynthError: the device is not on this machine, or there is no such kind.
    """
    if device not in ("auto", "cpu", *BACKENDS):
        raise SynthError(f"device {device!r} is unknown", f"Choose among auto, cpu, {', '.join(BACKENDS)}")
    found = available()
    if device != "auto" and device not in found:
        listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in found.items())
        raise SynthError(f"device {device!r} is not on this machine", f"Found {listed}. Use one of these, or auto")
    taken = next((b for b in BACKENDS if b in found), "cpu") if device == "auto" else device
    preferences = _preferences()
    preferences.compute_device_type = "NONE" if taken == "cpu" else taken.upper()  # pyright: ignore
    if taken != "cpu":
        preferences.refresh_devices()  # pyright: ignore
        _switch_on(list(preferences.devices), taken)  # pyright: ignore
    if device == "auto":
        log.info("device auto: %s", described(taken))
    return taken


def _switch_on(entries: list[Any], taken: str) -> None:
    """Use one card of the back-end and nothing else.

    Pictures of a few hundred pixels do not fill one card, so a picture is not divided among several: with several
    cards the processes take them in turn, by process id. (CUDA_VISIBLE_DEVICES leaves only some to be seen.)

    Raises:
        SynthError: Blender listed the back-end but shows none of its cards.
    """
    cards = [entry for entry in entries if entry.type == taken.upper()]
    if not cards:
        hint = "Its driver may be too old or broken: `nvidia-smi` should list the card; else use --device cpu"
        raise SynthError(f"device {taken!r} was found, but Blender shows no card of it", hint)
    chosen = os.getpid() % len(cards)
    for entry in entries:
        entry.use = entry is cards[chosen]


def described(taken: str) -> str:
    """A device that was chosen, with the names of what it stands for, such as "optix (NVIDIA H200)"."""
    return f"{taken} ({', '.join(available()[taken])})"


def _preferences() -> object:
    return bpy.context.preferences.addons["cycles"].preferences  # pyright: ignore


def blender_version() -> str:
    """Version of Blender's module, such as "4.5.15 LTS"."""
    return bpy.app.version_string
