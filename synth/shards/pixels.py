"""Checks of a shard's pixels: the stored meshes are drawn again and compared with every label map and the picture."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from synth.errors import SynthError
from synth.geometry.triangles import rasterize
from synth.labels.keypoints import project_points, to_camera
from synth.shards.checks import LIMITS, MIRROR, Findings
from synth.shards.read import ShardReader
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["check_pixels"]

_FLOWS = {
    "flow-sign": np.array([-1.0, -1.0]),
    "flow-y-flipped": np.array([1.0, -1.0]),
    "flow-x-flipped": np.array([-1.0, 1.0]),
}
_EDGE = 8
"""Pixels that one frame may differ by whatever its size: triangles seen edge-on round differently."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """Body and garments of the clip as one mesh."""

    vertices_world: Float[Array, "T V 3"]
    faces: Int[Array, "F 3"]
    face_parts: UInt8[Array, " F"]
    face_garments: UInt8[Array, " F"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """What the meshes look like in one frame: the person's N pixels, by their index in the picture."""

    mask: Bool[Array, "H W"]
    pixel: Int[Array, " N"]
    depth: Float[Array, " N"]
    flow: Float[Array, "N 2"]
    part: UInt8[Array, " N"]
    garment: UInt8[Array, " N"]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What is collected over the frames of one view."""

    depth_mm: list[float] = field(default_factory=list)
    """Median error of each frame."""
    flow_px: list[float] = field(default_factory=list)
    """Median error of each frame on the body's visible skin."""
    flow_if: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """The same under each hypothesis of `_FLOWS`."""
    part_counts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Pixels that agree, by hypothesis; "all": pixels of the union."""
    garment_counts: list[tuple[int, int]] = field(default_factory=list)
    wanted: list[Bool[Array, "H W"]] = field(default_factory=list)
    """Masks of the drawn person."""
    stored: list[Bool[Array, "H W"]] = field(default_factory=list)
    """Masks of the stored labels."""
    ray: Float[Array, " 2"] = field(default_factory=lambda: np.zeros(2))
    """Sums for the slope of the depth error against (ray length - planar depth)."""
    flow_sums: Float[Array, "2 2"] = field(default_factory=lambda: np.zeros((2, 2)))
    """Sums for the slope of stored against drawn flow, for x and y."""


def check_pixels(reader: ShardReader, body: BodyModel, sound: Bool[Array, " views"], findings: Findings) -> None:
    """Compare label maps and pictures with the stored meshes, in every view whose camera is sound."""
    scene = _scene(reader, body)
    tallies: dict[int, Tally] = {}
    for view in np.flatnonzero(sound).tolist():
        try:
            tallies[view] = _tally(reader, scene, view)
        except SynthError as error:
            findings.fault("unreadable", f"views/{view}", error.problem)
    for view, tally in tallies.items():
        good = _judge_masks(reader, scene, view, tallies, findings)
        _judge_maps(view, tally, good, findings)
        _check_flow_valid(reader, view, findings)
    _check_pictures(reader, tallies, findings)


def _scene(reader: ShardReader, body: BodyModel) -> Scene:
    vertices, faces = [reader.clip("vertices_world").astype(np.float64)], [body.faces]
    parts, garments, count = [body.face_parts], [np.zeros(len(body.faces), np.uint8)], len(body.v_template)
    for index, (name, _, _) in enumerate(reader.layout.garments):
        quads = reader.clip(f"garments/{name}/faces").astype(np.int64)
        part = reader.clip(f"garments/{name}/face_parts")
        four = quads[:, 3] >= 0
        triangles = np.concatenate([quads[:, :3], quads[four][:, [0, 2, 3]]])
        faces.append(triangles + count)
        parts.append(np.concatenate([part, part[four]]))
        garments.append(np.full(len(triangles), index + 1, dtype=np.uint8))
        vertices.append(reader.clip(f"garments/{name}/vertices_world").astype(np.float64))
        count += vertices[-1].shape[1]
    return Scene(
        vertices_world=np.concatenate(vertices, axis=1),
        faces=np.concatenate(faces),
        face_parts=np.concatenate(parts),
        face_garments=np.concatenate(garments),
    )


def _draw(scene: Scene, pose: Float[Array, "T 4 4"], K: Float[Array, "3 3"], t: int, width: int, height: int) -> Drawn:
    """Draw frame t; flow is where the surface point of each pixel's centre goes in the next frame."""
    after = min(t + 1, len(pose) - 1)
    vertices = to_camera(scene.vertices_world[t], pose[t])
    kept = _may_be_seen(scene, vertices, K)
    depth, face, weights = rasterize(vertices, scene.faces[kept], K, width, height)
    mask = face >= 0
    row, column = np.nonzero(mask)
    seen, weights = kept[face[mask]], weights[mask]
    corners = scene.vertices_world[after][scene.faces[seen]]
    moved = to_camera(np.einsum("nk,nkc->nc", weights, corners), pose[after])
    return Drawn(
        mask=mask,
        pixel=row * width + column,
        depth=depth[mask],
        flow=project_points(moved, K) - np.stack([column + 0.5, row + 0.5], axis=1),
        part=scene.face_parts[seen],
        garment=scene.face_garments[seen],
    )


