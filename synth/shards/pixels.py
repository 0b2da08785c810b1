"""Checks of a shard's label maps: the stored meshes are drawn again and compared with every one of them."""

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from synth.errors import SynthError
from synth.geometry.triangles import taken
from synth.shards import schema
from synth.shards.checks import LIMITS, Findings
from synth.shards.checksum import begin
from synth.shards.drawing import Drawn, Scene, draw, scene_of
from synth.shards.pictures import check_pictures
from synth.shards.read import ShardReader
from synth.shards.seen import SeenCheck
from synth.shards.why import MIRROR, other_masks
from synth.types import BodyModel

Array = np.ndarray

__all__ = ["check_pixels"]

_FLOWS = {
    (True, True): "flow-sign",
    (False, True): "flow-y-flipped",
    (True, False): "flow-x-flipped",
    (False, False): "flow",
}
"""Name of the fault by the axes (x, y) along which stored and drawn flow have opposite signs."""
_NORMALS = {
    "normal-sign": np.array([-1.0, -1.0, -1.0]),
    "normal-x-flipped": np.array([-1.0, 1.0, 1.0]),
    "normal-y-flipped": np.array([1.0, -1.0, 1.0]),
    "normal-z-flipped": np.array([1.0, 1.0, -1.0]),
}
_MAPS = ("depth", "flow", "normal", "parts", "garments")
_MIRROR_PARTS = np.concatenate([[0], MIRROR + 1]).astype(np.uint8)
_EDGE = 8
"""Pixels that one frame may differ by whatever its size: triangles seen edge-on round differently."""
_CLEAR = 0.9
"""Overlap from which on another view, frame or shift explains a silhouette."""
_FEW = 32
"""Pixels of cloth below which a frame's cloth says nothing about its flow."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What is collected over the frames of one view."""

    depth_mm: list[float] = field(default_factory=list)
    """Median error of each frame."""
    flow_px: list[float] = field(default_factory=list)
    """Median error of each frame on the body's visible skin, or on cloth if that is larger."""
    normal_deg: list[float] = field(default_factory=list)
    """Median error of each frame."""
    normal_if: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Mean cosine of each frame under each hypothesis of `_NORMALS`, of the world's frame, and ("") as it should be."""
    part_counts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Pixels that agree, by hypothesis; "all": pixels of the union; skin only."""
    cloth_parts: list[tuple[int, int]] = field(default_factory=list)
    """Pixels of cloth whose part beneath agrees, of how many."""
    garment_counts: list[tuple[int, int]] = field(default_factory=list)
    wanted: list[Bool[Array, "H W"]] = field(default_factory=list)
    """Masks of the drawn person."""
    stored: list[Bool[Array, "H W"]] = field(default_factory=list)
    """Masks of the stored labels."""
    ray: Float[Array, " 2"] = field(default_factory=lambda: np.zeros(2))
    """Sums for the slope of the depth error against (ray length - planar depth)."""
    depth_sums: Float[Array, " 2"] = field(default_factory=lambda: np.zeros(2))
    """Sums of stored and of drawn depth."""
    flow_sums: Float[Array, "2 2"] = field(default_factory=lambda: np.zeros((2, 2)))
    """Sums for the slope of stored against drawn flow, for x and y."""


def check_pixels(
    reader: ShardReader,
    body: BodyModel,
    joints_world: Float[Array, "T 24 3"],
    sound: Bool[Array, " views"],
    findings: Findings,
) -> dict[str, str]:
    """Compare label maps and pictures with the stored meshes, in every view whose camera is sound.

    Returns:
        Digests of the maps that were read whole, by dataset: so they are read only once.
    """
    parts = body.face_parts
    scene = scene_of(reader, body.faces, parts)
    tallies: dict[int, Tally] = {}
    seen: dict[int, SeenCheck] = {}
    digests: dict[str, str] = {}
    for view in np.flatnonzero(sound).tolist():
        check = SeenCheck(reader, body, parts, view, joints_world)
        try:
            tallies[view], its_digests = _tally(reader, scene, view, check)
            seen[view] = check
            digests |= its_digests
        except SynthError as error:
            findings.fault("unreadable", f"views/{view}", error.problem)
    for view, tally in tallies.items():
        good = _judge_masks(reader, scene, view, tallies, findings)
        before = len(findings.faults)
        _judge_maps(view, tally, good, findings)
        _name_anew(reader, view, {k: its.stored for k, its in tallies.items()}, before, findings)
        _check_flow_valid(reader, view, findings)
        if good:
            seen[view].judge([its for k, its in seen.items() if k != view], findings)
    check_pictures(reader, {view: tally.stored for view, tally in tallies.items()}, findings)
    return digests


def _tally(reader: ShardReader, scene: Scene, view: int, check: SeenCheck) -> tuple[Tally, dict[str, str]]:
    layout, tally, maps_of = reader.layout, Tally(), Maps(reader, view)
    pose, K = reader.clip(f"views/{view}/T_camera_world"), reader.clip(f"views/{view}/K")
    inverse_K = np.linalg.inv(K)
    then = scene.in_camera(pose, 0)
    for t in range(layout.frames):
        now, then = then, scene.in_camera(pose, min(t + 1, layout.frames - 1))
        drawn = draw(scene, now, then, K, layout.width, layout.height)
        maps = maps_of.frame(t)
        mask = maps["depth"] > 0
        tally.wanted.append(drawn.mask)
        tally.stored.append(mask)
        both = np.flatnonzero(taken(mask.ravel(), drawn.pixel))
        where = taken(drawn.pixel, both)
        row, column = np.divmod(where, layout.width)
        ray = np.stack([column + 0.5, row + 0.5, np.ones(len(where))], axis=1) @ inverse_K.T
        _add_depth(tally, _at(maps, "depth", where), taken(drawn.depth, both), np.sqrt(np.einsum("ni,ni->n", ray, ray)))
        _add_normal(tally, _at(maps, "normal", where), taken(drawn.normal, both), pose[t, :3, :3])
        garment, drawn_garment = taken(maps["garments"].ravel(), where), taken(drawn.garment, both)
        union = np.count_nonzero(drawn.mask | mask)
        tally.garment_counts.append((np.count_nonzero(garment == drawn_garment), union))
        _add_parts(tally, maps["parts"].ravel(), maps["garments"].ravel(), drawn)
        cloth = np.flatnonzero((garment > 0) & (garment == drawn_garment))
        agree = taken(maps["parts"].ravel(), taken(where, cloth)) == taken(drawn.part, taken(both, cloth))
        tally.cloth_parts.append((np.count_nonzero(agree), len(cloth)))
        if t + 1 < layout.frames:
            same = np.flatnonzero(garment == drawn_garment)
            flow = _at(maps, "flow", taken(where, same))
            _add_flow(tally, flow, taken(drawn.flow, taken(both, same)), taken(garment, same) == 0)
        check.frame(t, now[: layout.vertices], maps["depth"], schema.VIEW["depth"].scale, maps["garments"], mask)
    return tally, maps_of.digests()


class Maps:
    """The label maps of one view as they are stored (only some of their pixels are needed in physical units).

    Args:
        reader: The shard.
        view: Number of the view.
    """

    def __init__(self, reader: ShardReader, view: int) -> None:
        self._reader, self._view = reader, view
        self._datasets = {name: reader.dataset(f"views/{view}/{name}") for name in _MAPS}
        self._digests = {
            name: begin(f"views/{view}/{name}", dataset.dtype, dataset.shape)
            for name, dataset in self._datasets.items()
        }

    def frame(self, t: int) -> dict[str, Array]:
        """The maps of a frame; to be asked for one after another.

        Raises:
            SynthError: it cannot be read.
        """
        maps = {}
        for name, dataset in self._datasets.items():
            try:
                maps[name] = dataset[t]
            except (OSError, RuntimeError, ValueError) as error:
                problem = f"{self._reader.path}: frame {t} of view {self._view} cannot be read ({error})"
                raise SynthError(problem) from error
            self._digests[name].update(maps[name].data)
        return maps

    def digests(self) -> dict[str, str]:
        """Digest of each dataset, once every frame has been asked for."""
        return {f"views/{self._view}/{name}": digest.hexdigest() for name, digest in self._digests.items()}


def _at(maps: dict[str, Array], name: str, pixel: Int[Array, " N"]) -> Array:
    """Some pixels of a map in physical units, float64."""
    flat = maps[name].reshape(-1, *maps[name].shape[2:])
    return taken(flat, pixel) * schema.VIEW[name].scale


def _median(values: Float[Array, " N"]) -> float:
    """The upper median, at half of what NumPy's costs for some thousand values."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _add_depth(tally: Tally, stored: Float[Array, " N"], wanted: Float[Array, " N"], ray: Float[Array, " N"]) -> None:
    if len(stored) == 0:
        return
    error = stored - wanted
    tally.depth_mm.append(_median(np.abs(error)) * 1000)
    tally.depth_sums += [stored.sum(), wanted.sum()]
    close = np.abs(error) < 0.1
    lever = ((ray - 1) * wanted)[close]
    lever, error = lever - lever.mean() if len(lever) else lever, error[close]
    tally.ray += [lever @ error, lever @ lever]


