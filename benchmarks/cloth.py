"""The wardrobe on clips as the pipeline samples them: what the gate accepts, what it costs, and the soft body beside.

    python benchmarks/cloth.py [--quick] [--from PATTERN N ...] [--out FOLDER [--part K/N]] [--sheets FOLDER]

Each clip is a spec of `synth plan`: its own stretch of motion, body, shape and outfit. It goes through the pipeline's
ladder of tries; some then also go through the soft-body solver, and with Blender's own default settings of the cloth
solver. Seconds are CPU seconds of this process for each 1/30 s of the whole outfit, lead-in and retries included,
repair and gate not; rendering is timed in the same run on the same clips, four views of one frame at the shipped
settings on the CPU. Shares: higher is better; seconds, penetration: lower.

With --out every clip leaves a line and its meshes there, and what is there is not done again: a long run can be
interrupted, and shared by processes (--part 0/2 and --part 1/2; the last call without --part adds up).
`benchmarks/solvers.py` compares the two solvers measure by measure.
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from PIL import Image

from synth.assets import resolve
from synth.blender import simulate as solving
from synth.blender.render import ClipRenderer
from synth.body.model import load_body
from synth.cloth import preview, store
from synth.cloth.rate import captured
from synth.cloth.simulate import Rejected, simulate
from synth.config import Config
from synth.files import write_text
from synth.plan import Planner
from synth.scene.cameras import cameras
from synth.spec import ClipSpec
from synth.types import BodyModel, Quality, SimulatedClip

MEASURES = tuple(measure.name for measure in fields(Quality) if measure.name != "reasons")


class Enough(Exception):  # noqa: N818
    """The tries that were wanted are over."""


@dataclass(kw_only=True)
class Timed:
    """The solver, with a clock; it keeps what it made last."""

    tries: int = 99
    calls: int = 0
    moments: float = 0.0
    """Simulated time, in 1/30 s."""
    seconds: float = 0.0
    moved: dict[str, Any] = field(default_factory=dict)

    def __call__(self, dressed: Any, vertices: Any, faces: Any, fps: float, settings: Any, on_frame: Any = None) -> Any:
        """Solve, unless it has been asked too often."""
        if self.calls == self.tries:
            raise Enough
        self.calls += 1
        clock = time.process_time()
        with Path(os.devnull).open("wb") as sink:
            self.moved = solving.solve(dressed, vertices, faces, fps, settings, log=sink.fileno())
        self.seconds += time.process_time() - clock
        self.moments += len(vertices) * 30.0 / fps
        return self.moved


def body_of(spec: ClipSpec) -> BodyModel:
    """The spec's body."""
    return load_body(resolve(spec.body.file), spec.body.gender)


def tried(spec: ClipSpec, timed: Timed) -> tuple[SimulatedClip | None, tuple[str, ...]]:
    """One clip: what came of it, or why it was refused."""
    body = body_of(spec)
    motion, every = captured(spec.motion, body, np.array(spec.body.betas))
    try:
        return simulate(spec, body, motion, timed, every=every), ()
    except Rejected as refused:
        return None, refused.reasons
    except Enough:
        return None, ("refused at the first try",)


@contextlib.contextmanager
def default_settings() -> Iterator[None]:
    """Blender's cloth solver as it comes: nothing is set but what it collides with, its pins and its cache."""
    ours = solving._assign
    solving._assign = lambda target, values: None if isinstance(values, solving.ClothSettings) else ours(target, values)
    try:
        yield
    finally:
        solving._assign = ours


def rendering(spec: ClipSpec, clip: SimulatedClip) -> float:
    """CPU seconds that four views of one frame take to render."""
    views = cameras(spec.scene.cameras, clip.joints_world[:, 0])
    with contextlib.ExitStack() as stack:
        renderer = ClipRenderer(spec, clip, body_of(spec), views, "cpu")
        stack.callback(renderer.close)
        renderer.frame(0, 0)  # the first picture also builds the scene
        clock = time.process_time()
        for view in range(len(views)):
            renderer.frame(view, 1)
        return time.process_time() - clock