def _may_be_seen(scene: Scene, vertices: Float[Array, "V 3"], K: Float[Array, "3 3"]) -> Int[Array, " N"]:
    """Faces whose box in the picture holds a pixel's centre, without the backs of the body, which is closed.

    Most triangles of a person are smaller than a pixel; leaving them out first makes drawing about twice as fast.
    """
    x, y = project_points(vertices, K).T - 0.5
    (ax, bx, cx), (ay, by, cy) = ([column[scene.faces[:, i]] for i in range(3)] for column in (x, y))
    holds = np.ceil(np.minimum(np.minimum(ax, bx), cx) - 1e-6) <= np.maximum(np.maximum(ax, bx), cx) + 1e-6
    holds &= np.ceil(np.minimum(np.minimum(ay, by), cy) - 1e-6) <= np.maximum(np.maximum(ay, by), cy) + 1e-6
    facing = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) <= 1e-9  # y is down: outside is clockwise
    return np.flatnonzero(holds & (facing | (scene.face_garments > 0)))


def _tally(reader: ShardReader, scene: Scene, view: int) -> Tally:
    layout, tally = reader.layout, Tally()
    pose, K = reader.clip(f"views/{view}/T_camera_world"), reader.clip(f"views/{view}/K")
    y, x = np.mgrid[: layout.height, : layout.width].reshape(2, -1) + 0.5
    ray = np.linalg.norm(np.stack([x, y, np.ones_like(x)], axis=1) @ np.linalg.inv(K).T, axis=1)
    for t in range(layout.frames):
        drawn = _draw(scene, pose, K, t, layout.width, layout.height)
        maps = reader.frame(view, t, ("depth", "flow", "parts", "garments"))
        mask = maps["depth"] > 0
        tally.wanted.append(drawn.mask)
        tally.stored.append(mask)
        both = mask.ravel()[drawn.pixel]
        where = drawn.pixel[both]
        _add_depth(tally, maps["depth"].ravel()[where], drawn.depth[both], ray[where])
        garment = maps["garments"].ravel()[where]
        tally.garment_counts.append((int((garment == drawn.garment[both]).sum()), int((drawn.mask | mask).sum())))
        skin = (garment == 0) & (drawn.garment[both] == 0)
        _add_parts(tally, maps, drawn)
        if t + 1 < layout.frames:
            _add_flow(tally, maps["flow"].reshape(-1, 2)[where][skin], drawn.flow[both][skin])
    return tally


