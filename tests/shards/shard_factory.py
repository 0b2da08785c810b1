"""Shards without Blender: bodies posed by LBS, drawn by a z-buffer. Used by the tests and by benchmarks/shards.py."""

import dataclasses
from pathlib import Path

import numpy as np

from garments.garment import Fabric, Garment
from synth.body.lbs import posed
from synth.body.model import load_named
from synth.geometry.camera import intrinsics, look_at
from synth.geometry.triangles import rasterize, vertex_normals
from synth.labels.keypoints import project_points, to_camera
from synth.shards.write import Provenance, write_shard
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
from synth.types import BodyModel, Camera, DressedGarment, Motion, Passes, Quality, SimulatedClip

FILE = FileRef(path="asset:none", sha256="0" * 64)
LOOK = MaterialSpec(
    kind="procedural",
    seed=1,
    colour=(0.5, 0.4, 0.3),
    accent=(0.0, 0.0, 0.0),
    pattern="plain",
    scale=10.0,
    rotation=0.0,
    roughness=0.8,
)
MEASURES = tuple(field.name for field in dataclasses.fields(Quality) if field.name != "reasons")


def make_spec(
    clip: SimulatedClip, cameras: tuple[Camera, ...], body: BodyModel | None = None, index: int = 0
) -> ClipSpec:
    body = body or load_named("free", "neutral")
    worn = tuple(
        GarmentSpec(name=d.garment.name, fabric="cotton", sha256="1" * 64, material=LOOK) for d in clip.garments
    )
    rig = CameraRigSpec(
        azimuths=tuple(float(k) for k in range(len(cameras))),
        elevation=0.0,
        distance=10.0,
        focal_mm=180.0,
        sensor_mm=32.0,
        width=cameras[0].width,
        height=cameras[0].height,
    )
    return ClipSpec(
        seed=1,
        index=index,
        motion=MotionSpec(
            kind="original",
            sources=(FILE,),
            names=("cmu/01_01",),
            frames=(0, 4 * len(clip.motion)),
            count=len(clip.motion),
            fps=30.0,
        ),
        body=BodySpec(
            file=FileRef(path="asset:none", sha256=body.sha256),
            name="free",
            gender=body.gender,
            betas=tuple(clip.betas.tolist()),
        ),
        outfit=worn,
        simulation=SimulationSpec(solver="skinned", quality=1, retries=0),
        scene=SceneSpec(
            cameras=rig,
            lights=(),
            environment=EnvironmentSpec(image=FILE, rotation=0.0, strength=1.0),
            background=BackgroundSpec(kind="generated", seed=1, scale=1.0, rotation=0.0),
            skin=LOOK,
        ),
        render=RenderSpec(samples=1, denoise=False, jpeg_quality=95, exposure=1.0),
    )


def make_motion(frames: int, seed: int = 0) -> Motion:
    """Walk on a curve with swinging limbs, quick enough that each frame differs from the next by some pixels."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 30
    swing = rng.normal(0, 0.25, (23, 3)) * np.sin(2 * np.pi * (1.3 * time + rng.random((23, 1))))
    swing[:, [15, 16], 2] += np.array([-0.9, 0.9])  # arms down, with a gap to the trunk
    upright = np.array([np.pi / 2, 0, 0])  # SMPL's Y up to the world's Z up
    heading = 0.3 + 1.5 * time[:, 0, 0]
    orient = np.stack([_turned(upright, angle) for angle in heading])
    transl = np.stack([2.0 * time[:, 0, 0] - 0.2, 0.3 + 0 * heading, 0.95 + 0.02 * np.sin(9 * heading)], axis=1)
    return Motion(
        fps=30.0,
        global_orient=orient,
        body_pose=swing,
        transl=transl,
        source="made",
        source_frames=np.where(np.arange(frames) % 3 == 2, np.nan, np.arange(frames) * 4.0),
    )


def _turned(rotvec: np.ndarray, angle: float) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return (Rotation.from_rotvec([0, 0, angle]) * Rotation.from_rotvec(rotvec)).as_rotvec()


def make_clip(body: BodyModel, frames: int = 6, dressed: bool = False, seed: int = 0) -> SimulatedClip:
    """A clip of a bare body, or of one in shorts: the skin of pelvis and thighs moved out by 15 mm."""
    motion = make_motion(frames, seed)
    betas = np.random.default_rng([seed, 1]).normal(0, 0.8, body.shapedirs.shape[2])
    vertices, joints = posed(body, betas, motion.global_orient, motion.body_pose, motion.transl)
    garments, worn, quality = (), {}, {}
    if dressed:
        kept = body.faces[np.isin(body.face_parts, (1, 2, 3))]
        used, local = np.unique(kept, return_inverse=True)
        faces = np.column_stack([local.reshape(-1, 3), np.full(len(kept), -1)]).astype(np.int64)
        shell = np.stack([v + 0.015 * vertex_normals(v, body.faces) for v in vertices])[:, used]
        garments = (_shorts(body, used, faces, shell),)
        worn = {"shorts": shell}
        quality = {"shorts": Quality(**{name: np.full(frames, 0.001) for name in MEASURES}, reasons=())}
    return SimulatedClip(
        betas=betas,
        motion=motion,
        body_vertices_world=vertices,
        joints_world=joints,
        garments=garments,
        garment_vertices_world=worn,
        quality=quality,
    )


def _shorts(body: BodyModel, used: np.ndarray, faces: np.ndarray, shell: np.ndarray) -> DressedGarment:
    garment = Garment(
        name="shorts",
        layer=0,
        covers="lower",
        vertices=body.v_template[used],
        faces=faces,
        uv=np.zeros((len(faces), 4, 2)),
        pins=np.zeros(len(used)),
        goals=np.zeros(len(used)),
        loose=False,
        fabric=Fabric(name="cotton", density=0.2, stretch=15.0, shear=15.0, bend=0.5, friction=5.0),
        source="made",
        licence="CC0-1.0",
    )
    return DressedGarment(
        garment=garment, rest_vertices=body.v_template[used], lbs_weights=body.lbs_weights[used], skinned_world=shell
    )


def make_cameras(clip: SimulatedClip, views: int = 2, size: int = 250) -> tuple[Camera, ...]:
    """Cameras around the person that follow the pelvis half-way, so that flow has a part of the camera's."""
    pelvis = clip.joints_world[:, 0]
    target = 0.5 * pelvis + 0.5 * pelvis.mean(axis=0)
    angles = 0.4 + 2 * np.pi * np.arange(views) / max(views, 3)
    eyes = [pelvis.mean(axis=0) + 11.0 * np.array([np.cos(a), np.sin(a), 0.1]) for a in angles]
    K = intrinsics(180.0, 32.0, size, size)
    return tuple(
        Camera(K=K, T_camera_world=look_at(np.tile(eye, (len(pelvis), 1)), target), width=size, height=size)
        for eye in eyes
    )