def specs(sources: list[tuple[str, int]], frames: int) -> Iterator[tuple[str, ClipSpec]]:
    """Clips of plans with the shipped settings, a plan for each source, taken in turn; each with a name."""
    config = Config()
    planners = [
        Planner(replace(config, seed=k, motion=replace(config.motion, clips=n, sequences=pattern, frames=frames)))
        for k, (pattern, n) in enumerate(sources)
    ]
    for index in range(max(n for _, n in sources)):
        for k, (_, count) in enumerate(sources):
            if index < count:
                yield f"{k}-{index:03d}", planners[k].clip(index)


def one(name: str, spec: ClipSpec, kind: str, folder: Path) -> dict[str, Any]:
    """One clip's line, from the folder if it is there.

    Args:
        name: Of the clip.
        spec: What to make.
        kind: "cloth" (the ladder of tries), "softbody" (one try) or "default" (one try as Blender's settings come).
        folder: Where lines and meshes are kept.
    """
    line = folder / f"{name}-{kind}.json"
    if line.is_file():
        return json.loads(line.read_text())
    if kind != "cloth":
        solver = "softbody" if kind == "softbody" else "cloth"
        spec = replace(spec, simulation=replace(spec.simulation, solver=solver, retries=0))
    timed = Timed(tries=99 if kind == "cloth" else 1)
    with default_settings() if kind == "default" else contextlib.nullcontext():
        clip, reasons = tried(spec, timed)
    found = {
        "name": name,
        "kind": kind,
        "motion": "+".join(spec.motion.names),
        "gender": spec.body.gender,
        "outfit": "+".join(f"{garment.fabric} {garment.name}" for garment in spec.outfit),
        "garments": len(spec.outfit),
        "accepted": clip is not None,
        "tries": timed.calls,
        "seconds": timed.seconds,
        "moments": timed.moments,
        "reasons": reasons,
        "measures": {} if clip is None else measures(clip),
    }
    if clip is not None:
        store.save(folder / f"{name}-{kind}.npz", spec, clip)
    elif timed.moved:
        np.savez_compressed(folder / f"{name}-{kind}.raw.npz", **{n: m[::4] for n, m in timed.moved.items()})
    write_text(line, json.dumps(found))
    return found