def _add_flow(tally: Tally, stored: Float[Array, "N 2"], wanted: Float[Array, "N 2"], skin: Bool[Array, " N"]) -> None:
    error = stored - wanted
    error = np.einsum("ni,ni->n", error, error)
    kinds = [error[kind] for kind, fewest in ((skin, 1), (~skin, _FEW)) if np.count_nonzero(kind) >= fewest]
    if not kinds:
        return
    tally.flow_px.append(max(_median(kind) for kind in kinds) ** 0.5)
    tally.flow_sums += [(stored * wanted).sum(axis=0), (wanted * wanted).sum(axis=0)]


def _add_normal(
    tally: Tally, stored: Float[Array, "N 3"], wanted: Float[Array, "N 3"], rotation: Float[Array, "3 3"]
) -> None:
    if len(stored) == 0:
        return
    chord = stored - wanted
    tally.normal_deg.append(float(np.degrees(_median(np.einsum("ni,ni->n", chord, chord)) ** 0.5)))
    products = stored.T @ wanted / len(stored)  # element (i, j): mean of stored_i times wanted_j
    tally.normal_if[""].append(float(np.trace(products)))
    for name, sign in _NORMALS.items():
        tally.normal_if[name].append(float(np.diagonal(products) @ sign))
    tally.normal_if["normal-in-world"].append(float((products * rotation.T).sum()))


