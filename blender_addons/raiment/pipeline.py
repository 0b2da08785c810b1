"""Finds Raiment's own code (`synth`, `garments`) and runs parts of it in a process of their own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import bpy

HERE = Path(__file__).resolve().parent
VENDOR = HERE / "vendor"
"""Raiment's code as it was when the extension was built."""


def folders() -> list[str]:
    """Where Python looks besides its own folders: what the preferences name, then the code that came along."""
    preferences = bpy.context.preferences.addons.get(__package__)
    named = preferences.preferences.libraries if preferences and preferences.preferences else ""
    return [folder for folder in (named, str(VENDOR)) if folder and Path(folder).is_dir()]


def ready() -> str:
    """Make Raiment's code importable; return what is missing, or nothing."""
    for folder in folders():
        if folder not in sys.path:
            sys.path.append(folder)
    for module in ("numpy", "scipy", "jaxtyping", "synth", "garments"):
        try:
            __import__(module)
        except ImportError as error:
            return (
                f"{error}. Install Raiment for Python {sys.version_info[0]}.{sys.version_info[1]} "
                "(pip install --target FOLDER raiment) and name that folder in the extension's preferences"
            )
    return ""


def _environment() -> dict[str, str]:
    """For another process: it finds the pipeline where this one does."""
    before = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, [before]), *folders()])}


def rehearse(job: dict, garments: Path) -> dict:
    """Run the pipeline's simulation in another process, since it empties the scene.

    Args:
        job: As `rehearse.py` reads it; "out" is the file that it writes.
        garments: Folder of the garments drawn here.

    Returns:
        The verdict by garment: a list of reasons, empty if accepted.

    Raises:
        RuntimeError: it failed; the message is the last line it said.
    """
    with tempfile.TemporaryDirectory(prefix="raiment-") as folder:
        path, verdict = Path(folder) / "job.json", Path(folder) / "verdict.json"
        path.write_text(json.dumps(job | {"verdict": str(verdict)}))
        environment = {**_environment(), "RAIMENT_GARMENTS": str(garments)}
        script = str(HERE / "rehearse.py")
        blender = bpy.app.binary_path
        command = [sys.executable, script, str(path)]
        if blender:
            command = [blender, "--background", "--factory-startup", "--python", script, "--", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if not verdict.exists():
            said = (done.stderr or done.stdout).strip().splitlines()
            raise RuntimeError(said[-1] if said else "the simulation did not run")
        return json.loads(verdict.read_text())


def fit_capture(path: Path, out: Path) -> Path:
    """Fit the body to an AMC or BVH file with `synth motion fit`; return the AMASS file.

    Raises:
        RuntimeError: it failed; the message is the last line it said.
    """
    command = [sys.executable, "-m", "synth", "motion", "fit", str(path), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
    return out / f"{path.stem}.npz"