def measures(clip: SimulatedClip) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and worst frame of all the gate measured, by garment."""
    return {
        name: {
            measure: (
                float(np.mean(getattr(quality, measure))),
                float((np.min if measure == "coverage" else np.max)(getattr(quality, measure))),
            )
            for measure in MEASURES
        }
        for name, quality in clip.quality.items()
    }


def sheet(path: Path, clips: list[Path], bodies: dict[int, Any], shown: int = 3) -> None:
    """A contact sheet: each clip in so many frames from two sides, two clips a row."""
    rows = []
    for file in clips:
        meshes = store.read_meshes(file)
        faces = bodies[meshes.body_vertices_world.shape[1]]
        layers = []
        for t in np.linspace(0, len(meshes.body_vertices_world) - 1, shown).astype(int):
            worn = [preview.bare(preview.upright(meshes.body_vertices_world[t]), faces)]
            worn += [preview.clothed(g, preview.upright(moved[t]), k) for k, (g, moved) in enumerate(meshes.garments)]
            layers.append(worn)
        picture = preview.moving(layers)
        rows.append(picture.resize((picture.width * 2 // 5, picture.height * 2 // 5), Image.Resampling.LANCZOS))
    columns = 5
    width, height = max(row.width for row in rows), max(row.height for row in rows)
    whole = Image.new("RGB", (width * columns, height * -(-len(rows) // columns)), "white")
    for k, row in enumerate(rows):
        whole.paste(row, (width * (k % columns), height * (k // columns)))
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.save(path, quality=70)


def sheets(folder: Path, out: Path, seed: int = 0) -> None:
    """Sheets of 40 accepted clips, drawn at random, and of those that only passed after a retry."""
    from synth.body.model import load_named

    body = load_named("free", "neutral")
    bodies = {len(body.v_template): body.faces}
    lines = [json.loads(path.read_text()) for path in sorted(folder.glob("*-cloth.json"))]
    accepted = [folder / f"{line['name']}-cloth.npz" for line in lines if line["accepted"]]
    drawn = np.random.default_rng(seed).permutation(len(accepted))[:40]
    sheet(out / "garments-accepted.jpg", [accepted[k] for k in drawn], bodies)
    retried = [folder / f"{line['name']}-cloth.npz" for line in lines if line["accepted"] and line["tries"] > 1]
    if retried:
        sheet(out / "garments-retried.jpg", retried, bodies)


def per_moment(rows: list[dict[str, Any]]) -> float | None:
    """CPU seconds for 1/30 s, all clips together."""
    return sum(row["seconds"] for row in rows) / sum(row["moments"] for row in rows) if rows else None


def ratio(above: float | None, below: float | None) -> float | None:
    """Their quotient, if both were measured."""
    return round(above / below, 3) if above and below else None


def share(values: list[bool]) -> float | None:
    """Share that holds."""
    return round(float(np.mean(values)), 4) if values else None


def main() -> None:
    """Run the clips, then the others solvers on some of them, then a little rendering."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two clips of 12 frames, the other solvers on one of them")
    parser.add_argument("--from", dest="sources", nargs=2, action="append", metavar=("PATTERN", "N"), help="clips")
    parser.add_argument("--frames", type=int, default=24, help="rendered frames of a clip")
    parser.add_argument("--others", type=int, default=6, help="clips that the other solvers are tried on")
    parser.add_argument("--rendered", type=int, default=2, help="clips of which four views are rendered")
    parser.add_argument("--out", type=Path, help="folder of lines and meshes; kept between calls")
    parser.add_argument("--part", help="K/N: this process does every N-th clip from K on")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets of 40 accepted clips")
    options = parser.parse_args()
    if options.quick:
        options.sources, options.frames, options.others, options.rendered = [("cmu", 2)], 12, 1, 1
    sources = [(pattern, int(n)) for pattern, n in options.sources or [("cmu", 12)]]
    part, parts = (int(number) for number in (options.part or "0/1").split("/"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        run(list(specs(sources, options.frames)), folder, options, part, parts)


def run(clips: list[tuple[str, ClipSpec]], folder: Path, options: argparse.Namespace, part: int, parts: int) -> None:
    """Do the clips of a part; print a line for each, and the sums."""
    rows: dict[str, list[dict[str, Any]]] = {"cloth": [], "softbody": [], "default": []}
    drawn: list[float] = []
    for number, (name, spec) in enumerate(clips):
        if number % parts != part:
            continue
        kinds = ("cloth", "softbody", "default") if number < options.others else ("cloth",)
        for kind in kinds:
            rows[kind].append(one(name, spec, kind, folder))
            print(json.dumps({k: v for k, v in rows[kind][-1].items() if k != "measures"}), flush=True)
        if rows["cloth"][-1]["accepted"] and len(drawn) < options.rendered and parts == 1:
            clip = store.load(folder / f"{name}-cloth.npz", spec, body_of(spec))
            if clip is not None:
                drawn.append(rendering(spec, clip))
    if options.sheets:
        sheets(folder, options.sheets)
    report(rows, drawn, options.others)


def report(rows: dict[str, list[dict[str, Any]]], drawn: list[float], others: int) -> None:
    """Print what came of it; last a line of JSON."""
    cloth = rows["cloth"]
    for count in (1, 2):
        print(f"{count} garments: {per_moment([r for r in cloth if r['garments'] == count])} s a 1/30 s")
    default = rows["default"]
    print(
        f"Blender {bpy.app.version_string}'s default settings on {len(default)} of these: {per_moment(default)} s, "
        f"ours {per_moment(cloth[:others])} s, accepted {share([r['accepted'] for r in default])}"
    )
    accepted = [row for row in cloth if row["accepted"]]
    inside = [garment["penetration"][0] for row in accepted for garment in row["measures"].values()]
    seconds, render = per_moment(cloth), float(np.mean(drawn)) if drawn else None
    result = {
        "clips": len(cloth),
        "accepted": share([row["accepted"] for row in cloth]),
        "accepted_first": share([row["accepted"] and row["tries"] == 1 for row in cloth]),
        "penetration_mean": round(float(np.mean(inside)), 5) if inside else None,
        "s_per_frame": round(seconds, 4) if seconds else None,
        "sim_over_render": ratio(seconds, render),
        "softbody_accepted": share([row["accepted"] for row in rows["softbody"]]),
        "softbody_over_cloth_s": ratio(per_moment(rows["softbody"]), per_moment(cloth[:others])),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
