"""Checks of a shard's numbers: schema, checksums, cameras, body, joints, cloth. A fault is named for its looks."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from synth.body.joints import PAIRS
from synth.body.lbs import posed
from synth.errors import SynthError
from synth.geometry.rotations import rotvec_to_rotmat
from synth.geometry.triangles import ClosestPoint
from synth.labels.keypoints import project_points, rest_pelvis, smpl_in_camera
from synth.shards import read, schema
from synth.shards.read import ShardReader
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

_MEASURED_AGAIN = 3

MIRROR = np.arange(24)
MIRROR[[left for left, _ in PAIRS]], MIRROR[[right for _, right in PAIRS]] = (
    [right for _, right in PAIRS],
    [left for left, _ in PAIRS],
)
"""Joint on the other side of the body; itself for the spine's."""


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
            values = reader.dataset(name)[()]
            bad = ~np.isfinite(values) if not wanted.kind.nan else np.isinf(values)
            if bad.any():
                findings.fault("not-finite", name, f"{int(bad.sum())} values, first at {np.argwhere(bad)[0].tolist()}")


def check_spec(reader: ShardReader, findings: Findings) -> None:
    """The spec's digest is the clip's id, and it has the stored shape, rate and length."""
    text = reader.attributes["spec"]
    if hashlib.sha256(text.encode()).hexdigest()[:16] != reader.attributes["clip_id"]:
        findings.fault("clip-id", "clip_id", "not the digest of the spec")
    try:
        spec = json.loads(text)
        betas, motion = np.asarray(spec["body"]["betas"], dtype=np.float64), spec["motion"]
        same = motion["fps"] == reader.attributes["fps"] and motion["count"] == reader.layout.frames
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        findings.fault("spec", "spec", f"not a clip's spec ({error})")
        return
    if not np.array_equal(betas, reader.clip("smpl/betas")):
        findings.fault("other-betas", "spec", "the spec's betas are not the stored ones")
    if not same:
        findings.fault("spec", "spec", f"the spec has {motion['count']} frames at {motion['fps']} Hz")


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


def check_body(reader: ShardReader, body: BodyModel, again: Posed, findings: Findings) -> None:
    """Vertices and joints are those that the stored parameters give, and the model's left is left."""
    if len(body.v_template) != reader.layout.vertices or not np.array_equal(body.faces, reader.clip("faces")):
        findings.fault("other-body", "faces", "the stored triangles are not the model's")
        return
    if not np.array_equal(body.face_parts, reader.clip("face_parts")):
        findings.fault("other-body", "face_parts", "the stored parts are not the model's")
    rest = body.J_regressor @ body.v_template
    if not all(rest[left, 0] > rest[right, 0] for left, right in PAIRS):
        findings.fault("left-right-swapped", "body_model", "the model's left joints are not on +X at rest")
    motion, vertices, joints = again.motion, again.vertices, again.joints
    stored_vertices, stored_joints = reader.clip("vertices_world"), reader.clip("joints_world")
    error = np.abs(vertices - stored_vertices).max(axis=(1, 2)) * 1000
    if error.max() > LIMITS["vertices_mm"]:
        name = _why_other_vertices(body, motion, vertices, stored_vertices)
        findings.fault(name, "vertices_world", f"up to {error.max():.1f} mm from what the stored parameters give")
    error = np.linalg.norm(joints - stored_joints, axis=2).max() * 1000
    if error > LIMITS["vertices_mm"]:
        mirrored = np.linalg.norm(joints - stored_joints[:, MIRROR], axis=2).max() * 1000 <= LIMITS["vertices_mm"]
        name = "left-right-swapped" if mirrored else "joints"
        findings.fault(name, "joints_world", f"up to {error:.1f} mm from what the stored parameters give")
    for name, matrix in body.keypoint_regressors.items():
        if name in dict(reader.layout.keypoint_sets):
            points = np.einsum("kv,tvc->tkc", matrix, vertices, optimize=True)
            error = np.linalg.norm(points - reader.clip(f"keypoints_world/{name}"), axis=2).max() * 1000
            if error > LIMITS["vertices_mm"]:
                findings.fault("keypoints", f"keypoints_world/{name}", f"up to {error:.1f} mm off")


