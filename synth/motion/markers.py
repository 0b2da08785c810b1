"""Where markers sit on a body: the layout of the CMU database's (Vicon's) full-body set, by label.

Places are written down on the free neutral body in its T-pose (Y up, facing +Z, left hand on +X) and carried to the
skin of any body; a fit then moves each by its latent offset. Some are meant to differ: the markers on upper arms,
forearms, thighs and shins sit at other heights left and right so that software tells the sides apart.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from synth.body.model import load_named
from synth.body.shape import surface_map
from synth.errors import SynthError
from synth.motion.c3d import MarkerMotion
from synth.types import BodyModel

Array = np.ndarray

RADIUS = 0.0095
"""Centre of a marker over the skin [m]."""
LEAST = 12
"""Markers that a fit needs."""
TORSO = ("LFWT", "RFWT", "LBWT", "RBWT", "STRN", "CLAV", "C7", "T10", "RBAC")
FEET = (("LHEE", "LTOE", "LMT5", "LANK"), ("RHEE", "RTOE", "RMT5", "RANK"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a marker sits, on the left or in the middle."""

    x: float
    """[m]"""
    y: float
    """[m]"""
    z: float
    """[m]"""
    spread: float = 0.02
    """Expected deviation along the skin [m]."""
    clearance: float = 0.006
    """Expected deviation from its height over the skin [m]; large for the bars at the wrists."""


_MIDDLE = {
    "C7": Place(x=0.0, y=0.255, z=-0.05),
    "T10": Place(x=0.0, y=0.02, z=-0.06),
    "CLAV": Place(x=0.0, y=0.225, z=0.085),
    "STRN": Place(x=0.0, y=0.09, z=0.15),
    "RBAC": Place(x=-0.09, y=0.16, z=-0.07, spread=0.04),
}
_LEFT = {
    "LFHD": Place(x=0.065, y=0.465, z=0.095),
    "LBHD": Place(x=0.07, y=0.42, z=-0.045),
    "LSHO": Place(x=0.14, y=0.235, z=0.01),
    "LUPA": Place(x=0.31, y=0.20, z=-0.03, spread=0.05),
    "LELB": Place(x=0.44, y=0.185, z=-0.035),
    "LFRM": Place(x=0.55, y=0.20, z=-0.02, spread=0.05),
    "LWRA": Place(x=0.665, y=0.185, z=0.03, clearance=0.02),
    "LWRB": Place(x=0.665, y=0.185, z=-0.03, clearance=0.02),
    "LFIN": Place(x=0.75, y=0.19, z=0.01),
    "LFWT": Place(x=0.115, y=-0.2, z=0.15),
    "LBWT": Place(x=0.05, y=-0.205, z=-0.06),
    "LTHI": Place(x=0.20, y=-0.48, z=0.03, spread=0.05),
    "LKNE": Place(x=0.18, y=-0.69, z=0.03),
    "LSHN": Place(x=0.17, y=-0.87, z=0.02, spread=0.05),
    "LANK": Place(x=0.15, y=-1.11, z=-0.01),
    "LHEE": Place(x=0.10, y=-1.14, z=-0.06),
    "LTOE": Place(x=0.12, y=-1.16, z=0.165),
    "LMT5": Place(x=0.17, y=-1.165, z=0.1),
}
LAYOUT: dict[str, Place] = (
    _MIDDLE
    | _LEFT
    | {"R" + name[1:]: Place(x=-p.x, y=p.y, z=p.z, spread=p.spread, clearance=p.clearance) for name, p in _LEFT.items()}
)

ALIASES = {
    "LASI": "LFWT", "RASI": "RFWT", "LPSI": "LBWT", "RPSI": "RBWT", "LTIB": "LSHN", "RTIB": "RSHN", "LIWR": "LWRA",
    "RIWR": "RWRA", "LOWR": "LWRB", "ROWR": "RWRB", "RBAK": "RBAC", "LKNEE": "LKNE", "RKNEE": "RKNE",
}  # fmt: skip
"""Other names of the same places."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attachment:
    """K labelled places on a body at rest (T-pose, mean shape)."""

    labels: tuple[str, ...]
    points: Float[Array, "K 3"]
    """Centres of the markers [m]."""
    normals: Float[Array, "K 3"]
    shapedirs: Float[Array, "K 3 B"]
    posedirs: Float[Array, "K 3 207"]
    weights: Float[Array, "K 24"]
    spreads: Float[Array, " K"]
    """Expected deviation along the skin [m]."""
    clearances: Float[Array, " K"]
    """Expected deviation across it [m]."""


def place_of(label: str) -> str | None:
    """The layout's name for a label, None if the layout has no such place.

    Case and what follows a "-" (ghosts of a marker, "RBAC-1") tell: ghosts are left out.
    """
    label = label.upper()
    name = ALIASES.get(label, label)
    return name if name in LAYOUT and not re.search(r"-\d+$", label) else None


def known(motion: MarkerMotion) -> dict[str, int]:
    """Columns of the markers whose place is known, by the layout's names.

    Raises:
        SynthError: there are too few, or none that tell how the torso stands.
    """
    found: dict[str, int] = {}
    for column, label in enumerate(motion.labels):
        name = place_of(label)
        if name is not None and name not in found:
            found[name] = column
    if len(found) < LEAST or len(set(found) & set(TORSO)) < 4:
        raise SynthError(
            f"{motion.source}: {len(found)} of its {len(motion.labels)} markers have a known place",
            f"Label them as the CMU database does: {', '.join(list(LAYOUT)[:14])}, ...",
        )
    return found


def attach(body: BodyModel, labels: Sequence[str], layout: Mapping[str, Place] = LAYOUT) -> Attachment:
    """Put markers on a body's skin.

    Args:
        body: Any with SMPL's joints.
        labels: The layout's names.
        layout: Where they sit on the free neutral body.
    """
    reference = load_named("free", "neutral")
    wanted = np.array([[layout[name].x, layout[name].y, layout[name].z] for name in labels])
    distance = np.linalg.norm(reference.v_template[:, None] - wanted, axis=-1)
    carried = surface_map(reference, body)[np.argmin(distance, axis=0)]
    normals = carried @ vertex_normals(body.v_template, body.faces)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    shapes, poses = body.shapedirs.shape[2], body.posedirs.shape[2]
    count = len(labels)
    return Attachment(
        labels=tuple(labels),
        points=carried @ body.v_template + RADIUS * normals,
        normals=normals,
        shapedirs=(carried @ body.shapedirs.reshape(-1, 3 * shapes)).reshape(count, 3, shapes),
        posedirs=(carried @ body.posedirs.reshape(-1, 3 * poses)).reshape(count, 3, poses),
        weights=carried @ body.lbs_weights,
        spreads=np.array([layout[name].spread for name in labels]),
        clearances=np.array([layout[name].clearance for name in labels]),
    )


def vertex_normals(vertices: Float[Array, "V 3"], faces: Int[Array, "F 3"]) -> Float[Array, "V 3"]:
    """Unit normals, faces weighing as their area."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, faces[:, k], across)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