def _add_depth(tally: Tally, stored: Float[Array, " N"], wanted: Float[Array, " N"], ray: Float[Array, " N"]) -> None:
    if len(stored) == 0:
        return
    error = stored - wanted
    tally.depth_mm.append(float(np.median(np.abs(error))) * 1000)
    close = np.abs(error) < 0.1
    lever = ((ray - 1) * wanted)[close]
    lever, error = lever - lever.mean() if len(lever) else lever, error[close]
    tally.ray += [lever @ error, lever @ lever]


def _add_flow(tally: Tally, stored: Float[Array, "N 2"], wanted: Float[Array, "N 2"]) -> None:
    if len(stored) == 0:
        return
    tally.flow_px.append(float(np.median(np.linalg.norm(stored - wanted, axis=1))))
    for name, sign in _FLOWS.items():
        tally.flow_if[name].append(float(np.median(np.linalg.norm(stored - wanted * sign, axis=1))))
    tally.flow_sums += [(stored * wanted).sum(axis=0), (wanted * wanted).sum(axis=0)]


def _add_parts(tally: Tally, maps: dict[str, Array], drawn: Drawn) -> None:
    """Count agreeing parts on bare skin: where neither the stored nor the drawn garments map shows cloth."""
    stored = maps["parts"].ravel()
    cloth = maps["garments"].ravel() > 0
    cloth[drawn.pixel[drawn.garment > 0]] = True
    keep = ~cloth[drawn.pixel]
    wanted, there = drawn.part[keep], stored[drawn.pixel[keep]]
    mirror = np.concatenate([[0], MIRROR + 1]).astype(np.uint8)
    extra = int((stored[~cloth & ~drawn.mask.ravel()] > 0).sum())
    tally.part_counts["all"].append(len(wanted) + extra)
    tally.part_counts[""].append(int((there == wanted).sum()))
    tally.part_counts["left-right-swapped"].append(int((there == mirror[wanted]).sum()))
    for name, step in (("parts-off-by-one", 1), ("parts-off-by-one-down", -1)):
        tally.part_counts[name].append(int((there.astype(int) == wanted.astype(int) + step).sum()))


def _overlap(a: Bool[Array, "H W"], b: Bool[Array, "H W"]) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def _differs(a: Bool[Array, "H W"], b: Bool[Array, "H W"]) -> bool:
    return int((a ^ b).sum()) > max(_EDGE, 2 * (1 - LIMITS["silhouette_iou"]) * int((a | b).sum()))


def _judge_masks(reader: ShardReader, scene: Scene, view: int, tallies: dict[int, Tally], findings: Findings) -> bool:
    """Silhouettes agree in the whole view and in each frame. Returns whether the maps below may be judged."""
    tally = tallies[view]
    inside = sum(int((a & b).sum()) for a, b in zip(tally.wanted, tally.stored, strict=True))
    union = sum(int((a | b).sum()) for a, b in zip(tally.wanted, tally.stored, strict=True))
    iou = inside / union if union else 1.0
    findings.measure("silhouette_iou", iou)
    bad = [t for t, (a, b) in enumerate(zip(tally.wanted, tally.stored, strict=True)) if _differs(a, b)]
    if not bad and iou >= LIMITS["silhouette_iou"]:
        return True
    name = _why_other_masks(reader, scene, view, tallies, bad or list(range(len(tally.wanted))))
    detail = f"IoU {iou:.4f} with the drawn meshes; frames {bad[:8]} differ"
    findings.fault(name, f"views/{view}/depth", detail)
    return False