def _add_parts(tally: Tally, stored: Array, garments: Array, drawn: Drawn) -> None:
    """Count agreeing parts on bare skin: where neither the stored nor the drawn garments map shows cloth."""
    keep = np.flatnonzero((taken(garments, drawn.pixel) == 0) & (drawn.garment == 0))
    wanted, there = taken(drawn.part, keep), taken(stored, taken(drawn.pixel, keep))
    extra = np.count_nonzero((stored > 0) & (garments == 0) & ~drawn.mask.ravel())
    tally.part_counts["all"].append(len(wanted) + extra)
    tally.part_counts[""].append(np.count_nonzero(there == wanted))
    tally.part_counts["left-right-swapped"].append(np.count_nonzero(there == _MIRROR_PARTS[wanted]))
    for name, step in (("parts-off-by-one", 1), ("parts-off-by-one-down", -1)):
        tally.part_counts[name].append(np.count_nonzero(there == wanted + step))


def _overlap(a: Bool[Array, "H W"], b: Bool[Array, "H W"]) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def _differs(a: Bool[Array, "H W"], b: Bool[Array, "H W"]) -> bool:
    allowed = 2 * (1 - LIMITS["silhouette_iou"]) * np.count_nonzero(a | b)
    return np.count_nonzero(a ^ b) > max(_EDGE, allowed)


