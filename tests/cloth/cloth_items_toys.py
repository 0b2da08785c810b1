"""A bare body, and hair and shoes for it."""

import numpy as np

from garments import catalog
from synth.body.lbs import posed
from synth.body.model import load_named
from synth.spec import GarmentSpec, MaterialSpec
from synth.types import Motion, SimulatedClip

GREY = MaterialSpec(
    kind="procedural",
    seed=0,
    colour=(0.5, 0.5, 0.5),
    accent=(0.4, 0.4, 0.4),
    pattern="plain",
    scale=1.0,
    rotation=0.0,
    roughness=0.8,
)


def bare_clip(gender, body_pose):
    """The free body in these poses (T, 23, 3), without clothes."""
    body, frames = load_named("free", gender), len(body_pose)
    motion = Motion(
        fps=30.0,
        global_orient=np.zeros((frames, 3)),
        body_pose=np.asarray(body_pose, dtype=np.float64),
        transl=np.zeros((frames, 3)),
        source="test",
        source_frames=np.arange(frames, dtype=np.float64),
    )
    vertices, joints = posed(body, np.zeros(10), motion.global_orient, motion.body_pose, motion.transl)
    return body, SimulatedClip(
        betas=np.zeros(10),
        motion=motion,
        body_vertices_world=vertices,
        joints_world=joints,
        garments=(),
        garment_vertices_world={},
        quality={},
    )


def items_of(*names):
    """Hair and shoes as a clip's spec names them."""
    return tuple(GarmentSpec(name=n, fabric="silk", sha256=catalog.digest(n), material=GREY) for n in names)
