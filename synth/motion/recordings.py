"""A recorded motion, whichever of the kinds of file that can be sampled it is in."""

from pathlib import Path

from synth.motion import amass
from synth.motion.amass import Header, Recording

KINDS = (".npz", ".h5")
"""AMASS's files, and this project's own clips."""


def read(path: Path, *, name: str | None = None, start: int = 0, stop: int | None = None) -> Recording:
    """Read a motion (see `synth.motion.amass.read`).

    Raises:
        SynthError: the file cannot be read.
    """
    if path.suffix.lower() == ".h5":
        from synth.motion import ownclips

        return ownclips.read(path, name=name, start=start, stop=stop)
    return amass.read(path, name=name, start=start, stop=stop)


def header(path: Path) -> Header:
    """Number of frames and rate; the poses are not read.

    Raises:
        SynthError: the file cannot be read.
    """
    if path.suffix.lower() == ".h5":
        from synth.motion import ownclips

        return ownclips.header(path)
    return amass.header(path)
