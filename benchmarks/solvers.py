"""Cloth: the two solvers on the same clips in the same run, with what the gate measured and what it cost.

    python benchmarks/solvers.py [--motion FILE:FIRST:LAST ...] [--outfit NAME+NAME ...] [--all]
                                 [--pictures FOLDER] [--table FILE]

Without --motion, a stretch of the embedded CMU recording 01_01, simulated at its 120 Hz. Seconds are CPU seconds of
this process per 1/30 s of the whole outfit, lead-in included: lower is better. Penetration, poke-through (skin in front
of the cloth) and strain after the repair: lower is better; mean and worst frame. "wrinkle" is the mean angle between
the normals at the two ends of an edge beyond that of the skinned garment [deg]: 0 is a garment that looks painted on.
--table writes what `--solver auto` goes by (`synth/cloth/solvers.toml`); --all dresses in every garment.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from PIL import Image

from garments import catalog
from synth.assets import asset
from synth.blender import session
from synth.blender.simulate import solve
from synth.body.lbs import posed
from synth.body.model import load_named
from synth.cloth.dress import dress
from synth.cloth.lead_in import with_lead_in
from synth.cloth.settings import SolverSettings
from synth.cloth.simulate import judged
from synth.files import write_text
from synth.geometry.rotations import rotvec_to_rotmat
from synth.geometry.triangles import vertex_normals
from synth.motion import amass
from synth.motion.resample import resample
from synth.spec import GarmentSpec, MaterialSpec
from synth.types import BodyModel, DressedGarment, Motion

EMBEDDED = "asset:motions/cmu/01_01.npz"
LOOK = MaterialSpec(
    kind="procedural", seed=0, colour=(0.1, 0.25, 0.6), accent=(0.0, 0.0, 0.0),
    pattern="plain", scale=1.0, rotation=0.0, roughness=0.8,
)  # fmt: skip
COLOURS = {"tshirt": (0.1, 0.25, 0.6), "trousers": (0.35, 0.35, 0.12), "skirt": (0.5, 0.08, 0.15)}
SIZE = (240, 320)
EVERY = 4
"""Simulated frames for each that is looked at."""
ALL = [
    *("trousers+tshirt", "loose_trousers+longsleeve", "leggings+tank_top", "shorts+loose_shirt", "skirt+sweater"),
    *("short_skirt+tshirt", "long_skirt+tank_top", "dress", "sundress", "long_dress", "trousers+coat"),
]
"""Outfits in which every garment comes up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A dressed body in motion, before any cloth has moved."""

    name: str
    body: BodyModel
    motion: Motion
    lead: int
    vertices: np.ndarray
    dressed: tuple[DressedGarment, ...]


def prepared(motion: str, outfit: str) -> Case:
    """Dress the body and put the lead-in before the motion."""
    path, first, last = motion.rsplit(":", 2)
    file = asset(path.removeprefix("asset:")) if path.startswith("asset:") else Path(path)
    recording = amass.read(file, start=int(first), stop=int(last))
    body = load_named("free", recording.gender)
    betas = np.zeros(body.shapedirs.shape[2])
    betas[: len(recording.betas)] = recording.betas[: len(betas)]
    whole, lead = with_lead_in(resample(recording.motion, 120.0), body, betas)
    worn = tuple(
        GarmentSpec(name=name, fabric=catalog.load(name).fabric.name, sha256=catalog.digest(name), material=LOOK)
        for name in outfit.split("+")
    )
    vertices, _ = posed(body, betas, whole.global_orient, whole.body_pose, whole.transl)
    return Case(
        name=f"{file.stem}:{first}-{last} {outfit}",
        body=body,
        motion=whole,
        lead=lead,
        vertices=vertices,
        dressed=dress(body, betas, worn, whole),
    )


def folds(vertices: np.ndarray, triangles: np.ndarray) -> float:
    """Mean angle between the normals at the two ends of an edge [deg]."""
    pairs = np.unique(np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]]), axis=1), axis=0)
    angles = []
    for frame in vertices[::3].astype(np.float64):
        normals = vertex_normals(frame, triangles)
        cosine = np.einsum("ei,ei->e", normals[pairs[:, 0]], normals[pairs[:, 1]])
        angles.append(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())
    return float(np.mean(angles))


def measured(case: Case, solver: str, quality: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """One solver on one case: a row for each garment, and the repaired garments."""
    settings = SolverSettings(solver=solver, quality=quality)
    clock = time.process_time()
    solved = solve(
        case.dressed, case.vertices, case.body.faces, case.motion.fps, settings, log=os.open(os.devnull, os.O_WRONLY)
    )
    solving = (time.process_time() - clock) / len(case.motion) * case.motion.fps / 30.0
    kept = np.concatenate([[0], np.arange(case.lead, len(case.motion), EVERY)])
    shown = tuple(replace(worn, skinned_world=worn.skinned_world[kept]) for worn in case.dressed)
    clock = time.process_time()
    mended, after = judged(
        shown,
        {name: moved[kept] for name, moved in solved.items()},
        case.vertices[kept],
        case.body.faces,
        case.motion.fps / EVERY,
        1,
        case.body.face_parts,
    )
    judging = (time.process_time() - clock) / (len(kept) - 1)
    rows = []
    for worn in case.dressed:
        name = worn.garment.name
        triangles = worn.garment.triangles
        row = {"clip": case.name, "solver": solver, "garment": name, "accepted": after[name].accepted}
        row |= {"solve_s": solving, "judge_s": judging}
        for key in ("penetration", "poke_through", "strain", "crumpled", "stretched"):
            row[key] = [float(100 * f(getattr(after[name], key))) for f in (np.mean, np.max)]
        row["coverage"] = float(100 * after[name].coverage.min())
        row["drift_cm"] = float(100 * after[name].drift.max())
        row["wrinkle"] = folds(mended[name], triangles) - folds(worn.skinned_world[case.lead :: EVERY], triangles)
        row["reasons"] = list(after[name].reasons)
        rows.append(row)
    return rows, mended


def table(rows: list[dict]) -> str:
    """The rows as Markdown."""
    lines = [
        "| clip | garment | solver | s a 1/30 s | inside > 1 mm, mean (max) % | skin shows through, max % | strain, "
        "mean, max % | covers min % | drift cm | wrinkle deg | accepted |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        inside = "{:.2f} ({:.2f})".format(*row["penetration"])
        lines.append(
            f"| {row['clip']} | {row['garment']} | {row['solver']} | {row['solve_s']:.2f} | {inside} "
            f"| {row['poke_through'][1]:.2f} | {row['strain'][1]:.1f} | {row['coverage']:.0f} | {row['drift_cm']:.1f} "
            f"| {row['wrinkle']:.1f} | {'yes' if row['accepted'] else 'no: ' + '; '.join(row['reasons'])} |"
        )
    return "\n".join(lines)


def figures(rows: list[dict]) -> str:
    """What `synth.cloth.choice` reads."""
    lines = [
        "# How often each solver passes the quality gate with which garment, how much it folds the cloth: written by",
        "# `python benchmarks/solvers.py --table`. Shares of clips; degrees; share of vertices inside the body.",
    ]
    for name in sorted({row["garment"] for row in rows}):
        for solver in ("cloth", "softbody"):
            own = [row for row in rows if (row["garment"], row["solver"]) == (name, solver)]
            if own:
                lines += ["", f"[{name}.{solver}]", f"clips = {len(own)}"]
                lines.append(f"accepted = {np.mean([row['accepted'] for row in own]):.3f}")
                lines.append(f"wrinkle = {max(0.01, np.mean([row['wrinkle'] for row in own])):.2f}")
                lines.append(f"penetration = {np.mean([row['penetration'][0] for row in own]) / 100:.5f}")
    return "\n".join(lines) + "\n"


def picture(case: Case, results: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """One row for each solver, six frames, seen from the front left; odd rows from behind."""
    sheet: list[Image.Image] = []
    frames = np.linspace(0, (len(case.motion) - case.lead - 1) // EVERY, 6).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        for moved in results.values():
            for turn in (0.6, 3.7):
                sheet += [_shot(case, moved, t, turn, Path(folder)) for t in frames]
    width, height = SIZE
    whole = Image.new("RGB", (width * 6, height * len(sheet) // 6))
    for k, shot in enumerate(sheet):
        whole.paste(shot, (width * (k % 6), height * (k // 6)))
    whole.save(path, quality=82)


def _shot(case: Case, moved: dict[str, np.ndarray], t: int, turn: float, folder: Path) -> Image.Image:
    scene = session.empty_scene(2)
    scene.render.engine, scene.cycles.samples, scene.cycles.max_bounces = "CYCLES", 12, 2
    scene.cycles.use_denoising, scene.view_settings.view_transform = True, "Standard"
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (0.4, 0.42, 0.45, 1)
    body = case.vertices[case.lead + EVERY * t]
    shapes = [("body", body, case.body.faces, (0.75, 0.45, 0.33))]
    shapes += [
        (w.garment.name, np.nan_to_num(moved[w.garment.name][t]), w.garment.faces, COLOURS.get(w.garment.name))
        for w in case.dressed
    ]
    for name, vertices, faces, colour in shapes:
        material = bpy.data.materials.new(name)
        material.use_nodes = True
        material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*(colour or (0.2,) * 3), 1)
        material.node_tree.nodes["Principled BSDF"].inputs["Roughness"].default_value = 0.8
        session.mesh_object(name, vertices, faces).data.materials.append(material)
    facing = np.array([0.0, 0.0, 1.0])
    facing = rotvec_to_rotmat(case.motion.global_orient[case.lead][None])[0] @ facing
    angle = np.arctan2(facing[1], facing[0]) + turn
    centre = (body.min(axis=0) + body.max(axis=0)) / 2
    place = centre + np.array([2.9 * np.cos(angle), 2.9 * np.sin(angle), 0.3])
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location = place
    camera.rotation_euler = Vector((centre - place).tolist()).to_track_quat("-Z", "Y").to_euler()
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 3.0, (0.8, 0.2, angle + 2.2)
    for thing in (camera, sun):
        scene.collection.objects.link(thing)
    scene.camera, scene.render.filepath = camera, str(folder / "shot.png")
    with session.output_to(folder / "log"):
        bpy.ops.render.render(write_still=True)
    with Image.open(folder / "shot.png") as image:
        return image.convert("RGB")


def main() -> None:
    """Run both solvers on every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion", action="append", help="AMASS npz, first and last + 1 frame of the file")
    parser.add_argument("--outfit", action="append", help="garments, innermost first")
    parser.add_argument("--all", action="store_true", help="outfits in which every garment comes up")
    parser.add_argument("--table", type=Path, help="write the garments' figures here (TOML)")
    parser.add_argument("--quality", type=int, default=10, help="sub-steps per 1/30 s")
    parser.add_argument("--pictures", type=Path, help="folder for one contact sheet a clip")
    options = parser.parse_args()
    rows: list[dict] = []
    for motion in options.motion or [f"{EMBEDDED}:600:780"]:
        for outfit in options.outfit or (ALL if options.all else ["trousers+tshirt", "skirt+tshirt"]):
            case = prepared(motion, outfit)
            results = {}
            for solver in ("cloth", "softbody"):
                found, results[solver] = measured(case, solver, options.quality)
                rows += found
                print(table(found), flush=True)
            if options.table:
                write_text(options.table, figures(rows))
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                name = f"0002-{Path(motion.rsplit(':', 2)[0]).stem}-{outfit.replace('+', '-')}.jpg"
                picture(case, results, options.pictures / name)
    print(table(rows))
    mean = {s: float(np.mean([r["solve_s"] for r in rows if r["solver"] == s])) for s in ("cloth", "softbody")}
    print(
        json.dumps(
            {
                "cloth_s_per_frame": round(mean["cloth"], 3),
                "softbody_s_per_frame": round(mean["softbody"], 3),
                "judge_s_per_frame": round(float(np.mean([r["judge_s"] for r in rows])), 3),
                "accepted": {
                    s: float(np.mean([r["accepted"] for r in rows if r["solver"] == s])) for s in ("cloth", "softbody")
                },
                "penetration_mean_percent": round(max(r["penetration"][0] for r in rows), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
