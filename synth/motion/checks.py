"""What speaks against the frames between two poses: a body in itself, joints beyond limits, leaning, the floor."""

import numpy as np
from jaxtyping import Float

from synth.body.lbs import posed
from synth.geometry.rotations import rotvec_to_rotmat
from synth.motion.clips import path_between
from synth.motion.collision import worst_overlap
from synth.motion.ground import FEET, imbalance, lowest, stand
from synth.motion.prior import axis_turns, limit_bounds
from synth.spec import MotionSpec
from synth.types import BodyModel, Motion

Array = np.ndarray

OVERLAP = 0.03
"""How deep a body may sink into itself between two poses [m]."""
BALANCE = 0.1
"""How far the body's middle may be beside its feet between two poses [m]."""
CHECKED = 12
"""Frames of an interpolated clip that are checked."""
FLOOR = 0.02
"""How deep a clip between two poses may be in the floor at one of the frames that are checked [m]."""
BEYOND = np.deg2rad(15.0)
"""How much farther than in both poses a joint may turn beyond its limits between them [rad]."""


def fault(spec: MotionSpec, start: Motion, end: Motion, body: BodyModel | None) -> str:
    """What speaks against an interpolated clip, seen on the body's mean shape; empty if nothing does.

    The body may not sink into itself, bend a joint beyond its limits, lean over what carries it, be carried by
    something else than its feet between two poses on the feet, or be in the floor.

    Raises:
        ValueError: no body is given.
    """
    if body is None:
        raise ValueError("body: expected a body model")
    betas = np.zeros(body.shapedirs.shape[2])
    rough = path_between(start, end, CHECKED, CHECKED * spec.fps / spec.count, spec.method)
    vertices, joints = posed(body, betas, rough.global_orient, rough.body_pose, rough.transl)
    if (overlap := worst_overlap(body, betas, joints)) > OVERLAP:
        return f"the body sinks {overlap * 1e3:.0f} mm into itself"
    if (bent := beyond_limits(rough.body_pose)) > BEYOND:
        return f"a joint turns {np.rad2deg(bent):.0f} degrees farther beyond its limit than in the two poses"
    if (lean := imbalance(vertices).max()) > BALANCE:
        return f"it leans {lean * 1e3:.0f} mm over what carries it"
    on_feet = np.isin(np.argmax(body.lbs_weights[np.argmin(vertices[..., 2], axis=1)], axis=1), FEET)
    if on_feet[0] and on_feet[-1] and not on_feet.all():
        return "it starts and ends on its feet and is carried by something else between"
    if (deep := -lowest(body, betas, stand(rough, body, betas))[0].min()) > FLOOR:
        return f"it is {deep * 1e3:.0f} mm in the floor"
    return ""


def beyond_limits(body_pose: Float[Array, "T 23 3"]) -> float:
    """How much farther a joint turns beyond its limits (`synth.motion.prior`) than in the first and last frame [rad].

    Captured poses are real: what they do may be done between them, too.
    """
    lower, upper = limit_bounds()
    angles = axis_turns(rotvec_to_rotmat(body_pose))
    beyond = np.maximum(np.maximum(lower - angles, angles - upper), 0.0)
    return float((beyond - np.maximum(beyond[0], beyond[-1])).max())
