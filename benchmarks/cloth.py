"""The wardrobe on clips as the pipeline samples them: what the gate accepts, what it costs, and the soft body beside.

    python benchmarks/cloth.py [--quick] [--clips N] [--sequences PATTERN] [--pictures FOLDER]

Each clip is a spec of `synth plan`: its own stretch of motion, body, shape and outfit. It goes through the pipeline's
ladder of tries; then once through the soft-body solver. Seconds are CPU seconds of this process per simulated frame of
the whole outfit, lead-in and retries included, repair and gate not; rendering is timed in the same run on the same
clips, four views of one frame at the shipped settings on the CPU. Shares: higher is better; seconds, penetration:
lower. `benchmarks/solvers.py` compares the two solvers measure by measure.
"""

import argparse
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synth.assets import resolve
from synth.blender.render import ClipRenderer
from synth.blender.simulate import solve
from synth.body.model import load_body
from synth.cloth import preview
from synth.cloth.simulate import Rejected, simulate
from synth.config import Config
from synth.motion.clips import realise
from synth.plan import Planner
from synth.scene.cameras import cameras
from synth.spec import ClipSpec
from synth.types import SimulatedClip


class Enough(Exception):  # noqa: N818
    """The tries that were wanted are over."""


@dataclass(kw_only=True)
class Timed:
    """The solver, with a clock."""

    tries: int
    calls: int = 0
    frames: int = 0
    seconds: float = 0.0

    def __call__(self, dressed: Any, vertices: Any, faces: Any, fps: float, settings: Any, on_frame: Any = None) -> Any:
        """Solve, unless it has been asked too often."""
        if self.calls == self.tries:
            raise Enough
        self.calls += 1
        clock = time.process_time()
        with Path(os.devnull).open("wb") as sink:
            moved = solve(dressed, vertices, faces, fps, settings, log=sink.fileno())
        self.seconds += time.process_time() - clock
        self.frames += len(vertices)
        return moved


def tried(spec: ClipSpec, tries: int = 99) -> tuple[SimulatedClip | None, Timed, str]:
    """One clip: what came of it, what it took, and why it was refused."""
    body = load_body(resolve(spec.body.file), spec.body.gender)
    motion, _ = realise(spec.motion, body, np.array(spec.body.betas))
    timed = Timed(tries=tries)
    try:
        return simulate(spec, body, motion, timed), timed, ""
    except Rejected as refused:
        return None, timed, str(refused)
    except Enough:
        return None, timed, "refused at the first try"


def rendering(spec: ClipSpec, clip: SimulatedClip) -> float:
    """CPU seconds that four views of one frame take to render."""
    body = load_body(resolve(spec.body.file), spec.body.gender)
    views = cameras(spec.scene.cameras, clip.joints_world[:, 0])
    with contextlib.ExitStack() as stack:
        renderer = ClipRenderer(spec, clip, body, views, "cpu")
        stack.callback(renderer.close)
        renderer.frame(0, 0)  # the first picture also builds the scene
        clock = time.process_time()
        for view in range(len(views)):
            renderer.frame(view, 1)
        return time.process_time() - clock


def drawn(spec: ClipSpec, clip: SimulatedClip, path: Path) -> None:
    """Eight frames of a clip from two sides."""
    body = load_body(resolve(spec.body.file), spec.body.gender)
    frames = []
    for t in np.linspace(0, len(clip.motion) - 1, 8).astype(int):
        layers = [preview.bare(preview.upright(clip.body_vertices_world[t]), body.faces)]
        for k, worn in enumerate(clip.garments):
            moved = clip.garment_vertices_world[worn.garment.name][t]
            layers.append(preview.clothed(worn.garment, preview.upright(moved), k))
        frames.append(layers)
    path.parent.mkdir(parents=True, exist_ok=True)
    preview.moving(frames).save(path)


def specs(clips: int, sequences: str) -> Iterator[ClipSpec]:
    """The first clips of a plan with the shipped settings."""
    config = Config()
    planner = Planner(replace(config, motion=replace(config.motion, clips=clips, sequences=sequences)))
    for index in range(clips):
        yield planner.clip(index)


def row(spec: ClipSpec, clip: SimulatedClip | None, timed: Timed, why: str) -> dict[str, Any]:
    """One clip's figures; printed as they come."""
    worn = "+".join(garment.name for garment in spec.outfit)
    inside = float(np.mean([q.penetration.mean() for q in clip.quality.values()])) if clip else None
    found = {
        "clip": f"{'+'.join(spec.motion.names)} {spec.body.gender} {worn}",
        "garments": len(spec.outfit),
        "accepted": clip is not None,
        "tries": timed.calls,
        "penetration": inside,
        "s_per_frame": timed.seconds / max(timed.frames, 1),
    }
    print(f"{json.dumps(found)} {why}", flush=True)
    return found


def mean(values: list[Any]) -> float | None:
    """Mean of what was measured; None if nothing was."""
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None


def each(rows: list[dict[str, Any]], chosen: Callable[[dict[str, Any]], bool]) -> float | None:
    """Seconds per frame over some of the clips."""
    return mean([found["s_per_frame"] for found in rows if chosen(found)])


def main() -> None:
    """Run the clips, then the soft body, then a little rendering."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three clips, the soft body on one of them")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--sequences", default="cmu", help="as for synth render")
    parser.add_argument("--softbody", type=int, default=8, help="clips that the soft body is tried on")
    parser.add_argument("--pictures", type=Path, help="folder for a sheet of each clip")
    options = parser.parse_args()
    clips, soft = (3, 1) if options.quick else (options.clips, options.softbody)
    cloth: list[dict[str, Any]] = []
    softbody: list[dict[str, Any]] = []
    render: list[float] = []
    for index, spec in enumerate(specs(clips, options.sequences)):
        clip, timed, why = tried(spec)
        cloth.append(row(spec, clip, timed, why))
        if clip is not None and options.pictures:
            drawn(spec, clip, options.pictures / f"{index:03d}.png")
        if clip is not None and len(render) < 2:
            render.append(rendering(spec, clip))
        if index < soft:
            other = replace(spec, simulation=replace(spec.simulation, solver="softbody", retries=0))
            clip, timed, why = tried(other, tries=1)
            softbody.append(row(other, clip, timed, f"soft body {why}"))
            if clip is not None and options.pictures:
                drawn(other, clip, options.pictures / f"{index:03d}-softbody.png")
    per_frame, drawn_frame = mean([found["s_per_frame"] for found in cloth]), mean(render)
    both = each(cloth[: len(softbody)], lambda _: True), each(softbody, lambda _: True)
    one, two = (each(cloth, lambda found, n=n: found["garments"] == n) for n in (1, 2))
    print(f"one garment: {one} s a frame, two: {two} s")
    result = {
        "clips": len(cloth),
        "accepted": mean([float(found["accepted"]) for found in cloth]),
        "accepted_first": mean([float(found["accepted"] and found["tries"] == 1) for found in cloth]),
        "penetration_mean": mean([found["penetration"] for found in cloth]),
        "s_per_frame": per_frame,
        "sim_over_render": round(per_frame / drawn_frame, 4) if per_frame and drawn_frame else None,
        "softbody_accepted": mean([float(found["accepted"]) for found in softbody]),
        "softbody_over_cloth_s": round(both[1] / both[0], 3) if both[0] and both[1] else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