def _why_other_masks(reader: ShardReader, scene: Scene, view: int, tallies: dict[int, Tally], bad: list[int]) -> str:
    """Name what best explains the stored masks: another view, another frame, a shift of half a pixel, a mirror."""
    tally, layout = tallies[view], reader.layout
    some = bad[:: max(1, len(bad) // 4)][:4]
    scores = {"silhouette": float(np.mean([_overlap(tally.stored[t], tally.wanted[t]) for t in some]))}
    for other, its in tallies.items():
        if other != view:
            score = float(np.mean([_overlap(tally.stored[t], its.wanted[t]) for t in some]))
            scores["views-swapped"] = max(score, scores.get("views-swapped", 0.0))
    for shift in (-2, -1, 1, 2):
        pairs = [(t, t + shift) for t in some if 0 <= t + shift < layout.frames]
        if pairs:
            score = float(np.mean([_overlap(tally.stored[a], tally.wanted[b]) for a, b in pairs]))
            scores["frames-out-of-step"] = max(score, scores.get("frames-out-of-step", 0.0))
    scores["mirrored-picture"] = float(np.mean([_overlap(tally.stored[t][:, ::-1], tally.wanted[t]) for t in some]))
    pose, K = reader.clip(f"views/{view}/T_camera_world"), reader.clip(f"views/{view}/K")
    for dx, dy in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5), (0.5, 0.5), (-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5)):
        moved = K + np.array([[0, 0, dx], [0, 0, dy], [0, 0, 0]])
        score = _overlap(tally.stored[some[0]], _draw(scene, pose, moved, some[0], layout.width, layout.height).mask)
        scores["half-pixel-shift"] = max(score, scores.get("half-pixel-shift", 0.0))
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > scores["silhouette"] + 0.3 * (1 - scores["silhouette"]) else "silhouette"


def _judge_maps(view: int, tally: Tally, good: bool, findings: Findings) -> None:
    """Depth, flow, parts and garments of one view; `good` is whether its silhouettes agree."""
    if tally.depth_mm:
        worst = float(np.median(tally.depth_mm))
        findings.measure("depth_mm", worst)
        slope = tally.ray[0] / tally.ray[1] if tally.ray[1] > 1e-6 else 0.0
        bad = [t for t, error in enumerate(tally.depth_mm) if error > LIMITS["depth_mm"]]
        if good and 0.5 < slope < 1.5:
            findings.fault(
                "depth-ray-length", f"views/{view}/depth", "the distance along the ray, not the planar depth"
            )
        elif good and bad:
            findings.fault(
                "depth", f"views/{view}/depth", f"median error {max(tally.depth_mm):.2f} mm, frames {bad[:8]}"
            )
    _judge_flow(view, tally, good, findings)
    total, same = sum(tally.part_counts["all"]), sum(tally.part_counts[""])
    if total:
        findings.measure("part_iou", same / total)
    frames = zip(tally.part_counts["all"], tally.part_counts[""], strict=True)
    if good and any(n - agree > max(_EDGE, 2 * (1 - LIMITS["part_iou"]) * n) for n, agree in frames):
        best = max((name for name in tally.part_counts if name != "all"), key=lambda n: sum(tally.part_counts[n]))
        name = best.removesuffix("-down") or "parts"
        findings.fault(name, f"views/{view}/parts", f"{same / total:.4f} of the skin's pixels agree with the meshes")
    if good and any(n - agree > max(_EDGE, 0.02 * n) for agree, n in tally.garment_counts):
        findings.fault("garments", f"views/{view}/garments", "the garments map is not what the meshes show")


def _judge_flow(view: int, tally: Tally, good: bool, findings: Findings) -> None:
    if not tally.flow_px:
        return
    worst = float(np.median(tally.flow_px))
    findings.measure("flow_px", worst)
    bad = [t for t, error in enumerate(tally.flow_px) if error > LIMITS["flow_px"]]
    slope = tally.flow_sums[0] / np.maximum(tally.flow_sums[1], 1e-12)
    turned = (slope < 0) & (tally.flow_sums[1] > 1.0)
    if not good or not (bad or turned.any()):
        return
    means = {name: float(np.mean(errors)) for name, errors in tally.flow_if.items()}
    best = min(means, key=lambda name: means[name])
    name = best if means[best] < 0.5 * float(np.mean(tally.flow_px)) else "flow"
    findings.fault(name, f"views/{view}/flow", f"median error {max(tally.flow_px):.3f} px, frames {bad[:8]}")


