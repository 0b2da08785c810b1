"""Checks of a shard's numbers: schema, checksums, cameras, body, joints. A fault is named for its looks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from synth.body.joints import KEYPOINT_SETS, PAIRS
from synth.body.lbs import posed
from synth.errors import SynthError
from synth.geometry.rotations import rotvec_to_rotmat
from synth.labels.keypoints import project_points, rest_pelvis, smpl_in_camera
from synth.shards import read, schema
from synth.shards.read import ShardReader
from synth.shards.why import MIRROR, in_camera, mirror_of, other_pixels, other_points, other_vertices, pixel_error
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["LIMITS", "MEASURES", "Fault", "Findings", "Posed", "pose_again"]

LIMITS = {
    "vertices_mm": 0.1,
    "reprojection_px": 0.05,
    "flow_px": 0.1,
    "depth_mm": 1.0,
    "normal_deg": 2.0,
    "visibility_share": 0.01,
    "part_iou": 0.99,
    "silhouette_iou": 0.99,
    "penetration": 0.01,
}
"""Largest value that passes; for the two IoUs the smallest."""

MEASURES: dict[str, Callable[[Iterable[float]], float]] = {
    "reprojection_px": max,
    "flow_px": max,
    "depth_mm": max,
    "part_iou": min,
    "silhouette_iou": min,
    "penetration": max,
    "normal_deg": max,
    "visibility_share": max,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something wrong in a shard."""

    file: str
    name: str
    """What it looks like, such as "left-right-swapped", "rotation-transposed", "checksum"."""
    field: str
    """The dataset."""
    detail: str


@dataclass(slots=True, kw_only=True)
class Findings:
    """Faults and measures of one shard, collected while it is checked."""

    file: str
    faults: list[Fault] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)

    def fault(self, name: str, where: str, detail: str) -> None:
        """Note a fault, each name and field once."""
        if not any(known.name == name and known.field == where for known in self.faults):
            self.faults.append(Fault(file=self.file, name=name, field=where, detail=detail))

    def measure(self, name: str, value: float) -> None:
        """Note a measured value; the worst one stays."""
        value = float(value)
        self.measures[name] = MEASURES[name]([value, self.measures[name]]) if name in self.measures else value


def check_schema(reader: ShardReader, findings: Findings) -> None:
    """Every dataset of the layout is there, with its type and shape, and nothing else is."""
    wanted = set(schema.expected(reader.layout))
    for name in sorted(wanted):
        try:
            reader.dataset(name)
        except SynthError as error:
            findings.fault("schema", name, error.problem)
    found: list[str] = []
    try:
        reader.file.visit(found.append)
    except (RuntimeError, OSError, KeyError, UnicodeError) as error:
        findings.fault("unreadable", "", f"groups cannot be listed ({error})")
    groups = {path.rsplit("/", n)[0] for path in [*wanted, *schema.CHECKSUMS] for n in range(1, path.count("/") + 1)}
    for name in sorted(set(found) - wanted - groups - set(schema.CHECKSUMS)):
        findings.fault("schema", name, "the schema knows no such name")


def check_checksums(reader: ShardReader, known: Mapping[str, str], findings: Findings) -> None:
    """Every dataset and the attributes agree with the shard's own table; `known`: digests of what was read already."""
    try:
        for sentence in read.checksum_faults(reader, known):
            name, detail = sentence.split(": ", 1)
            findings.fault("checksum", name, detail)
    except SynthError as error:
        findings.fault("unreadable", "checksums", error.problem)


def check_finite(reader: ShardReader, findings: Findings) -> None:
    """No NaN and no infinity, except where the schema allows NaN."""
    for name, wanted in schema.expected(reader.layout).items():
        if np.dtype(wanted.kind.dtype).kind == "f":
            values = reader.clip(name)
            bad = ~np.isfinite(values) if not wanted.kind.nan else np.isinf(values)
            if bad.any():
                findings.fault("not-finite", name, f"{int(bad.sum())} values, first at {np.argwhere(bad)[0].tolist()}")


def check_cameras(reader: ShardReader, findings: Findings) -> Bool[Array, " views"]:
    """Each pose is a rotation (determinant +1) and a translation. Returns which views have sound cameras."""
    sound = np.ones(reader.layout.views, dtype=bool)
    for view in range(reader.layout.views):
        where = f"views/{view}/T_camera_world"
        pose = reader.clip(where)
        rotation = pose[:, :3, :3]
        if (np.linalg.det(rotation) < 0).any():
            findings.fault("mirrored-camera", where, f"det(R) = {np.linalg.det(rotation).min():.3f}")
            sound[view] = False
        elif (
            np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(initial=0) > 1e-6
            or (pose[:, 3] != [0, 0, 0, 1]).any()
        ):
            findings.fault("camera-not-rigid", where, "the pose is not a rotation and a translation")
            sound[view] = False
        K = reader.clip(f"views/{view}/K")
        if (K[[1, 2, 2], [0, 0, 1]] != 0).any() or K[2, 2] != 1 or K[0, 0] <= 0 or K[1, 1] <= 0:
            findings.fault("intrinsics", f"views/{view}/K", "not of the form [[f, s, x], [0, f, y], [0, 0, 1]]")
            sound[view] = False
    return sound


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posed:
    """The body as the stored parameters pose it, world frame."""

    motion: dict[str, Array]
    """betas, global_orient, body_pose, transl."""
    vertices: Float[Array, "T V 3"]
    joints: Float[Array, "T 24 3"]


