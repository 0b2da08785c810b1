"""Build the Blender extension: python blender_addons/build.py [--out dist] -> dist/raiment_blender-0.1.0.zip.

The zip holds the add-on and this project's code (`synth`, `garments`, the free bodies and motions), so that both are of
one version. What they need besides NumPy (SciPy, jaxtyping, ...) is taken from Blender's Python or from the folder
named in the extension's preferences. The same sources give the same bytes.
"""

import argparse
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ADDON = ROOT / "blender_addons" / "raiment"
_DAY = (1980, 1, 1, 0, 0, 0)


def _files() -> Iterator[tuple[str, Path]]:
    """Names in the zip and where they come from."""
    for folder, below in ((ADDON, ""), (ROOT / "synth", "vendor/synth/"), (ROOT / "garments", "vendor/garments/")):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                yield below + path.relative_to(folder).as_posix(), path
    for path in sorted((ROOT / "assets").rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield "vendor/synth/_assets/" + path.relative_to(ROOT / "assets").as_posix(), path
    yield "LICENSE", ROOT / "LICENSE"


def build(out: Path) -> Path:
    """Write the zip.

    Args:
        out: Folder it goes to.
    """
    manifest = tomllib.loads((ADDON / "blender_manifest.toml").read_text())
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{manifest['id']}_blender-{manifest['version']}.zip"
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in _files():
            entry = zipfile.ZipInfo(name, _DAY)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    part.replace(target)
    return target


def validated(package: Path) -> str:
    """What Blender's own extension tool says of the zip; nothing where bpy is not installed.

    Raises:
        RuntimeError: it refuses it.
    """
    import importlib.util

    found = importlib.util.find_spec("bpy")
    tools = (
        list(Path(found.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
        if found and found.origin
        else []
    )
    if not tools:
        return ""
    done = subprocess.run(
        [sys.executable, str(tools[0]), "validate", str(package)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{package}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def main() -> None:
    """Build and validate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the zip")
    package = build(parser.parse_args().out)
    said = validated(package)
    sys.stdout.write(f"{package} ({package.stat().st_size / 1e6:.1f} MB)\n{said}\n")


if __name__ == "__main__":
    main()
