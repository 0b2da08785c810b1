"""What a garment is: a mesh around the reference body, its pins and its fabric; read from and written to a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Int8

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """How the cloth behaves. The stiffnesses weigh stretch, shear and bending in the energy (MVIPER, section 3.3)."""

    name: str
    density: float
    """Area density [kg/m2]."""
    stretch: float
    shear: float
    bend: float
    """Stiffnesses in the units of Blender's cloth settings (tension/compression, shear, bending)."""
    friction: float
    """Friction against the body, Blender's 0-80 scale."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Garment:
    """A garment on the reference body: the free neutral body, betas zero, A-pose (see `synth.body.shape.rest_pose`)."""

    name: str
    layer: int
    """0 is worn next to the skin; a higher layer is worn over a lower one."""
    covers: str
    """Kind of garment: "upper", "lower" or "full"; "head" (hair) and "feet" (shoes) are never simulated."""
    vertices: Float[Array, "Vg 3"]
    """[m], SMPL's frame (Y up)."""
    faces: Int[Array, "Fg 4"]
    """Quads, counter-clockwise seen from outside; the last index is -1 for a triangle."""
    uv: Float[Array, "Fg 4 2"]
    """Texture coordinates of each corner; one unit is one metre of fabric."""
    pins: Float[Array, " Vg"]
    """How firmly a vertex follows the body: 1 is fixed to it (waistband), 0 is free."""
    goals: Float[Array, " Vg"]
    """Goal weight for the soft-body solver, 0-1."""
    loose: bool
    """True for a garment that may swing away from the body (skirt): coverage and drift say nothing about it."""
    fabric: Fabric
    source: str
    licence: str
    region: Int8[Array, " Vg"] = field(default_factory=lambda: np.zeros(0, np.int8))
    """Body part (1-24, SMPL joint + 1) that each vertex lies over on the reference body; 0 where that is not known."""
    seams: Int[Array, "S 2"] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """Edges along which two pieces of fabric are sewn together; found in `uv` if not given."""
    sizes: Mapping[str, float] = field(default_factory=lambda: {"M": 0.0})
    """How much wider (on every side) than the made size each size is [m]."""

    def __post_init__(self) -> None:
        count = len(self.vertices)
        if not len(self.region):
            object.__setattr__(self, "region", np.zeros(count, np.int8))
        if self.faces.shape[1] != 4 or self.faces.max() >= count or self.faces[:, :3].min() < 0:
            raise ValueError(f"garment {self.name}: faces point outside its {count} vertices")
        each = (count,)
        for name, shape in (("pins", each), ("goals", each), ("region", each), ("uv", (len(self.faces), 4, 2))):
            if getattr(self, name).shape != shape:
                raise ValueError(f"garment {self.name}: {name}: expected {shape}, got {getattr(self, name).shape}")
        if not len(self.seams):
            object.__setattr__(self, "seams", _seams(self.faces, self.uv))
        for name in ("vertices", "faces", "uv", "pins", "goals", "region", "seams"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @property
    def triangles(self) -> Int[Array, "Ft 3"]:
        """The faces as triangles: first halves of all faces, then the second halves of the quads."""
        quads = self.faces[self.faces[:, 3] >= 0]
        return np.concatenate([self.faces[:, :3], quads[:, [0, 2, 3]]])

    @property
    def edges(self) -> Int[Array, "E 2"]:
        """The mesh's edges, each once, lower index first."""
        nxt = np.concatenate([self.faces[:, 1:], self.faces[:, :1]], axis=1)
        corner, following = self.faces.copy(), nxt.copy()
        triangle = self.faces[:, 3] < 0
        following[triangle, 2] = self.faces[triangle, 0]
        keep = np.ones_like(corner, dtype=bool)
        keep[triangle, 3] = False
        pairs = np.stack([corner[keep], following[keep]], axis=1)
        return np.unique(np.sort(pairs, axis=1), axis=0)


def _seams(faces: Int[Array, "Fg 4"], uv: Float[Array, "Fg 4 2"]) -> Int[Array, "S 2"]:
    """Edges whose two faces lie on different places of the fabric, each once, lower index first."""
    corners = np.where(faces < 0, faces[:, :1], faces)
    flat = np.where((faces < 0)[..., None], uv[:, :1], uv)
    ends = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2)
    place = np.stack([flat, np.roll(flat, -1, axis=1)], axis=2).reshape(-1, 2, 2)
    turned = ends[:, 0] > ends[:, 1]
    ends[turned], place[turned] = ends[turned, ::-1], place[turned, ::-1]
    edges, which, uses = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    low, high = np.full((len(edges), 4), np.inf), np.full((len(edges), 4), -np.inf)
    np.minimum.at(low, which.ravel(), place.reshape(-1, 4))
    np.maximum.at(high, which.ravel(), place.reshape(-1, 4))
    apart = (high - low).max(axis=1) > 1e-4
    return edges[apart & (uses > 1) & (edges[:, 0] != edges[:, 1])]
