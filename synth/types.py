"""The arrays that flow through the pipeline. T frames, V vertices, F faces, J joints, B shape components.

Every dataclass is frozen; arrays are stored as read-only views. Coordinates carry their frame in the name: `_world` is
right-handed, Z up, metres; `_camera` is OpenCV's (x right, y down, z forward). A body model's own rest frame is SMPL's:
Y up, facing +Z, the left hand on +X.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from garments.garment import Garment

__all__ = [
    "BodyModel",
    "Camera",
    "DressedGarment",
    "FrameLabels",
    "Garment",
    "Motion",
    "Passes",
    "Quality",
    "SimulatedClip",
]

Array = np.ndarray


def _read_only(instance: object) -> None:
    """Replace each array field (also inside a mapping) by a read-only view."""

    def view(value: object) -> object:
        if isinstance(value, np.ndarray):
            value = value.view()
            value.flags.writeable = False
        elif isinstance(value, Mapping):
            value = {key: view(item) for key, item in value.items()}
        return value

    for spec in fields(instance):  # pyright: ignore[reportArgumentType]
        object.__setattr__(instance, spec.name, view(getattr(instance, spec.name)))


def _expect(name: str, array: np.ndarray, *shape: int | None) -> None:
    """Raise ValueError unless the array has this shape (None: any length)."""
    if array.ndim != len(shape) or any(
        want is not None and want != got for want, got in zip(shape, array.shape, strict=True)
    ):
        wanted = ", ".join("*" if n is None else str(n) for n in shape)
        raise ValueError(f"{name}: expected ({wanted}), got {array.shape}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """A motion of the SMPL skeleton in the world frame (AMASS's convention: Z up).

    `transl` is SMPL's: the pelvis is at `transl + J0(betas)`, J0 being the rest position of the pelvis.
    """

    fps: float
    """Frame rate [Hz]."""
    global_orient: Float[Array, "T 3"]
    """Rotation of the root, axis-angle [rad]."""
    body_pose: Float[Array, "T 23 3"]
    """Rotations of joints 1-23 relative to their parents, axis-angle [rad]."""
    transl: Float[Array, "T 3"]
    """Translation [m]."""
    source: str
    """Where it came from, such as "cmu/01/01_01"."""
    source_frames: Float[Array, " T"]
    """Frame numbers in the source, fractional after resampling, NaN for a frame that is made, not captured."""

    def __post_init__(self) -> None:
        frames = len(self.global_orient)
        _expect("global_orient", self.global_orient, frames, 3)
        _expect("body_pose", self.body_pose, frames, 23, 3)
        _expect("transl", self.transl, frames, 3)
        _expect("source_frames", self.source_frames, frames)
        if not self.fps > 0:
            raise ValueError(f"fps: expected a positive rate, got {self.fps}")
        _read_only(self)

    def __len__(self) -> int:
        return len(self.global_orient)

    @property
    def full_pose(self) -> Float[Array, "T 24 3"]:
        """Root and body rotations together, axis-angle [rad]."""
        return np.concatenate([self.global_orient[:, None], self.body_pose], axis=1)

    def frames(self, start: int, stop: int) -> "Motion":
        """Cut out the frames [start, stop)."""
        cut = slice(start, stop)
        return Motion(
            fps=self.fps,
            global_orient=self.global_orient[cut],
            body_pose=self.body_pose[cut],
            transl=self.transl[cut],
            source=self.source,
            source_frames=self.source_frames[cut],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BodyModel:
    """A body in SMPL's format (Loper et al. 2015), free or licensed; rest frame Y up, T-pose, metres."""

    name: str
    """Name of the model family, such as "free" or "smpl"."""
    gender: str
    """"neutral", "male" or "female"."""
    v_template: Float[Array, "V 3"]
    shapedirs: Float[Array, "V 3 B"]
    posedirs: Float[Array, "V 3 207"]
    """Pose blend shapes; feature k is element k of (R - I) of joints 1-23, row major."""
    J_regressor: Float[Array, "24 V"]
    lbs_weights: Float[Array, "V 24"]
    parents: Int[Array, " 24"]
    """Parent of each joint, -1 for the root."""
    faces: Int[Array, "F 3"]
    """Triangles, counter-clockwise seen from outside."""
    uv: Float[Array, "F 3 2"]
    """Texture coordinates of each face corner, in [0, 1]; zeros where the model has none."""
    sha256: str
    """Digest of the file it was loaded from."""
    keypoint_regressors: Mapping[str, Float[Array, "K V"]] = field(default_factory=dict)
    """Extra joint sets ("coco17", "openpose25", "h36m17", "lsp14"): rows sum to 1, applied to posed vertices."""

    def __post_init__(self) -> None:
        vertices = len(self.v_template)
        _expect("v_template", self.v_template, None, 3)
        _expect("shapedirs", self.shapedirs, vertices, 3, None)
        _expect("posedirs", self.posedirs, vertices, 3, 207)
        _expect("J_regressor", self.J_regressor, 24, vertices)
        _expect("lbs_weights", self.lbs_weights, vertices, 24)
        _expect("parents", self.parents, 24)
        _expect("faces", self.faces, None, 3)
        _expect("uv", self.uv, len(self.faces), 3, 2)
        _read_only(self)

    @property
    def vertex_parts(self) -> UInt8[Array, " V"]:
        """Body part (1-24) of each vertex: the joint that holds most of its skin weight, plus 1."""
        return (np.argmax(self.lbs_weights, axis=1) + 1).astype(np.uint8)

    @property
    def face_parts(self) -> UInt8[Array, " F"]:
        """Body part (1-24) of each face: the joint that holds most of its three corners' skin weight, plus 1."""
        return (np.argmax(self.lbs_weights[self.faces].sum(axis=1), axis=1) + 1).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DressedGarment:
    """A garment fitted to one body, with its motion as skinned cloth, ready to be simulated or rendered."""

    garment: Garment
    rest_vertices: Float[Array, "Vg 3"]
    """Fitted vertices around the body in the lead-in's rest pose (A-pose), SMPL's frame [m]."""
    lbs_weights: Float[Array, "Vg 24"]
    """Skin weights carried over from the body beneath."""
    skinned_world: Float[Array, "S Vg 3"]
    """Position of each vertex if the garment only followed the body, over all S simulated frames [m]."""

    def __post_init__(self) -> None:
        count = len(self.garment.vertices)
        _expect("rest_vertices", self.rest_vertices, count, 3)
        _expect("lbs_weights", self.lbs_weights, count, 24)
        _expect("skinned_world", self.skinned_world, None, count, 3)
        _read_only(self)

    @property
    def face_parts(self) -> UInt8[Array, " Fg"]:
        """Body part (1-24) beneath each face."""
        corners = np.where(self.garment.faces < 0, self.garment.faces[:, :1], self.garment.faces)
        return (np.argmax(self.lbs_weights[corners].sum(axis=1), axis=1) + 1).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quality:
    """What the quality gate measured on one garment, per rendered frame, and its verdict."""

    penetration: Float[Array, " T"]
    """Share of the garment's vertices more than 1 mm inside the body, outside of any second limb."""
    deep_penetration: Float[Array, " T"]
    """Share of the garment's vertices more than 5 mm inside the body."""
    depth: Float[Array, " T"]
    """How far the deepest vertex is inside the body [m]."""
    poke_through: Float[Array, " T"]
    """Share of the covered body's vertices that stand in front of the garment."""
    strain: Float[Array, " T"]
    """Mean absolute edge strain against the fitted garment."""
    strain_99: Float[Array, " T"]
    """What 99 % of the edges stay below."""
    strain_max: Float[Array, " T"]
    stretch_energy: Float[Array, " T"]
    """Mean over the edges of half the fabric's stiffness times the strain squared [J/m2]."""
    stretched: Float[Array, " T"]
    """Share of the edges that are a fifth too long."""
    crumpled: Float[Array, " T"]
    """Share of the edges across which the cloth doubles back."""
    itself: Float[Array, " T"]
    """Share of the edges that pass through the garment itself."""
    layers: Float[Array, " T"]
    """Share of the edges that pass through the garment beneath."""
    coverage: Float[Array, " T"]
    """Share of the body covered at rest that still is."""
    slipped: Float[Array, " T"]
    """Share of the garment's vertices over a part of the body that is neither their own nor next to it."""
    drift: Float[Array, " T"]
    """Distance of the garment's centroid from where skinning puts it [m]."""
    speed_ratio: Float[Array, " T"]
    """Fastest garment vertex over fastest body vertex."""
    reasons: tuple[str, ...]
    """Why it is rejected; empty if it is accepted."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            if spec.name != "reasons":
                _expect(spec.name, getattr(self, spec.name), len(self.penetration))
        _read_only(self)

    @property
    def accepted(self) -> bool:
        """True if nothing speaks against rendering the clip."""
        return not self.reasons


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedClip:
    """A dressed body in motion: the T frames that are rendered (the lead-in is gone), world frame, metres."""

    betas: Float[Array, " B"]
    motion: Motion
    body_vertices_world: Float[Array, "T V 3"]
    joints_world: Float[Array, "T 24 3"]
    garments: tuple[DressedGarment, ...]
    """From the innermost layer to the outermost; empty for a bare body."""
    garment_vertices_world: Mapping[str, Float[Array, "T Vg 3"]]
    quality: Mapping[str, Quality]
    """By garment name."""
    solvers: Mapping[str, str] = field(default_factory=dict)
    """What moved each garment: "cloth", "softbody" or "skinned"."""
    tries: int = 1
    """Simulations until the quality gate let the clip pass."""

    def __post_init__(self) -> None:
        frames = len(self.motion)
        _expect("body_vertices_world", self.body_vertices_world, frames, None, 3)
        _expect("joints_world", self.joints_world, frames, 24, 3)
        for name, vertices in self.garment_vertices_world.items():
            _expect(f"garment_vertices_world[{name!r}]", vertices, frames, None, 3)
        _read_only(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Camera:
    """A pinhole camera over T frames; pixel (0, 0) has its centre at (0.5, 0.5)."""

    K: Float[Array, "3 3"]
    """Intrinsics [px]."""
    T_camera_world: Float[Array, "T 4 4"]
    """x_camera = T_camera_world @ x_world; rotation part with determinant +1."""
    width: int
    """[px]"""
    height: int
    """[px]"""

    def __post_init__(self) -> None:
        _expect("K", self.K, 3, 3)
        _expect("T_camera_world", self.T_camera_world, None, 4, 4)
        if not np.allclose(np.linalg.det(self.T_camera_world[:, :3, :3]), 1.0, atol=1e-6):
            raise ValueError("T_camera_world: the rotation's determinant is not +1: the picture would be mirrored")
        _read_only(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passes:
    """What the renderer returns for one frame of one view, whole image, background included."""

    rgb: UInt8[Array, "H W 3"]
    alpha: Float[Array, "H W"]
    """Share of the pixel that the person covers."""
    depth: Float[Array, "H W"]
    """Planar depth [m] at the pixel's centre, 0 where there is no surface."""
    normal: Float[Array, "H W 3"]
    """Unit normal in the camera's frame, facing the camera (z < 0), 0 where there is no surface."""
    flow: Float[Array, "H W 2"]
    """Forward flow t -> t+1 (dx, dy) [px], image axes (y down); 0 where there is no surface."""
    parts: UInt8[Array, "H W"]
    """Body part (1-24) seen, under cloth the part beneath it; 0 for the background."""
    garments: UInt8[Array, "H W"]
    """1 + index of the garment in `SimulatedClip.garments`; 0 for skin and background."""

    def __post_init__(self) -> None:
        height, width = self.depth.shape
        _expect("rgb", self.rgb, height, width, 3)
        _expect("normal", self.normal, height, width, 3)
        _expect("flow", self.flow, height, width, 2)
        for name in ("alpha", "parts", "garments"):
            _expect(name, getattr(self, name), height, width)
        _read_only(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameLabels:
    """The labels of one frame of one view that follow from geometry and passes together."""

    keypoints_2d: Float[Array, "24 2"]
    """SMPL joints [px], never rounded, also outside the frame."""
    joints_camera: Float[Array, "24 3"]
    """[m]"""
    visibility: UInt8[Array, " 24"]
    """A `synth.labels.visibility.Visibility` for each joint."""
    bbox: Float[Array, " 4"]
    """x0, y0, x1, y1 of the person's visible pixels [px]; NaN if there are none."""
    person: Bool[Array, "H W"]
    """Pixels whose centre the person covers."""

    def __post_init__(self) -> None:
        _expect("keypoints_2d", self.keypoints_2d, 24, 2)
        _expect("joints_camera", self.joints_camera, 24, 3)
        _expect("visibility", self.visibility, 24)
        _expect("bbox", self.bbox, 4)
        _read_only(self)
