"""Runs in a process of its own: simulate garments with the pipeline, write their motion and what the gate says."""

import importlib.util
import json
import os
import sys
from pathlib import Path

if importlib.util.find_spec("bpy") is None:
    # In Blender itself; as a module, Python finds the same by PYTHONPATH.
    sys.path += [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]


def main(path: Path) -> None:
    """Read a job and do it.

    Args:
        path: JSON with model, gender, betas, garments (names, innermost first), fabrics, motion, first, frames,
            solver, quality, out (.npz) and verdict (.json).
    """
    import numpy as np

    from garments import catalog
    from synth.blender.rehearse import rehearse, stretch
    from synth.body.model import find_bodies, load_body
    from synth.spec import GarmentSpec, MaterialSpec

    job = json.loads(path.read_text())
    grey = (0.5, 0.5, 0.5)
    look = MaterialSpec(
        kind="procedural", seed=0, colour=grey, accent=grey, pattern="plain", scale=1.0, rotation=0.0, roughness=0.8
    )
    outfit = tuple(
        GarmentSpec(name=name, fabric=fabric, sha256=catalog.digest(name), material=look)
        for name, fabric in zip(job["garments"], job["fabrics"], strict=True)
    )
    body = load_body(find_bodies(job["model"], (job["gender"],))[job["gender"]], job["gender"])
    betas = np.zeros(body.shapedirs.shape[2])
    betas[: len(job["betas"])] = job["betas"][: len(betas)]
    motion = stretch(job["motion"], job["first"], job["frames"])
    found = rehearse(body, betas, outfit, motion, job["solver"], job["quality"])
    np.savez(job["out"], body=found.body_vertices_world, **found.garment_vertices_world)
    reasons = {name: list(quality.reasons) for name, quality in found.quality.items()}
    Path(job["verdict"]).write_text(json.dumps(reasons))


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