def pose_again(reader: ShardReader, body: BodyModel) -> Posed:
    """Pose the body with the stored parameters."""
    motion = {name: reader.clip(f"smpl/{name}") for name in ("betas", "global_orient", "body_pose", "transl")}
    vertices, joints = posed(body, **motion)
    return Posed(motion=motion, vertices=vertices, joints=joints)


def check_body(
    reader: ShardReader, body: BodyModel, again: Posed, others: Callable[[], Iterable[BodyModel]], findings: Findings
) -> None:
    """Vertices, joints and keypoints are those that the stored parameters give, and the model's left is left.

    `others` loads the models of other genders, to name a mistake.
    """
    if len(body.v_template) != reader.layout.vertices or not np.array_equal(body.faces, reader.clip("faces")):
        findings.fault("other-body", "faces", "the stored triangles are not the model's")
        return
    if not np.array_equal(body.face_parts, reader.clip("face_parts")):
        findings.fault("other-body", "face_parts", "the stored parts are not the model's")
    rest = body.J_regressor @ body.v_template
    if not all(rest[left, 0] > rest[right, 0] for left, right in PAIRS):
        findings.fault("left-right-swapped", "body_model", "the model's left joints are not on +X at rest")
    poses = [reader.clip(f"views/{view}/T_camera_world") for view in range(reader.layout.views)]
    stored = reader.clip("vertices_world")
    error = np.abs(again.vertices - stored).max() * 1000
    if error > LIMITS["vertices_mm"]:
        tolerance = 1e-3 * LIMITS["vertices_mm"]
        name = other_vertices(body, again.motion, again.vertices, stored, poses, others(), tolerance)
        findings.fault(name, "vertices_world", f"up to {error:.1f} mm from what the stored parameters give")
    _check_points("joints", "joints_world", again.joints, reader, poses, MIRROR, findings)
    for name, matrix in body.keypoint_regressors.items():
        if name in dict(reader.layout.keypoint_sets):
            points = np.einsum("kv,tvc->tkc", matrix, again.vertices, optimize=True)
            mirror = mirror_of(tuple(KEYPOINT_SETS[name].names)) if name in KEYPOINT_SETS else None
            _check_points("keypoints", f"keypoints_world/{name}", points, reader, poses, mirror, findings)


def _check_points(
    name: str,
    where: str,
    wanted: Float[Array, "T N 3"],
    reader: ShardReader,
    poses: list[Float[Array, "T 4 4"]],
    mirror: Array | None,
    findings: Findings,
) -> None:
    stored = reader.clip(where)
    error = np.linalg.norm(wanted - stored, axis=2).max() * 1000
    if error > LIMITS["vertices_mm"]:
        found = other_points(wanted, stored, poses, 1e-3 * LIMITS["vertices_mm"], mirror)
        findings.fault(found or name, where, f"up to {error:.1f} mm from what the stored parameters give")


def check_joints(reader: ShardReader, body: BodyModel, again: Posed, findings: Findings) -> Bool[Array, " views"]:
    """2D joints, joints and SMPL's root in each camera follow from the parameters. Returns which views are sound."""
    sound = np.ones(reader.layout.views, dtype=bool)
    motion, joints = again.motion, again.joints
    pelvis, tolerance = rest_pelvis(body, motion["betas"]), 1e-3 * LIMITS["vertices_mm"]
    cameras = [(reader.clip(f"views/{k}/T_camera_world"), reader.clip(f"views/{k}/K")) for k in range(len(sound))]
    for view, (pose, K) in enumerate(cameras):
        there = in_camera(joints, pose)
        stored = reader.clip(f"views/{view}/keypoints_2d")
        error = pixel_error(project_points(there, K), stored)
        findings.measure("reprojection_px", error)
        if error > LIMITS["reprojection_px"]:
            name, sound[view] = other_pixels(joints, cameras, view, stored, LIMITS["reprojection_px"])
            findings.fault(name, f"views/{view}/keypoints_2d", f"up to {error:.2f} px from the projected joints")
        elif (moved := np.abs(there - reader.clip(f"views/{view}/joints_camera")).max()) > tolerance:
            others = [in_camera(joints, other) for k, (other, _) in enumerate(cameras) if k != view]
            name = _why_other_joints(there, joints, others, reader.clip(f"views/{view}/joints_camera"))
            findings.fault(name, f"views/{view}/joints_camera", f"up to {moved * 1000:.1f} mm from the parameters'")
        orient, transl = smpl_in_camera(motion["global_orient"], motion["transl"], pelvis, pose)
        turned = rotvec_to_rotmat(orient) - rotvec_to_rotmat(reader.clip(f"views/{view}/smpl_camera/global_orient"))
        moved = np.abs(transl - reader.clip(f"views/{view}/smpl_camera/transl")).max()
        if np.abs(turned).max() > 1e-6 or moved > tolerance:
            detail = f"rotation off by {np.abs(turned).max():.2g}, translation by {moved * 1000:.1f} mm (pelvis term?)"
            findings.fault("smpl-camera", f"views/{view}/smpl_camera", detail)
    return sound


def _why_other_joints(
    wanted: Float[Array, "T 24 3"],
    world: Float[Array, "T 24 3"],
    elsewhere: list[Float[Array, "T 24 3"]],
    stored: Float[Array, "T 24 3"],
) -> str:
    """Name what is wrong with joints in a camera's frame: the world's frame, another camera's, or what points may."""
    tolerance = 1e-3 * LIMITS["vertices_mm"]
    if np.abs(world - stored).max() <= tolerance:
        return "frame-of-world"
    if any(np.abs(there - stored).max() <= tolerance for there in elsewhere):
        return "views-swapped"
    return other_points(wanted, stored, [], tolerance, MIRROR) or "joints"
