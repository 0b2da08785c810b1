"""A figure of 24 balls in a tube, walking and waving before four cameras: quick to render, every answer computable."""

import dataclasses

import numpy as np
import trimesh

from garments.garment import Fabric, Garment
from synth.body.joints import PARENTS
from synth.config import SceneConfig
from synth.rng import generator
from synth.scene.cameras import cameras, extents
from synth.scene.sample import SceneFiles, sample_cloth, sample_scene, studio_lights
from synth.spec import BodySpec, ClipSpec, FileRef, GarmentSpec, MotionSpec, RenderSpec, SimulationSpec
from synth.types import BodyModel, DressedGarment, Motion, SimulatedClip

# x (left positive), y (up), z (front), radius: SMPL-24 order
BALLS = np.array([
    [0, 0.95, 0, 0.16], [0.1, 0.85, 0, 0.11], [-0.1, 0.85, 0, 0.11], [0, 1.1, 0, 0.15],
    [0.11, 0.5, 0, 0.1], [-0.11, 0.5, 0, 0.1], [0, 1.22, 0, 0.15], [0.11, 0.12, 0, 0.08],
    [-0.11, 0.12, 0, 0.08], [0, 1.34, 0, 0.15], [0.11, 0.04, 0.1, 0.06], [-0.11, 0.04, 0.1, 0.06],
    [0, 1.48, 0, 0.07], [0.08, 1.4, 0, 0.08], [-0.08, 1.4, 0, 0.08], [0, 1.63, 0.02, 0.13],
    [0.2, 1.4, 0, 0.08], [-0.2, 1.4, 0, 0.08], [0.42, 1.4, 0, 0.07], [-0.42, 1.4, 0, 0.07],
    [0.65, 1.4, 0, 0.06], [-0.65, 1.4, 0, 0.06], [0.75, 1.4, 0, 0.05], [-0.75, 1.4, 0, 0.05],
])  # fmt: skip
FRAMES = 4


def toy_body() -> BodyModel:
    ball = trimesh.creation.icosphere(subdivisions=2)
    count = len(ball.vertices)
    vertices = np.concatenate([c[:3] + c[3] * ball.vertices for c in BALLS])
    faces = np.concatenate([k * count + ball.faces for k in range(24)])
    weights = np.repeat(np.eye(24), count, axis=0)
    total = len(vertices)
    return BodyModel(
        name="toy",
        gender="neutral",
        v_template=vertices,
        shapedirs=np.zeros((total, 3, 2)),
        posedirs=np.zeros((total, 3, 207)),
        J_regressor=weights.T / count,
        lbs_weights=weights,
        parents=PARENTS,
        faces=faces,
        uv=np.zeros((len(faces), 3, 2)),
        sha256="0" * 64,
    )


def to_world(points: np.ndarray, t: int) -> np.ndarray:
    """SMPL's frame to the world: walks along +X, turns, and waves (higher points sway more)."""
    x, y, z = np.moveaxis(points, -1, 0)
    angle = 0.4 + 0.1 * t
    sway = 0.05 * t * y**2
    world = np.stack([np.cos(angle) * x + np.sin(angle) * z, np.sin(angle) * x - np.cos(angle) * z, y], axis=-1)
    return world + np.stack([sway + 0.08 * t, 0 * y + 3.0, 0.02 * t * np.abs(x)], axis=-1)


def toy_garment(body: BodyModel) -> DressedGarment:
    angles, heights = np.linspace(0, 2 * np.pi, 24, endpoint=False), np.linspace(0.9, 1.45, 8)
    ring = np.stack([0.21 * np.cos(angles), 0 * angles, -0.21 * np.sin(angles)], axis=-1)
    vertices = (ring[None] + heights[:, None, None] * np.array([0, 1.0, 0])).reshape(-1, 3)
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(7), np.arange(24), indexing="ij"))
    corners = [i * 24 + j, i * 24 + (j + 1) % 24, (i + 1) * 24 + (j + 1) % 24, (i + 1) * 24 + j]
    faces = np.stack(corners, axis=-1)
    garment = Garment(
        name="tube",
        layer=0,
        covers="upper",
        vertices=vertices,
        faces=faces,
        uv=np.stack([faces % 24 * 0.055, vertices[faces, 1]], axis=-1),
        pins=np.zeros(len(vertices)),
        goals=np.zeros(len(vertices)),
        loose=False,
        fabric=Fabric(name="cotton", density=0.2, stretch=1.0, shear=1.0, bend=1.0, friction=1.0),
        source="test",
        licence="CC0-1.0",
    )
    weights = np.eye(24)[np.where(vertices[:, 1] < 1.1, 3, 9)]
    skinned = np.stack([to_world(vertices, t) for t in range(FRAMES)])
    return DressedGarment(garment=garment, rest_vertices=vertices, lbs_weights=weights, skinned_world=skinned)


def toy_clip(body: BodyModel, dressed: bool = True) -> SimulatedClip:
    zeros = np.zeros((FRAMES, 3))
    motion = Motion(
        fps=30.0,
        global_orient=zeros,
        body_pose=np.zeros((FRAMES, 23, 3)),
        transl=zeros,
        source="toy",
        source_frames=np.arange(FRAMES, dtype=float),
    )
    garment = toy_garment(body)
    return SimulatedClip(
        betas=np.zeros(2),
        motion=motion,
        body_vertices_world=np.stack([to_world(body.v_template, t) for t in range(FRAMES)]),
        joints_world=np.stack([to_world(BALLS[:, :3], t) for t in range(FRAMES)]),
        garments=(garment,) if dressed else (),
        garment_vertices_world={"tube": garment.skinned_world} if dressed else {},
        quality={},
    )


def toy_spec(clip: SimulatedClip, seed: int = 0, samples: int = 4, size: int = 96, **scene) -> ClipSpec:
    rng, file = generator(seed, "toy"), FileRef(path="asset:none", sha256="0" * 64)
    extent, travel = extents(clip.body_vertices_world, clip.joints_world[:, 0])
    files = SceneFiles(hdris=studio_lights())
    sampled = sample_scene(
        rng, config=SceneConfig(views=4, width=size, height=size), files=files, extent=extent, travel=travel
    )
    outfit = tuple(
        GarmentSpec(name=d.garment.name, fabric="cotton", sha256="0" * 64, material=sample_cloth(rng, ()))
        for d in clip.garments
    )
    return ClipSpec(
        seed=seed,
        index=0,
        motion=MotionSpec(kind="original", sources=(file,), names=("toy",), frames=(0, 4), count=FRAMES, fps=30.0),
        body=BodySpec(file=file, name="toy", gender="neutral", betas=(0.0, 0.0)),
        outfit=outfit,
        simulation=SimulationSpec(solver="skinned", quality=1, retries=0),
        scene=dataclasses.replace(sampled, **scene),
        render=RenderSpec(samples=samples, denoise=True, jpeg_quality=95, exposure=1.0),
    )


def toy_cameras(spec: ClipSpec, clip: SimulatedClip):
    return cameras(spec.scene.cameras, clip.joints_world[:, 0])
