"""Check every label of every shard against its own pixels, trusting nothing because our writer wrote it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from synth.body.model import find_bodies, load_body
from synth.errors import SynthError
from synth.shards import checks, claims, pixels
from synth.shards.checks import Fault
from synth.shards.checksum import content_digest, file_digest
from synth.shards.manifest import Entry, Manifest
from synth.shards.read import ShardReader
from synth.types import BodyModel

__all__ = ["Report", "ShardReport", "summary", "verify", "verify_shard", "worst"]

_REPORTED = ("reprojection_px", "flow_px", "depth_mm", "part_iou", "silhouette_iou", "penetration")
"""Measures in the one-line JSON of `synth verify`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """What was found in one shard."""

    file: str
    images: int
    """Pictures looked at (frames x views)."""
    measures: dict[str, float]
    """Worst of each measure that could be taken; see `summary`."""
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found in a folder."""

    shards: tuple[ShardReport, ...]
    faults: tuple[Fault, ...] = field(default=())
    """Of the folder itself."""

    @property
    def all_faults(self) -> list[Fault]:
        """Every fault, of the folder and of each shard."""
        return [*self.faults, *(fault for shard in self.shards for fault in shard.faults)]


def verify(
    folder: Path, bodies: tuple[Path, ...] = (), jobs: int = 1, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Check a folder of shards.

    Args:
        folder: The folder, with its manifest.
        bodies: Model files or folders of them to look for the shards' bodies in, by their SHA-256.
        jobs: Number of processes.
        progress: Told how many shards of how many are done.

    Raises:
        SynthError: no manifest, no finished shard, or a body that is not to be found.
    """
    entries = [entry for entry in Manifest(folder).entries().values() if entry.status == "done"]
    if not entries:
        raise SynthError(f"{folder}: its manifest names no finished shard", "See `synth info` for the reasons")
    calls = (joblib.delayed(_verify_entry)(folder, entry, bodies) for entry in entries)
    results = joblib.Parallel(n_jobs=min(jobs, len(entries)), return_as="generator")(calls)
    reports = []
    for report in results:
        reports.append(report)
        if progress is not None:
            progress(len(reports), len(entries))
    return Report(shards=tuple(reports), faults=tuple(_strangers(folder, entries)))


def _strangers(folder: Path, entries: list[Entry]) -> list[Fault]:
    known = {entry.file for entry in entries}
    strangers = sorted(path.name for path in folder.glob("*.h5") if path.name not in known)
    return [Fault(file=name, name="manifest", field="", detail="not in the manifest") for name in strangers]


def _verify_entry(folder: Path, entry: Entry, bodies: tuple[Path, ...]) -> ShardReport:
    path = folder / entry.file
    if not path.is_file():
        missing = Fault(file=entry.file, name="manifest", field="", detail="in the manifest, but not in the folder")
        return ShardReport(file=entry.file, images=0, measures={}, faults=(missing,))
    report = verify_shard(path, bodies)
    if file_digest(path) == entry.sha256:
        return report
    changed = Fault(file=entry.file, name="manifest", field="sha256", detail="the file is not the one recorded")
    return ShardReport(
        file=report.file, images=report.images, measures=report.measures, faults=(changed, *report.faults)
    )


def verify_shard(path: Path, bodies: tuple[Path, ...] = ()) -> ShardReport:
    """Check one shard: first that it can be read as the schema says, then numbers, then pixels.

    Raises:
        SynthError: its body model is not to be found.
    """
    reader = _Remembering(path)
    with reader:
        try:
            layout = reader.layout
        except SynthError as error:
            fault = Fault(file=path.name, name="unreadable", field="", detail=error.problem)
            return ShardReport(file=path.name, images=0, measures={}, faults=(fault,))
        findings = checks.Findings(file=path.name)
        checks.check_schema(reader, findings)
        readable = not findings.faults
        if readable:
            checks.check_finite(reader, findings)
        digests: dict[str, str] = {}
        if not {"schema", "not-finite", "unreadable"} & {fault.name for fault in findings.faults}:
            body = _body_of(reader, bodies)
            claims.check_spec(reader, findings)
            claims.check_attributes(reader, findings)
            again = checks.pose_again(reader, body)
            sound = checks.check_cameras(reader, findings)
            checks.check_body(reader, body, again, lambda: _others(body), findings)
            sound &= checks.check_joints(reader, body, again, findings)
            if all(fault.field != "vertices_world" for fault in findings.faults):
                claims.check_quality(reader, findings)
            digests = pixels.check_pixels(reader, body, again.joints, sound, findings)
            digests |= {name: content_digest(name, array) for name, array in reader.meshes.items()}
        if readable:
            checks.check_checksums(reader, digests, findings)
        images = layout.frames * layout.views
        return ShardReport(file=path.name, images=images, measures=findings.measures, faults=tuple(findings.faults))