def _judge_masks(reader: ShardReader, scene: Scene, view: int, tallies: dict[int, Tally], findings: Findings) -> bool:
    """Silhouettes agree in the whole view and in each frame. Returns whether the maps below may be judged."""
    tally = tallies[view]
    inside = sum(np.count_nonzero(a & b) for a, b in zip(tally.wanted, tally.stored, strict=True))
    union = sum(np.count_nonzero(a | b) for a, b in zip(tally.wanted, tally.stored, strict=True))
    iou = inside / union if union else 1.0
    findings.measure("silhouette_iou", iou)
    bad = [t for t, (a, b) in enumerate(zip(tally.wanted, tally.stored, strict=True)) if _differs(a, b)]
    if not bad and iou >= LIMITS["silhouette_iou"]:
        return True
    name = "silhouette"
    if all(fault.field != "vertices_world" for fault in findings.faults):  # else the meshes are what is wrong
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
    now = scene.in_camera(reader.clip(f"views/{view}/T_camera_world"), some[0])
    K = reader.clip(f"views/{view}/K")
    for dx, dy in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5), (0.5, 0.5), (-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5)):
        moved = K + np.array([[0, 0, dx], [0, 0, dy], [0, 0, 0]])
        score = _overlap(tally.stored[some[0]], draw(scene, now, now, moved, layout.width, layout.height).mask)
        scores["half-pixel-shift"] = max(score, scores.get("half-pixel-shift", 0.0))
    best = max(scores, key=lambda name: scores[name])
    better = scores["silhouette"] + 0.3 * (1 - scores["silhouette"])
    return best if scores[best] > max(better, _CLEAR) else "silhouette"


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
            scale = float(tally.depth_sums[0] / tally.depth_sums[1])
            name = "depth-scale" if abs(scale - 1) > 5e-4 and len(bad) > 0.9 * len(tally.depth_mm) else "depth"
            detail = f"median error {max(tally.depth_mm):.2f} mm, {scale:.4f} times the meshes', frames {bad[:8]}"
            findings.fault(name, f"views/{view}/depth", detail)
    _judge_flow(view, tally, good, findings)
    _judge_normal(view, tally, good, findings)
    total, same = sum(tally.part_counts["all"]), sum(tally.part_counts[""])
    if total:
        findings.measure("part_iou", same / total)
    frames = zip(tally.part_counts["all"], tally.part_counts[""], strict=True)
    if good and any(n - agree > max(_EDGE, 2 * (1 - LIMITS["part_iou"]) * n) for n, agree in frames):
        best = max((name for name in tally.part_counts if name != "all"), key=lambda n: sum(tally.part_counts[n]))
        name = best.removesuffix("-down") or "parts"
        findings.fault(name, f"views/{view}/parts", f"{same / total:.4f} of the skin's pixels agree with the meshes")
    elif good and any(n - agree > max(_EDGE, 0.1 * n) for agree, n in tally.cloth_parts):
        share = sum(agree for agree, _ in tally.cloth_parts) / max(sum(n for _, n in tally.cloth_parts), 1)
        findings.fault("parts", f"views/{view}/parts", f"{share:.4f} of the cloth's pixels show the part beneath")
    if good and any(n - agree > max(_EDGE, 0.02 * n) for agree, n in tally.garment_counts):
        findings.fault("garments", f"views/{view}/garments", "the garments map is not what the meshes show")


def _name_anew(
    reader: ShardReader, view: int, masks: dict[int, list[Bool[Array, "H W"]]], before: int, findings: Findings
) -> None:
    """Faults of one map that is nothing but another view's or another frame's get that name."""
    for number, fault in enumerate(findings.faults[before:], start=before):
        name = fault.field.rpartition("/")[2]
        if fault.name in ("normal", "parts", "flow") and name in ("normal", "parts", "flow"):
            stored = reader.dataset(fault.field)
            shown = [stored[t] != 0 for t in range(reader.layout.frames - (name == "flow"))]
            known = {k: frames[: len(shown)] for k, frames in masks.items()}
            found = other_masks([m.any(axis=2) if m.ndim == 3 else m for m in shown], view, known)
            if found is not None:
                findings.faults[number] = replace(fault, name=found)


def _judge_flow(view: int, tally: Tally, good: bool, findings: Findings) -> None:
    if not tally.flow_px:
        return
    worst = float(np.median(tally.flow_px))
    findings.measure("flow_px", worst)
    bad = [t for t, error in enumerate(tally.flow_px) if error > LIMITS["flow_px"]]
    slope = tally.flow_sums[0] / np.maximum(tally.flow_sums[1], 1e-12)
    turned = (slope < -0.5) & (slope > -1.5) & (tally.flow_sums[1] > 1.0)
    if not good or not (bad or turned.any()):
        return
    name = _FLOWS[bool(turned[0]), bool(turned[1])]
    findings.fault(name, f"views/{view}/flow", f"median error {max(tally.flow_px):.3f} px, frames {bad[:8]}")


def _judge_normal(view: int, tally: Tally, good: bool, findings: Findings) -> None:
    if not tally.normal_deg:
        return
    findings.measure("normal_deg", float(np.median(tally.normal_deg)))
    bad = [t for t, error in enumerate(tally.normal_deg) if error > LIMITS["normal_deg"]]
    if not good or not bad:
        return
    means = {name: float(np.mean(cosines)) for name, cosines in tally.normal_if.items()}
    best = max(means, key=lambda name: means[name])
    name = best if best and means[best] > 0.98 else "normal"
    findings.fault(name, f"views/{view}/normal", f"median error {max(tally.normal_deg):.1f} degrees, frames {bad[:8]}")


def _check_flow_valid(reader: ShardReader, view: int, findings: Findings) -> None:
    valid = reader.clip(f"views/{view}/flow_valid")
    if valid[:-1].min(initial=1) != 1 or valid.max(initial=0) > 1 or valid[-1] != 0:
        findings.fault("flow-valid", f"views/{view}/flow_valid", "expected 1 for every frame but the last, which is 0")
