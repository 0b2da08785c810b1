"""From Blender's passes to ours: reading EXR, signs, axes, and the picture's composition.

Blender's own pixel buffers cannot be read without a window, so a render goes through an uncompressed float EXR file in
memory and is read with the OpenImageIO that comes inside the bpy package.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from jaxtyping import Float, UInt8

from synth.errors import SynthError

Array = np.ndarray


def _oiio() -> Any:
    """The bundled OpenImageIO."""
    folder = str(Path(bpy.utils.resource_path("LOCAL")) / "python/lib/python3.11/site-packages")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("OpenImageIO")


def read_layers(path: Path) -> dict[str, Float[Array, "H W C"]]:
    """Read Blender's multilayer EXR.

    Args:
        path: The file.

    Returns:
        Pass name to channels in the order R, G, B, A or X, Y, Z, W; float32.

    Raises:
        SynthError: the file is missing or damaged (a full disk).
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, channel in _read(path).items():
        *_, layer, component = name.split(".")
        layers.setdefault(layer, {})[component] = channel
    order = "RXUGYVBZAW"
    return {
        layer: np.stack([channels[c] for c in sorted(channels, key=order.find)], axis=-1)
        for layer, channels in layers.items()
    }


def read_picture(path: Path) -> Float[Array, "H W 3"]:
    """Read a picture as linear RGB: float formats as they are, 8-bit ones through the inverse sRGB curve.

    Raises:
        SynthError: the picture cannot be read; the message names it.
    """
    oiio = _oiio()
    image = oiio.ImageBuf(str(path))
    pixels = image.get_pixels(oiio.FLOAT) if not image.has_error and image.spec().width > 0 else None
    if pixels is None or image.has_error or pixels.size == 0:
        oiio.geterror()
        raise SynthError(
            f"{path}: not a readable picture", "Remove it from the folder, or replace it by an intact copy"
        )
    if not np.isfinite(pixels).all():
        raise SynthError(f"{path}: the picture holds NaN or infinite values", "Remove it from the folder")
    pixels = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] < 3 else pixels[..., :3]
    return srgb_to_linear(pixels) if image.nativespec().format.basetype in (oiio.UINT8, oiio.UINT16) else pixels


def _read(path: Path) -> dict[str, Float[Array, "H W"]]:
    oiio = _oiio()
    file = oiio.ImageInput.open(str(path))
    if file is None:
        raise SynthError(f"{path}: no picture came from Blender ({oiio.geterror()})", "Is there space left there?")
    try:
        pixels = file.read_image(oiio.FLOAT)
        names = file.spec().channelnames
    finally:
        file.close()
    if pixels is None:
        raise SynthError(f"{path}: Blender's picture cannot be read", "Is there space left on the device?")
    return {name: pixels[..., i] for i, name in enumerate(names)}


def forward_flow(vector: Float[Array, "H W 4"], surface: Array) -> Float[Array, "H W 2"]:
    """Forward flow (dx, dy) [px], y down, from the Vector pass.

    X, Y of the pass are the previous position minus the current one, Z, W the current one minus the next, y up.
    """
    flow = np.stack([-vector[..., 2], vector[..., 3]], axis=-1)
    return np.where(surface[..., None], flow, 0.0).astype(np.float32)


def camera_normal(
    normal_world: Float[Array, "H W 3"], surface: Array, T_camera_world: Float[Array, "4 4"]
) -> Float[Array, "H W 3"]:
    """Unit normals in the camera's frame with z < 0; zero where there is no surface."""
    normal = normal_world.astype(np.float64) @ T_camera_world[:3, :3].T
    # Seen at a grazing angle near the image's border, a normal facing the viewer can lean over z = 0 by a few degrees.
    normal[..., 2] = np.minimum(normal[..., 2], -1e-6)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.where(surface[..., None], normal, 0.0).astype(np.float32)


def linear_to_srgb(linear: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """The sRGB transfer curve (IEC 61966-2-1), values cut to 0-1."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-8) ** (1 / 2.4) - 0.055)


def srgb_to_linear(encoded: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """The inverse of `linear_to_srgb`."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def compose(person: Float[Array, "H W 4"], background: Float[Array, "H W 3"], exposure: float) -> UInt8[Array, "H W 3"]:
    """Put the person (linear, alpha already multiplied in) over the background and encode as 8-bit sRGB."""
    linear = person[..., :3] + (1.0 - person[..., 3:]) * background
    return (255.0 * linear_to_srgb(exposure * linear) + 0.5).astype(np.uint8)
