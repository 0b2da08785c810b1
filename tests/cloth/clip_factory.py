"""A spec, the free body and a short motion, and a clip made of them without Blender."""

import functools

import numpy as np

from garments import catalog
from synth.body.model import load_named
from synth.cloth.simulate import simulate
from synth.spec import (
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
)
from synth.types import Motion

FILE = FileRef(path="asset:x", sha256="0" * 64)
LOOK = MaterialSpec(
    kind="procedural",
    seed=1,
    colour=(0.2, 0.2, 0.2),
    accent=(0.0, 0.0, 0.0),
    pattern="plain",
    scale=1.0,
    rotation=0.0,
    roughness=0.8,
)


def make_spec(outfit=("tshirt",), solver="skinned", quality=10, retries=1, frames=4):
    worn = tuple(GarmentSpec(name=n, fabric="cotton", sha256=catalog.digest(n), material=LOOK) for n in outfit)
    return ClipSpec(
        seed=1,
        index=0,
        motion=MotionSpec(
            kind="original", sources=(FILE,), names=("made",), frames=(0, frames), count=frames, fps=30.0
        ),
        body=BodySpec(file=FILE, name="free", gender="male", betas=(0.0,) * 10),
        outfit=worn,
        simulation=SimulationSpec(solver=solver, quality=quality, retries=retries),
        scene=SceneSpec(
            cameras=CameraRigSpec(
                azimuths=(0.0,), elevation=0.0, distance=7.0, focal_mm=180.0, sensor_mm=32.0, width=64, height=64
            ),
            lights=(),
            environment=EnvironmentSpec(image=FILE, rotation=0.0, strength=1.0),
            background=BackgroundSpec(kind="generated", seed=1, scale=1.0, rotation=0.0),
            skin=LOOK,
        ),
        render=RenderSpec(samples=4, denoise=False, jpeg_quality=90, exposure=1.0),
    )


@functools.cache
def body():
    return load_named("free", "male")


def standing(frames=4):
    """Arms down, turning a little; upright in the world (SMPL's Y axis points to world Z)."""
    pose = np.zeros((frames, 23, 3))
    pose[:, 15, 2], pose[:, 16, 2] = -1.1, 1.1
    pose[:, 2, 1] = np.linspace(0, 0.2, frames)
    return Motion(
        fps=30.0,
        global_orient=np.tile([np.pi / 2, 0.0, 0.0], (frames, 1)),
        body_pose=pose,
        transl=np.tile([0.0, 0.0, 1.0], (frames, 1)),
        source="made",
        source_frames=np.arange(frames, dtype=float),
    )


def skinned(dressed, body_vertices_world, faces, fps, settings, on_frame=None):
    return {worn.garment.name: worn.skinned_world.astype(np.float32) for worn in dressed}


def make_clip(**changes):
    spec = make_spec(**changes)
    return spec, body(), simulate(spec, body(), standing(spec.motion.count), skinned)
