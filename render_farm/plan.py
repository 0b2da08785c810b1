"""Plan files: one job a line, as data. A plan of a million clips is a text file that is read line by line."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synth.config import Config
from synth.errors import SynthError
from synth.files import replacing
from synth.shards.manifest import describe
from synth.spec import ClipSpec, from_plain, to_json, to_plain

__all__ = ["Cost", "Job", "estimate", "make_job", "read_plan", "write_plan"]

_RENDER_PIXEL = 1.7e-7
"""Seconds of one core for one sample of one pixel; 250 x 250 at 16 samples took 0.17-0.26 s with all that follows."""
_IMAGE = 0.08
"""Seconds for an image's labels, whatever its size."""
_SIMULATED_FRAME = 0.28
"""Seconds of one core for one frame of one simulated garment at 10 sub-steps (two garments: 0.55 s)."""
_START = 2.0
"""Seconds until a job's process has imported Blender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a job is thought to take; for planning, never for correctness."""

    images: int
    cpu_seconds: float
    """Of one core, without a GPU [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One line of a plan: one clip, one shard."""

    clip_id: str
    spec: ClipSpec
    attributes: dict[str, Any]
    """As the manifest lists them, for choosing jobs without reading the spec."""
    cost: Cost
    text: str
    """The spec's canonical JSON."""


def estimate(spec: ClipSpec) -> Cost:
    """Guess a job's cost from the numbers of images, samples and simulated frames."""
    images = spec.motion.count * len(spec.scene.cameras.azimuths)
    pixels = spec.scene.cameras.width * spec.scene.cameras.height
    rendering = images * (_IMAGE + pixels * spec.render.samples * _RENDER_PIXEL)
    simulated = len(spec.outfit) if spec.simulation.solver != "skinned" else 0
    simulating = simulated * (spec.motion.count + 30) * _SIMULATED_FRAME * spec.simulation.quality / 10
    return Cost(images=images, cpu_seconds=round(_START + rendering + simulating, 1))


def make_job(spec: ClipSpec) -> Job:
    """The job of a clip."""
    text = to_json(spec)
    clip_id = hashlib.sha256(text.encode()).hexdigest()[:16]  # as `ClipSpec.clip_id`, which would write it once more
    return Job(clip_id=clip_id, spec=spec, attributes=describe(spec), cost=estimate(spec), text=text)


def write_plan(path: Path, specs: Iterable[ClipSpec], config: Config | None = None) -> tuple[int, Cost]:
    """Write a plan, whole or not at all.

    Args:
        path: The file.
        specs: Its clips, taken one after the other.
        config: The settings that they follow from, written as the first line: with them, a clip that the quality gate
            refuses can be replaced.

    Returns:
        Number of jobs and their cost together.
    """
    count, images, seconds = 0, 0, 0.0
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        if config is not None:
            file.write(json.dumps({"config": to_plain(config)}, sort_keys=True) + "\n")
        for spec in specs:
            job = make_job(spec)
            count, images, seconds = count + 1, images + job.cost.images, seconds + job.cost.cpu_seconds
            file.write(line(job))
    return count, Cost(images=images, cpu_seconds=round(seconds, 1))


def line(job: Job) -> str:
    """A job as a line of a plan."""
    facts = {"attributes": job.attributes, "cost": asdict(job.cost), "id": job.clip_id}
    return f'{json.dumps(facts, separators=(",", ":"))[:-1]},"spec":{job.text}}}\n'


def read_plan(path: Path) -> Iterator[Job]:
    """Read a plan line by line; also one that `synth plan --out` wrote, which holds bare specs.

    Args:
        path: The file.

    Yields:
        Jobs, in the plan's order.

    Raises:
        SynthError: the file is not there, or a line is no job or does not have the id that follows from its spec.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, text in enumerate(file, start=1):
                if text.strip() and not is_header(text):
                    yield parse(text, f"{path}: line {number}")
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror}", "Write a plan with `synth farm plan`") from None


def first_line(path: Path) -> str:
    """The first line of a plan.

    Raises:
        SynthError: the file is not there.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline()
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror}", "Write a plan with `synth farm plan`") from None


def is_header(text: str) -> bool:
    """Whether a line of a plan holds its settings."""
    return text.startswith('{"config":')


def read_config(text: str, where: str) -> Config | None:
    """The settings in a plan's first line, if it has them.

    Raises:
        SynthError: they are damaged, or name files that are not there.
    """
    first = text.partition("\n")[0]
    if not is_header(first):
        return None
    try:
        return from_plain(Config, json.loads(first)["config"], where)
    except ValueError as error:
        raise SynthError(f"{where}: line 1: not JSON ({error})", "Write the plan anew with `synth farm plan`") from None


def parse(text: str, where: str) -> Job:
    """Read one line of a plan.

    Raises:
        SynthError: it is no job; `where` names the line.
    """
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise SynthError(f"{where}: not JSON ({error})", "Write the plan anew with `synth farm plan`") from None
    spec = from_plain(ClipSpec, plain["spec"] if isinstance(plain, dict) and "spec" in plain else plain, where)
    job = make_job(spec)
    if isinstance(plain, dict) and plain.get("id", job.clip_id) != job.clip_id:
        hint = "A spec was edited by hand, or the plan is of another version; write it anew with `synth farm plan`"
        raise SynthError(f"{where}: the job is called {plain['id']!r}, but its spec's id is {job.clip_id}", hint)
    return job


def plan_name(path: Path) -> str:
    """The name under which a store keeps a plan: a digest of its ids, so that equal plans are one."""
    digest = hashlib.sha256()
    for job in read_plan(path):
        digest.update(job.clip_id.encode())
    return f"{digest.hexdigest()[:16]}.jsonl"
