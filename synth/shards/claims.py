"""Checks of what a shard says about itself: spec, gender, units, source frames, cloth and its quality."""

import hashlib
import json
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from synth.body.model import find_bodies
from synth.cloth.quality import LIMITS as GATE
from synth.geometry.triangles import ClosestPoint, SurfacePoints
from synth.shards import schema
from synth.shards.checks import LIMITS, Findings
from synth.shards.checksum import file_digest
from synth.shards.read import ShardReader
from synth.shards.why import MIRROR

Array = np.ndarray

__all__ = ["check_attributes", "check_quality", "check_spec"]

_MEASURED_AGAIN = 3
_STILL = 1e-4
"""A garment moves if all the skin beneath it moves further than this between two frames [m]."""
_RULE = "skinned"
_MIRROR_PARTS = np.concatenate([[0], MIRROR + 1])


def check_spec(reader: ShardReader, findings: Findings) -> None:
    """The spec's digest is the clip's id; it has the stored shape, gender, rate, length and source frames."""
    text = reader.attributes["spec"]
    if hashlib.sha256(text.encode()).hexdigest()[:16] != reader.attributes["clip_id"]:
        findings.fault("clip-id", "clip_id", "not the digest of the spec")
    try:
        spec = json.loads(text)
        betas, motion, body = np.asarray(spec["body"]["betas"], dtype=np.float64), spec["motion"], spec["body"]
        same = motion["fps"] == reader.attributes["fps"] and motion["count"] == reader.layout.frames
        kind, (first, last) = motion["kind"], motion["frames"]
        gender, digest = body["gender"], body["file"]["sha256"]
        outfit = [garment["name"] for garment in [*spec.get("outfit", []), *spec.get("items", [])]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        findings.fault("spec", "spec", f"not a clip's spec ({error})")
        return
    if not np.array_equal(betas, reader.clip("smpl/betas")):
        findings.fault("other-betas", "spec", "the spec's betas are not the stored ones")
    if not same:
        findings.fault("spec", "spec", f"the spec has {motion['count']} frames at {motion['fps']} Hz")
    if outfit != [name for name, _, _ in reader.layout.garments]:
        findings.fault("outfit", "layout", f"the spec wears {outfit}")
    _check_gender(reader, gender, digest, findings)
    if not _from_source(reader.clip("source_frames"), kind, first, last):
        findings.fault("source-frames", "source_frames", f"not those of the spec, {kind} {first} to {last}")


def _check_gender(reader: ShardReader, gender: str, digest: str, findings: Findings) -> None:
    """Spec, attribute and, for the project's own bodies, the model file agree on gender and model."""
    body = json.loads(reader.attributes["body_model"])
    own = _own_bodies()
    if not gender == body["gender"] == own.get(body["sha256"], gender):
        said = f"the spec says {gender}, the shard {body['gender']}"
        findings.fault("wrong-gender", "body_model", said + f", its file is {own.get(body['sha256'], 'of either')}")
    elif digest != body["sha256"]:
        findings.fault("other-body", "body_model", "the spec names another model file")


@lru_cache(maxsize=1)
def _own_bodies() -> dict[str, str]:
    """Gender of each of the project's own models, by its digest."""
    return {file_digest(path): gender for gender, path in find_bodies("free").items()}


def _from_source(frames: Float[Array, " T"], kind: str, first: float | int, last: float | int) -> bool:
    """Whether known frame numbers rise through the stretch, or are the two ends of an interpolation."""
    known = frames[np.isfinite(frames)]
    if kind == "interpolated":
        return bool(np.isin(known, (first, last)).all())
    return bool((np.diff(known) > 0).all() and known.min(initial=last) >= first and known.max(initial=first) <= last)


def check_attributes(reader: ShardReader, findings: Findings) -> None:
    """Scales and units that other people's readers go by are the schema's; config and cloth can be read."""
    for name, wanted in schema.expected(reader.layout).items():
        if wanted.kind.scale != 1.0:
            attributes = reader.dataset(name).attrs
            if not np.array_equal(attributes.get("scale", np.nan), wanted.kind.scale):
                findings.fault("scale", name, f"attribute scale is not {wanted.kind.scale:g}")
            elif attributes.get("unit") != wanted.kind.unit:
                findings.fault("scale", name, f"attribute unit is not {wanted.kind.unit}")
    garments = {name for name, _, _ in reader.layout.garments}
    try:
        json.loads(reader.attributes["config"])
        cloth: Any = json.loads(reader.attributes["cloth"])
        sound = not cloth or (set(cloth["solvers"]) in (set(), garments) and int(cloth["tries"]) >= 1)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        findings.fault("attributes", "config", f"config or cloth is damaged ({error})")
        return
    if not sound:
        findings.fault("attributes", "cloth", f"expected a solver for each of {sorted(garments)}, and at least one try")


def check_quality(reader: ShardReader, findings: Findings) -> None:
    """Garments keep to the quality gate, move with the body, and lie over the parts that they are said to.

    The stored measures are taken for all frames; in a few of them penetration is measured again on the stored meshes.
    """
    if not reader.layout.garments:
        return
    frames = np.unique(np.linspace(0, reader.layout.frames - 1, _MEASURED_AGAIN).astype(int)).tolist()
    faces, parts = reader.clip("faces"), reader.clip("face_parts")
    skins = [ClosestPoint(reader.clip("vertices_world", t, 1)[0], faces) for t in frames]
    body, carried = reader.clip("vertices_world"), _carried(reader)
    for name, _, _ in reader.layout.garments:
        vertices = reader.clip(f"garments/{name}/vertices_world")
        hits = [skin(vertices[t]) for skin, t in zip(skins, frames, strict=True)]
        _check_penetration(reader, name, frames, hits, findings)
        _check_gate(reader, name, name not in carried, findings)
        chosen = np.unique(np.linspace(0, len(vertices[0]) - 1, 64).astype(int))
        beneath = body[:, faces[hits[0].face[chosen], 0]]
        stood = (vertices[1:, chosen] == vertices[:-1, chosen]).all(axis=(1, 2))
        went = (np.abs(np.diff(beneath, axis=0)).max(axis=2) > _STILL).all(axis=1)
        if (stood & went).any():
            detail = f"frames {(np.flatnonzero(stood & went) + 1)[:8].tolist()} are those before them; the body moves"
            findings.fault("frames-out-of-step", f"garments/{name}/vertices_world", detail)
        _check_parts(reader, name, [parts[hit.face] for hit in hits], findings)


def _check_penetration(
    reader: ShardReader, name: str, frames: list[int], hits: list[SurfacePoints], findings: Findings
) -> None:
    for measure, depth in (("penetration", 0.001), ("deep_penetration", 0.005)):
        where = f"quality/{name}/{measure}"
        stored = reader.clip(where)
        again = np.array([(hit.distance < -depth).mean() for hit in hits])
        if measure == "penetration":
            findings.measure("penetration", stored.mean())
            if stored.mean() > LIMITS["penetration"]:
                findings.fault("penetration", where, f"{stored.mean():.2%} of the vertices are inside the body")
                continue
        if (off := np.abs(again - stored[frames]).max()) > LIMITS["penetration"]:
            findings.fault("penetration", where, f"differs by {off:.2%} from what the stored meshes show")


def _carried(reader: ShardReader) -> set[str]:
    """Hair and shoes, which the body carries by rule: the gate does not ask about them."""
    try:
        return {name for name, solver in json.loads(reader.attributes["cloth"])["solvers"].items() if solver == _RULE}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()


def _check_gate(reader: ShardReader, name: str, gated: bool, findings: Findings) -> None:
    """Stored measures are such as the gate lets pass (its limits for loose garments, which hold for all)."""
    worst = (
        {}
        if not gated
        else {
            "penetration": GATE.penetration,
            "deep_penetration": GATE.deep_penetration,
            "poke_through": GATE.poke_through,
            "strain": GATE.strain_loose,
            "speed_ratio": GATE.speed_ratio_loose,
        }
    )
    for measure in schema.QUALITY:
        values = reader.clip(f"quality/{name}/{measure}")
        if values.min(initial=0.0) < 0 or values.max(initial=0.0) > worst.get(measure, np.inf):
            detail = f"up to {values.max():.3g}; the gate's limit is {worst.get(measure, np.inf):g}"
            findings.fault("quality-gate", f"quality/{name}/{measure}", detail)
    if reader.clip(f"quality/{name}/coverage").max(initial=0.0) > 1:
        findings.fault("quality-gate", f"quality/{name}/coverage", "a share above 1")


def _check_parts(reader: ShardReader, name: str, nearest: list[UInt8[Array, " Vg"]], findings: Findings) -> None:
    """The parts beneath a garment's faces are, more often than not by chance, those of the nearest skin."""
    where = f"garments/{name}/face_parts"
    stored, corner = reader.clip(where), reader.clip(f"garments/{name}/faces")[:, 0]
    if stored.max(initial=0) > 24 or stored.min(initial=24) < 1:
        findings.fault("parts", where, "not parts of the body")
        return
    agree, mirrored = (
        float(np.mean([(part[corner] == wanted).mean() for part in nearest]))
        for wanted in (stored, _MIRROR_PARTS[stored])
    )
    if mirrored > agree + 0.1:
        findings.fault("left-right-swapped", where, f"{mirrored:.0%} agree with the skin beneath if mirrored")
    elif agree < 0.2:
        findings.fault("parts", where, f"{agree:.0%} of the faces name the part of the skin beneath")