def draw(clip: SimulatedClip, body: BodyModel, camera: Camera, t: int, view: int, texture: float = 0.0) -> Passes:
    """Draw one frame; `texture` is the strength of grain on everything, to give JPEGs a realistic size."""
    meshes = [(clip.body_vertices_world, body.faces, body.face_parts, 0)]
    for index, dressed in enumerate(clip.garments):
        faces = dressed.garment.triangles
        meshes.append((clip.garment_vertices_world[dressed.garment.name], faces, dressed.face_parts, index + 1))
    ends = np.cumsum([0, *(mesh[0].shape[1] for mesh in meshes)])
    faces = np.concatenate([mesh[1] + start for mesh, start in zip(meshes, ends, strict=False)])
    part_of = np.concatenate([mesh[2] for mesh in meshes])
    garment_of = np.concatenate([np.full(len(mesh[1]), mesh[3]) for mesh in meshes]).astype(np.uint8)
    following = min(t + 1, len(clip.motion) - 1)
    now, then = (np.concatenate([mesh[0][i] for mesh in meshes]) for i in (t, following))
    now, then = to_camera(now, camera.T_camera_world[t]), to_camera(then, camera.T_camera_world[following])
    depth, face, weights = rasterize(now, faces, camera.K, camera.width, camera.height)
    seen = face >= 0
    normal, flow = np.zeros((*seen.shape, 3)), np.zeros((*seen.shape, 2))
    corners, share = faces[face[seen]], weights[seen][..., None]
    rows, columns = np.nonzero(seen)
    moved = project_points((then[corners] * share).sum(axis=1), camera.K)
    flow[seen] = moved - np.stack([columns + 0.5, rows + 0.5], axis=1)
    normals = np.cross(now[corners[:, 1]] - now[corners[:, 0]], now[corners[:, 2]] - now[corners[:, 0]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normal[seen] = np.where(normals[:, 2:] > 0, -normals, normals)
    parts, garments = np.zeros(seen.shape, np.uint8), np.zeros(seen.shape, np.uint8)
    parts[seen], garments[seen] = part_of[face[seen]], garment_of[face[seen]]
    return Passes(
        rgb=_shade(seen, normal, garments, view, t, texture),
        alpha=seen.astype(np.float64),
        depth=depth,
        normal=normal,
        flow=flow,
        parts=parts,
        garments=garments,
    )


def _shade(seen: np.ndarray, normal: np.ndarray, garments: np.ndarray, view: int, t: int, texture: float) -> np.ndarray:
    height, width = seen.shape
    y, x = np.mgrid[:height, :width]
    wall = np.stack([60 + x / 8, 90 + y / 6, 110 + (x + y) / 20 + 10 * view], axis=-1)
    skin = np.array([215.0, 160, 130]) * (0.55 - 0.45 * normal[..., 2:])
    cloth = np.array([60.0, 60, 190]) * (0.55 - 0.45 * normal[..., 2:])
    rgb = np.where(seen[..., None], np.where(garments[..., None] > 0, cloth, skin), wall)
    grain = np.random.default_rng([view, t]).normal(0, 1, rgb.shape) * texture
    return np.clip(rgb + grain, 0, 255).astype(np.uint8)


def make_shard(
    folder: Path,
    *,
    frames: int = 6,
    views: int = 2,
    dressed: bool = False,
    seed: int = 0,
    size: int = 250,
    texture: float = 0.0,
    body: BodyModel | None = None,
) -> Path:
    """Write a whole shard `<folder>/<clip id>.h5`."""
    body = body or load_named("free", "neutral")
    clip = make_clip(body, frames, dressed, seed)
    cameras = make_cameras(clip, views, size)
    spec = make_spec(clip, cameras, body, seed)
    drawn = (
        (view, t, draw(clip, body, cameras[view], t, view, texture)) for view in range(views) for t in range(frames)
    )
    provenance = Provenance(config={"made": "by a test"}, commit="0" * 40)
    path = folder / f"{spec.clip_id}.h5"
    return write_shard(path, spec=spec, clip=clip, body=body, cameras=cameras, frames=drawn, provenance=provenance)