class _Remembering(ShardReader):
    """Unpacks each mesh once, though several checks ask for it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.meshes: dict[str, np.ndarray] = {}

    def clip(self, name: str, start: int = 0, length: int | None = None) -> np.ndarray:
        """As that of every reader; nobody may write into what comes back."""
        if not name.endswith("vertices_world"):
            return super().clip(name, start, length)
        if name not in self.meshes:
            self.meshes[name] = super().clip(name)
        first = slice(start, None if length is None else start + length)
        return self.meshes[name][first]


def _body_of(reader: ShardReader, bodies: tuple[Path, ...]) -> BodyModel:
    """Find the shard's body by its digest: among those given, where the spec says, among the project's own."""
    try:
        wanted = json.loads(reader.attributes["body_model"])
        spec_path = json.loads(reader.attributes["spec"])["body"]["file"]["path"]
        name, gender, digest = (str(wanted[key]) for key in ("name", "gender", "sha256"))
    except (ValueError, KeyError, TypeError) as error:
        raise SynthError(f"{reader.path}: attribute body_model or spec is damaged ({error})") from None
    candidates = [
        file for body in bodies for file in ([body] if body.is_file() else sorted(body.glob("*.[np][pk][zl]")))
    ]
    if not spec_path.startswith(("asset:", "bpy:")):
        candidates.append(Path(spec_path))
    candidates += find_bodies("free").values()
    for path in candidates:
        if path.is_file() and file_digest(path) == digest:
            return _load(path, gender, reader.layout.betas)
    hint = f"Give the file with --body; its SHA-256 is {digest}"
    raise SynthError(f"{reader.path.name}: its body model, {name} ({gender}), is not to be found", hint)


def _others(body: BodyModel) -> list[BodyModel]:
    """The project's own bodies of the other genders, to name a mistake; none for a licensed body."""
    files = {gender: path for gender, path in find_bodies("free").items() if gender != body.gender}
    count = body.shapedirs.shape[2]
    return [_load(path, gender, count) for gender, path in files.items()] if body.name == "free" else []


@lru_cache(maxsize=8)
def _load(path: Path, gender: str, betas: int) -> BodyModel:
    return load_body(path, gender, betas)


def worst(report: Report) -> dict[str, float | None]:
    """Worst of each measure over all shards, None where nothing could be measured.

    `reprojection_px` is the largest distance of a stored 2D joint from its projection; `flow_px`, `depth_mm` and
    `normal_deg` are the worst view's medians; `part_iou` and `silhouette_iou` the worst view's; `visibility_share` its
    share of joints whose visibility differs; `penetration` the worst garment's mean share of vertices in the body.
    """
    found: dict[str, float | None] = {}
    for name, pick in checks.MEASURES.items():
        values = [shard.measures[name] for shard in report.shards if name in shard.measures]
        found[name] = float(pick(values)) if values else None
    return found


def summary(report: Report) -> dict[str, Any]:
    """The report as JSON's types, with the measures that its readers count on; `worst` has them all."""
    measures = worst(report)
    kept = {name: measures[name] for name in _REPORTED}
    faults = [asdict(fault) for fault in report.all_faults]
    return {"ok": not faults, "shards": len(report.shards), **kept, "faults": faults}
