from pathlib import Path

import pytest

from synth.assets import asset_root, blender_datafiles, manifest, reference, resolve, sha256_of
from synth.errors import SynthError


def test_every_asset_is_in_the_manifest_with_licence_source_and_digest() -> None:
    files = {p.relative_to(asset_root()).as_posix(): p for p in asset_root().rglob("*") if p.is_file()}
    del files["manifest.toml"]
    assert set(manifest()) == set(files)
    for name, entry in manifest().items():
        assert entry["sha256"] == sha256_of(files[name]), name
        assert entry["licence"], name
        assert entry["source"], name


def test_files_are_named_by_where_they_come_from(tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(b"x")
    inside = next(p for p in asset_root().rglob("*.npz"))
    hdri = next(blender_datafiles().glob("studiolights/world/*.exr"))
    for path, scheme in ((inside, "asset:"), (hdri, "bpy:"), (mine, str(tmp_path))):
        file = reference(path)
        assert file.path.startswith(scheme)
        assert resolve(file) == path.resolve()


def test_a_changed_or_missing_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "motion.npz"
    path.write_bytes(b"one")
    file = reference(path)
    path.write_bytes(b"two")
    with pytest.raises(SynthError, match=r"motion\.npz: was changed"):
        resolve(file)
    path.unlink()
    with pytest.raises(SynthError, match=r"motion\.npz: No such file"):
        resolve(file)