def _check_flow_valid(reader: ShardReader, view: int, findings: Findings) -> None:
    valid = reader.clip(f"views/{view}/flow_valid")
    if valid[:-1].min(initial=1) != 1 or valid.max(initial=0) > 1 or valid[-1] != 0:
        findings.fault("flow-valid", f"views/{view}/flow_valid", "expected 1 for every frame but the last, which is 0")


def _check_pictures(reader: ShardReader, tallies: dict[int, Tally], findings: Findings) -> None:
    """The picture's edges lie along the outline of its own mask, not along that of another view or frame.

    Only clear cases are called faults: another outline must collect at least 15 % more edge than the own one, and the
    own one no more than the same outline elsewhere in the picture. Against a background of its own colour a person
    leaves no edge, and then nothing is said.
    """
    layout = reader.layout
    steps = (-2, -1, 0, 1, 2)
    for view, tally in tallies.items():
        views, times, chance = defaultdict(list), defaultdict(list), []
        for t in range(layout.frames):
            try:
                edges = _edges(reader.frame(view, t, ("rgb",))["rgb"])
            except SynthError as error:
                findings.fault("unreadable", f"views/{view}/rgb", error.problem)
                break
            for other, its in tallies.items():
                views[other].append(_along(edges, its.stored[t]))
            for step in steps:
                if 2 <= t < layout.frames - 2:
                    times[step].append(_along(edges, tally.stored[t + step]))
            away = [np.roll(tally.stored[t], shift, axis=(0, 1)) for shift in ((0, 12), (0, -12), (12, 0), (-12, 0))]
            chance.append(np.mean([_along(edges, mask) for mask in away]))
        _judge_pictures(view, views, times, float(np.mean(chance)) if chance else 0.0, findings)


def _judge_pictures(
    view: int, views: dict[int, list[float]], times: dict[int, list[float]], chance: float, findings: Findings
) -> None:
    means = {other: float(np.mean(scores)) for other, scores in views.items() if scores}
    best = max(means, key=lambda other: means[other], default=view)
    if best != view and means[best] > 1.15 * means[view] and means[view] < 1.15 * chance:
        detail = f"the picture's edges follow the outline of view {best}"
        findings.fault("views-swapped", f"views/{view}/rgb", detail)
        return
    steps = {step: float(np.mean(scores)) for step, scores in times.items() if scores}
    best = max(steps, key=lambda step: steps[step], default=0)
    if best != 0 and steps[best] > 1.1 * steps[0]:
        detail = f"the pictures' edges follow the outlines of {best:+d} frames"
        findings.fault("frames-out-of-step", f"views/{view}/rgb", detail)


def _edges(rgb: UInt8[Array, "H W 3"]) -> Float[Array, "H W"]:
    """Strength of the edge at each pixel: the difference of brightness across it, in both directions."""
    grey = np.asarray(Image.fromarray(rgb).convert("L"), dtype=np.float32)
    edges = np.zeros_like(grey)
    edges[:, 1:-1] = np.abs(grey[:, 2:] - grey[:, :-2])
    edges[1:-1] += np.abs(grey[2:] - grey[:-2])
    return edges


def _along(edges: Float[Array, "H W"], mask: Bool[Array, "H W"]) -> float:
    """Mean strength of edge along a mask's outline; 0 if it has none."""
    outline = np.zeros_like(mask)
    across, down = mask[:, 1:] ^ mask[:, :-1], mask[1:] ^ mask[:-1]
    outline[:, 1:] |= across
    outline[:, :-1] |= across
    outline[1:] |= down
    outline[:-1] |= down
    return float(edges[outline].mean()) if outline.any() else 0.0
