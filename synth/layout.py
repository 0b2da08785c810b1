"""Where a run keeps its files below the folder of the shards."""

from pathlib import Path

from synth.spec import ClipSpec


def shard_path(out: Path, spec: ClipSpec) -> Path:
    """The clip's shard."""
    return out / f"{spec.clip_id}.h5"


def log_path(out: Path, spec: ClipSpec) -> Path:
    """What Blender and the job printed."""
    return out / "logs" / f"{spec.clip_id}.log"


def simulation_path(out: Path, spec: ClipSpec) -> Path:
    """The cached simulation; clips that differ only in looks share it."""
    return out / ".cache" / "simulations" / f"{spec.simulation_id}.npz"


def journal_folder(out: Path, spec: ClipSpec) -> Path:
    """Rendered frames of a clip that is not finished."""
    return out / ".cache" / "frames" / spec.clip_id
