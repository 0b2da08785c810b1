"""Rendering a simulated clip with Cycles: `ClipRenderer.frame(view, t)` gives the picture and its ground truth."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from jaxtyping import Float

from synth.assets import resolve
from synth.blender import device as devices
from synth.blender import materials, passes, scene, session
from synth.geometry.camera import project
from synth.rng import generator
from synth.scene import backgrounds
from synth.spec import ClipSpec
from synth.types import BodyModel, Camera, Passes, SimulatedClip

Array = np.ndarray
Box = tuple[int, int, int, int]

MARGIN = 3
"""Pixels around the person's box that are rendered with it; the picture's filter reaches 1.5."""
NOWHERE = 1e9
"""Depth [m] beyond which Cycles saw no surface."""


class ClipRenderer:
    """Renders the frames of one clip. Keep one for the whole clip: most of its set-up is done once.

    Frames may be asked for in any order; going through all views of a frame before the next frame is fastest.
    The last frame has no flow: zeros.

    Args:
        spec: The clip.
        clip: Its geometry.
        body: Body model of the clip.
        cameras: Cameras of the clip (`synth.scene.cameras.cameras`).
        device: "auto", "cpu", "optix", "cuda", "hip", "oneapi" or "metal".
        truth_device: Where the ground truth's one ray a pixel is traced; the default is the CPU whatever `device` is,
            so that labels are the same bits on every machine. `benchmarks/gpu.py` measures what a GPU would change.
        threads: CPU threads; 0 lets Blender take all.
        scratch: Folder for the picture on its way out of Blender; the default is in memory where there is /dev/shm.
        log: Where Blender's own output goes; the default throws it away.

    Raises:
        SynthError: the device is not there, or a picture that the spec names is missing or damaged.
    """

    def __init__(
        self,
        spec: ClipSpec,
        clip: SimulatedClip,
        body: BodyModel,
        cameras: Sequence[Camera],
        device: str = "auto",
        *,
        truth_device: str = "cpu",
        threads: int = 0,
        scratch: Path | None = None,
        log: Path | None = None,
    ) -> None:
        self.spec, self.cameras, self.frames = spec, tuple(cameras), len(clip.motion)
        self.device = devices.choose(device)
        if truth_device not in ("cpu", self.device):
            raise ValueError(f"truth_device: expected 'cpu' or {self.device!r}, got {truth_device!r}")
        self._log = log if log is not None else Path(os.devnull)
        shared = Path("/dev/shm")
        root = scratch or (shared if shared.is_dir() and os.access(shared, os.W_OK) else None)
        self._scratch = tempfile.TemporaryDirectory(prefix="raiment-", dir=root)
        # Blender evaluates the shape keys' animation at the frame of its current scene, which a simulation has moved
        bpy.context.scene.frame_set(1)  # pyright: ignore[reportOptionalMemberAccess]
        origin = clip.joints_world[:, 0].mean(axis=0)
        self._picture = scene.picture_scene(spec.render, self.device, threads)
        self._truth = scene.truth_scene(truth_device, threads)
        both = (self._picture, self._truth)
        self._eye = scene.Eye(origin, both)
        self._figure = scene.Figure(spec, clip, body, origin, both)
        for index, light in enumerate(spec.scene.lights):
            scene.add_area_light(self._picture, light, index)
        self._set_background()
        self._posed: int | None = None

    def __enter__(self) -> "ClipRenderer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the scratch folder and the scenes."""
        self._scratch.cleanup()
        for used in (self._picture, self._truth):
            bpy.data.scenes.remove(used)
        bpy.data.orphans_purge(do_recursive=True)

    def _set_background(self) -> None:
        environment, behind = self.spec.scene.environment, self.spec.scene.background
        sphere = passes.read_picture(resolve(environment.image))
        sphere = sphere * np.float32(environment.strength / backgrounds.brightness(sphere))
        scene.add_environment(self._picture, sphere, environment.rotation)
        if behind.kind == "generated":
            self._behind = [backgrounds.generated(behind.seed, view) for view in range(len(self.cameras))]
            return
        picture = sphere
        if behind.kind == "picture":
            if behind.image is None:
                raise ValueError("background: a picture is wanted and none is named")
            picture = passes.read_picture(resolve(behind.image))
        texels = backgrounds.texels_per_pixel(behind, picture, self.cameras[0])
        self._behind = [backgrounds.fitted(picture, texels)] * len(self.cameras)

    def background(self, view: int, t: int) -> Float[Array, "H W 3"]:
        """What is behind the person, linear RGB."""
        looks = self.spec.scene
        picture, turn = self._behind[view], looks.environment.rotation
        return backgrounds.background(looks.background, picture, self.cameras[view], t, view=view, rotation=turn)

    def frame(self, view: int, t: int) -> Passes:
        """Render one frame of one view.

        Args:
            view: Which camera.
            t: Which frame.

        Returns:
            Picture and ground truth of the whole image.

        Raises:
            SynthError: Blender's picture could not be written (no space).
        """
        camera = self.cameras[view]
        if self._posed != t:
            self._figure.pose(t)
            self._posed = t
        self._eye.look(camera, t)
        box = person_box(self._figure.vertices(t), camera, t)
        rgba = self.picture(camera, box, noise_seed(self.spec.seed, self.spec.index, t, view))
        truth = self.truth(camera, box)
        return self._passes(camera, t, rgba, truth, self.background(view, t))

    def picture(self, camera: Camera, box: Box, seed: int) -> Float[Array, "H W 4"]:
        """The person alone: linear RGB, multiplied by alpha, and alpha; zero outside the box."""
        self._picture.cycles.seed = seed
        return paste(self._render(self._picture, camera, box)["Combined"], box, camera)

    def truth(self, camera: Camera, box: Box) -> dict[str, Float[Array, "H W C"]]:
        """The raw passes of the ground truth; zero outside the box."""
        return {name: paste(layer, box, camera) for name, layer in self._render(self._truth, camera, box).items()}

    def _render(self, used: Any, camera: Camera, box: Box) -> dict[str, Float[Array, "h w C"]]:
        x0, y0, x1, y1 = box
        render = used.render
        render.resolution_x, render.resolution_y = camera.width, camera.height
        # A quarter of a pixel keeps Blender's truncation on the right side; its y axis points up.
        render.border_min_x, render.border_max_x = (x0 + 0.25) / camera.width, (x1 + 0.25) / camera.width
        render.border_min_y = (camera.height - y1 + 0.25) / camera.height
        render.border_max_y = (camera.height - y0 + 0.25) / camera.height
        path = Path(self._scratch.name) / f"{used.name}.exr"
        render.filepath = str(path)
        used.update_tag()
        with session.output_to(self._log):
            bpy.ops.render.render(write_still=True, scene=used.name)
        layers = passes.read_layers(path)
        path.unlink()
        for name, layer in layers.items():
            if layer.shape[:2] != (y1 - y0, x1 - x0):
                raise AssertionError(f"{name}: asked Blender for {(y1 - y0, x1 - x0)} pixels, got {layer.shape[:2]}")
        return layers

    def _passes(
        self, camera: Camera, t: int, rgba: Array, truth: dict[str, Array], behind: Float[Array, "H W 3"]
    ) -> Passes:
        depth = truth["Depth"][..., 0]
        surface = (depth > 0) & (depth < NOWHERE)
        labels = np.rint(truth[materials.LABELS][..., :2]).astype(np.uint8)
        vector = truth["Vector"] if t + 1 < self.frames else np.zeros_like(truth["Vector"])
        return Passes(
            rgb=passes.compose(rgba, behind, self.spec.render.exposure),
            alpha=np.clip(rgba[..., 3], 0.0, 1.0),
            depth=np.where(surface, depth, np.float32(0)),
            normal=passes.camera_normal(truth[materials.NORMAL][..., :3], surface, camera.T_camera_world[t]),
            flow=passes.forward_flow(vector, surface),
            parts=np.where(surface, labels[..., 0], np.uint8(0)),
            garments=np.where(surface, labels[..., 1], np.uint8(0)),
        )


def person_box(vertices_world: Float[Array, "N 3"], camera: Camera, t: int) -> Box:
    """Box (x0, y0, x1, y1) [px, ends exclusive] around the person with a margin, cut to the image, never empty."""
    pixels = project(vertices_world, camera, t)
    size = np.array([camera.width, camera.height])
    low = np.clip(np.floor(pixels.min(axis=0)) - MARGIN, 0, size - 1).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)) + MARGIN, low + 1, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def paste(layer: Float[Array, "h w C"], box: Box, camera: Camera) -> Float[Array, "H W C"]:
    """Put a crop back into an image of zeros."""
    x0, y0, x1, y1 = box
    whole = np.zeros((camera.height, camera.width, layer.shape[-1]), dtype=np.float32)
    whole[y0:y1, x0:x1] = layer
    return whole


def noise_seed(seed: int, clip: int, t: int, view: int) -> int:
    """Seed of the picture's noise: another for every clip, frame and view, so that noise never stands still."""
    return int(generator(seed, clip, "noise", t, view).integers(2**31 - 1))
