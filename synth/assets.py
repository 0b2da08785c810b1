"""Files that come with the project: bodies, motions, textures. `assets/manifest.toml` names each with its licence."""

import hashlib
import importlib.util
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from synth.errors import SynthError
from synth.spec import FileRef

__all__ = ["asset", "asset_root", "blender_datafiles", "manifest", "reference", "resolve", "sha256_of"]

_PACKAGE = Path(__file__).resolve().parent


@cache
def asset_root() -> Path:
    """Folder of the project's data: `synth/_assets` in an installed wheel, else the checkout's top-level `assets`.

    Raises:
        SynthError: neither is there.
    """
    for folder in (_PACKAGE / "_assets", _PACKAGE.parent / "assets"):
        if (folder / "manifest.toml").is_file():
            return folder
    raise SynthError(
        f"The project's data is missing: no assets/manifest.toml beside {_PACKAGE}", "Install the project again"
    )


def asset(name: str) -> Path:
    """Find a file of the project's data.

    Args:
        name: Path below the data folder, such as "bodies/free_neutral.npz".

    Raises:
        SynthError: there is no such file.
    """
    path = asset_root() / name
    if not path.is_file():
        raise SynthError(f"{name}: no such file in {asset_root()}", "Install the project again")
    return path


@cache
def manifest() -> dict[str, dict[str, Any]]:
    """Entries of `assets/manifest.toml` by path: sha256, licence, source and the command that made the file."""
    with (asset_root() / "manifest.toml").open("rb") as file:
        return {entry["path"]: entry for entry in tomllib.load(file).get("asset", [])}


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits.

    Raises:
        SynthError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SynthError(f"{path}: {error.strerror or error}") from error


@cache
def blender_datafiles() -> Path:
    """Folder of the data that come with Blender, found without starting it.

    Raises:
        SynthError: Blender's module is not installed.
    """
    spec = importlib.util.find_spec("bpy")
    if spec is None or spec.origin is None:
        raise SynthError("Blender's module bpy is not installed", "pip install bpy==4.5.15")
    return next(Path(spec.origin).parent.glob("*/datafiles"))


def reference(path: Path | str) -> FileRef:
    """Name a file for a spec: by its place in the project or in Blender if it comes with them, else by absolute path.

    Raises:
        SynthError: the file cannot be read.
    """
    path = Path(path).expanduser().resolve()
    for scheme, root in (("asset", asset_root), ("bpy", blender_datafiles)):
        if path.is_relative_to(root().resolve()):
            return FileRef(path=f"{scheme}:{path.relative_to(root().resolve()).as_posix()}", sha256=sha256_of(path))
    return FileRef(path=str(path), sha256=sha256_of(path))


def resolve(file: FileRef) -> Path:
    """Find the file that a spec names, and see that it is the one that was meant.

    Raises:
        SynthError: it is missing, or its content is no longer what the spec was made from.
    """
    scheme, _, rest = file.path.partition(":")
    path = asset(rest) if scheme == "asset" else blender_datafiles() / rest if scheme == "bpy" else Path(file.path)
    if sha256_of(path) != file.sha256:
        raise SynthError(f"{path}: was changed since the plan was made", "Plan anew, or put the file back")
    return path
