"""Does a body in motion run through itself? Each bone is a row of balls; balls of far-apart bones may not overlap."""

import numpy as np
from jaxtyping import Bool, Float

from synth.body.lbs import shaped
from synth.types import BodyModel

Array = np.ndarray

# Bones (joint, next joint) that matter: torso, head, arms, legs. The head ends at its own joint raised by the neck.
BONES = (
    (0, 3), (3, 6), (6, 9), (9, 12), (12, 15),
    (16, 18), (18, 20), (20, 22), (17, 19), (19, 21), (21, 23),
    (1, 4), (4, 7), (7, 10), (2, 5), (5, 8), (8, 11),
)  # fmt: skip
CHAINS = (0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4)
ROOTS = (5, 8, 11, 14)
"""Upper arms and thighs touch the torso by nature."""
BALLS = 5
INNER = 25.0
"""Percentile of the skin's distance from the bone taken as the radius: the balls stay within the skin."""


def overlap_depth(body: BodyModel, betas: Float[Array, " B"], joints: Float[Array, "T 24 3"]) -> Float[Array, "T N N"]:
    """How deep each pair of bones sinks into one another [m]; negative if they are apart.

    Args:
        body: The model.
        betas: Its shape.
        joints: Posed joints [m].

    Returns:
        For each frame and pair of `BONES`; -inf for pairs that belong together.
    """
    steps = np.linspace(0.1, 0.9, BALLS)
    starts, ends = (joints[:, [bone[k] for bone in BONES]] for k in (0, 1))
    balls = (starts[:, :, None] * (1 - steps[:, None]) + ends[:, :, None] * steps[:, None]).reshape(len(joints), -1, 3)
    gaps = np.linalg.norm(balls[:, :, None] - balls[:, None], axis=-1)
    gaps = gaps.reshape(len(joints), len(BONES), BALLS, len(BONES), BALLS).min(axis=(2, 4))
    radii = _radii(body, betas)
    return np.where(_matters(), radii[:, None] + radii - gaps, -np.inf)


def worst_overlap(body: BodyModel, betas: Float[Array, " B"], joints: Float[Array, "T 24 3"]) -> float:
    """Deepest overlap of a motion [m] beyond what its first and last frame show already (captured poses are real).

    Returns:
        0 or less if the frames between are no worse than the two ends.
    """
    depth = overlap_depth(body, betas, joints)
    allowed = np.maximum(np.maximum(depth[0], depth[-1]), 0.0)
    return float((depth[1:-1] - allowed).max(initial=0.0))


def _radii(body: BodyModel, betas: Array) -> Float[Array, " N"]:
    """Radius of each bone's balls, from the skin that follows the bone."""
    vertices, joints = shaped(body, betas)
    owner = np.argmax(body.lbs_weights, axis=1)
    radii = np.zeros(len(BONES))
    for k, (start, end) in enumerate(BONES):
        skin = vertices[owner == start] - joints[start]
        bone = joints[end] - joints[start]
        along = np.clip(skin @ bone / (bone @ bone), 0.0, 1.0)
        if len(skin):
            radii[k] = np.percentile(np.linalg.norm(skin - along[:, None] * bone, axis=1), INNER)
    return radii


def _matters() -> Bool[Array, "N N"]:
    """Pairs of bones of different chains that do not meet at a joint."""
    chains = np.array(CHAINS)
    matters = chains[:, None] != chains
    for root in ROOTS:
        torso = chains == 0
        matters[root, torso] = matters[torso, root] = False
    thighs = [ROOTS[2], ROOTS[3]]
    matters[np.ix_(thighs, thighs)] = False
    return matters