def _why_other_vertices(
    body: BodyModel, motion: dict[str, Array], vertices: Float[Array, "T V 3"], stored: Float[Array, "T V 3"]
) -> str:
    """Name the difference between computed and stored vertices: other betas, frames out of step, or neither."""
    tolerance = 1e-3 * LIMITS["vertices_mm"]
    for shift in (1, -1, 2, -2):
        a, b = (vertices[shift:], stored[:-shift]) if shift > 0 else (vertices[:shift], stored[-shift:])
        if len(a) > 1 and (np.abs(a - b).max(axis=(1, 2)) < tolerance).mean() > 0.5:
            return "frames-out-of-step"
    same = np.abs(vertices - stored).max(axis=(1, 2)) < tolerance
    if 0.5 < same.mean() < 1:
        return "frames-out-of-step"
    if not same.any() and np.abs(_fitted_shape(body, motion, stored[:1]) - stored[:1]).max() < tolerance:
        return "wrong-betas"
    return "vertices"


def _fitted_shape(body: BodyModel, motion: dict[str, Array], stored: Float[Array, "1 V 3"]) -> Float[Array, "1 V 3"]:
    """Vertices of the shape that comes closest to the stored ones in the first frame, posed alike (linear in betas)."""
    pose = {name: motion[name][:1] for name in ("global_orient", "body_pose", "transl")}
    count = len(motion["betas"])
    base = posed(body, np.zeros(count), **pose)[0]
    columns = [(posed(body, row, **pose)[0] - base).ravel() for row in np.eye(count)]
    betas = np.linalg.lstsq(np.stack(columns, axis=1), (stored - base).ravel(), rcond=None)[0]
    return posed(body, betas, **pose)[0]


def check_joints(reader: ShardReader, body: BodyModel, again: Posed, findings: Findings) -> Bool[Array, " views"]:
    """2D joints, joints and SMPL's root in each camera follow from the parameters. Returns which views are sound."""
    sound = np.ones(reader.layout.views, dtype=bool)
    motion, joints = again.motion, again.joints
    pelvis = rest_pelvis(body, motion["betas"])
    cameras = [(reader.clip(f"views/{k}/T_camera_world"), reader.clip(f"views/{k}/K")) for k in range(len(sound))]
    for view, (pose, K) in enumerate(cameras):
        there = _in_camera(joints, pose)
        stored = reader.clip(f"views/{view}/keypoints_2d")
        error = _pixel_error(project_points(there, K), stored)
        findings.measure("reprojection_px", error)
        if error > LIMITS["reprojection_px"]:
            name, sound[view] = _why_other_pixels(joints, cameras, view, stored)
            findings.fault(name, f"views/{view}/keypoints_2d", f"up to {error:.2f} px from the projected joints")
        elif np.abs(there - reader.clip(f"views/{view}/joints_camera")).max() > 1e-3 * LIMITS["vertices_mm"]:
            findings.fault("joints", f"views/{view}/joints_camera", "not the joints of the parameters")
        orient, transl = smpl_in_camera(motion["global_orient"], motion["transl"], pelvis, pose)
        turned = rotvec_to_rotmat(orient) - rotvec_to_rotmat(reader.clip(f"views/{view}/smpl_camera/global_orient"))
        moved = np.abs(transl - reader.clip(f"views/{view}/smpl_camera/transl")).max()
        if np.abs(turned).max() > 1e-6 or moved > 1e-3 * LIMITS["vertices_mm"]:
            detail = f"rotation off by {np.abs(turned).max():.2g}, translation by {moved * 1000:.1f} mm (pelvis term?)"
            findings.fault("smpl-camera", f"views/{view}/smpl_camera", detail)
    return sound


def _in_camera(points: Float[Array, "T N 3"], pose: Float[Array, "T 4 4"]) -> Float[Array, "T N 3"]:
    return np.einsum("tij,tnj->tni", pose[:, :3, :3], points) + pose[:, None, :3, 3]


def _pixel_error(wanted: Float[Array, "T N 2"], stored: Float[Array, "T N 2"]) -> float:
    """Largest distance [px]; infinite where only one of the two is NaN."""
    gap = np.linalg.norm(wanted - stored, axis=-1)
    one_sided = np.isnan(wanted).any(axis=-1) != np.isnan(stored).any(axis=-1)
    return float(np.max(np.where(one_sided, np.inf, np.nan_to_num(gap)), initial=0.0))


