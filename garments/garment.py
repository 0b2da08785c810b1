"""What a garment is: a mesh around the reference body, its pins and its fabric; read from and written to a folder."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

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
    """Kind of garment: "upper", "lower" or "full"."""
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

    def __post_init__(self) -> None:
        count = len(self.vertices)
        if self.faces.shape[1] != 4 or self.faces.max() >= count or self.faces[:, :3].min() < 0:
            raise ValueError(f"garment {self.name}: faces point outside its {count} vertices")
        for field, shape in (("pins", (count,)), ("goals", (count,)), ("uv", (len(self.faces), 4, 2))):
            if getattr(self, field).shape != shape:
                raise ValueError(f"garment {self.name}: {field}: expected {shape}, got {getattr(self, field).shape}")
        for field in ("vertices", "faces", "uv", "pins", "goals"):
            view = getattr(self, field).view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

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
