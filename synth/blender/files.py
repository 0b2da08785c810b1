"""Where the file that a spec names is on this machine."""

from pathlib import Path

from synth.assets import asset
from synth.blender.passes import datafiles
from synth.errors import SynthError
from synth.spec import FileRef


def located(file: FileRef) -> Path:
    """Find the file of a spec: "asset:..." comes with the project, "bpy:..." with Blender, others are paths.

    Raises:
        SynthError: there is no such file.
    """
    kind, _, name = file.path.partition(":")
    path = {"asset": lambda: asset(name), "bpy": lambda: datafiles() / name}.get(kind, lambda: Path(file.path))()
    if not path.is_file():
        raise SynthError(f"{file.path}: no such file", "Restore it, or plan the clips anew")
    return path