def _why_other_pixels(
    joints: Float[Array, "T 24 3"],
    cameras: list[tuple[Float[Array, "T 4 4"], Float[Array, "3 3"]]],
    view: int,
    stored: Float[Array, "T 24 2"],
) -> tuple[str, bool]:
    """Name the difference between projected and stored joints, and say whether the camera can still be trusted."""
    limit = LIMITS["reprojection_px"]
    pose, K = cameras[view]
    wanted = project_points(_in_camera(joints, pose), K)
    if _pixel_error(wanted[:, MIRROR], stored) < limit:
        return "left-right-swapped", True
    offset = np.nanmedian(stored - wanted, axis=(0, 1))
    if np.abs(offset).max() < 1.5 and _pixel_error(wanted + offset, stored) < limit:
        return "half-pixel-shift" if np.isclose(np.abs(offset), 0.5, atol=0.05).any() else "pixel-shift", True
    transposed = pose.copy()
    transposed[:, :3, :3] = pose[:, :3, :3].transpose(0, 2, 1)
    if _pixel_error(project_points(_in_camera(joints, transposed), K), stored) < limit:
        return "rotation-transposed", False
    for other, (other_pose, other_K) in enumerate(cameras):
        if other != view and _pixel_error(project_points(_in_camera(joints, other_pose), other_K), stored) < limit:
            return "views-swapped", False
    if _out_of_step(joints, pose, K, stored):
        return "frames-out-of-step", True
    return "reprojection", True


def _out_of_step(
    joints: Float[Array, "T 24 3"], pose: Float[Array, "T 4 4"], K: Float[Array, "3 3"], stored: Float[Array, "T 24 2"]
) -> bool:
    """Whether the stored joints, where they differ, are a neighbouring frame's, or seen by the camera of one."""
    frames = np.arange(len(joints))
    for shift in (1, -1):
        other = np.clip(frames + shift, 0, len(joints) - 1)
        for there in (_in_camera(joints[other], pose[other]), _in_camera(joints, pose[other])):
            errors = [
                np.nan_to_num(np.linalg.norm(project_points(points, K) - stored, axis=-1)).max(axis=1)
                for points in (_in_camera(joints, pose), there)
            ]
            here, beside = (error < LIMITS["reprojection_px"] for error in errors)
            if (beside & ~here).any() and (here | beside).mean() > 0.5 and (here | beside)[~here].mean() > 0.5:
                return True
    return False


def check_quality(reader: ShardReader, findings: Findings) -> None:
    """Garments keep to the quality gate: at most 1 % of the vertices inside the body on average.

    The stored measure is taken for all frames; in a few of them it is measured again on the stored meshes.
    """
    frames = np.unique(np.linspace(0, reader.layout.frames - 1, _MEASURED_AGAIN).astype(int))
    skins = (
        []
        if not reader.layout.garments
        else [ClosestPoint(reader.clip("vertices_world", t, 1)[0], reader.clip("faces")) for t in frames.tolist()]
    )
    for name, _, _ in reader.layout.garments:
        where = f"quality/{name}/penetration"
        stored = reader.clip(where)
        cloth = [reader.clip(f"garments/{name}/vertices_world", t, 1)[0] for t in frames.tolist()]
        again = np.array([(skin(points).distance < -0.001).mean() for skin, points in zip(skins, cloth, strict=True)])
        findings.measure("penetration", stored.mean())
        if stored.mean() > LIMITS["penetration"]:
            findings.fault("penetration", where, f"{stored.mean():.2%} of the vertices are inside the body")
        elif (off := np.abs(again - stored[frames]).max()) > LIMITS["penetration"]:
            findings.fault("penetration", where, f"differs by {off:.2%} from what the stored meshes show")
    spec = json.loads(reader.attributes["spec"])
    outfit = [garment["name"] for garment in [*spec.get("outfit", []), *spec.get("items", [])]]
    if outfit != [name for name, _, _ in reader.layout.garments]:
        findings.fault("outfit", "layout", f"the spec wears {outfit}")
