"""Files that come with the project: bodies, motions, textures. `assets/manifest.toml` names each with its licence."""

import hashlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from synth.errors import SynthError

__all__ = ["asset", "asset_root", "manifest", "sha256_of"]

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
