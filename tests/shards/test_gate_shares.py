"""What the manifest says of the quality gate."""

import dataclasses
from pathlib import Path

import h5py
import pytest
from shard_factory import make_shard

from synth.errors import SynthError
from synth.shards.manifest import Entry, Manifest, gate_line, gate_shares


def entry(name: str, **attributes: object) -> Entry:
    return Entry(clip_id=name, status="done", attributes={"outfit": "tshirt", **attributes})


def test_shares_count_dressed_clips_by_their_tries() -> None:
    """Mutations: bare bodies counted; retries counted as first; an empty folder divided by zero."""
    entries = [
        entry("a", tries=1),
        entry("b", tries=3),
        entry("c", outfit="bare", tries=1),
        entry("d"),  # from before tries were noted
        dataclasses.replace(entry("e"), status="rejected"),
    ]
    assert gate_shares(entries) == {"first": 2, "retried": 1, "rejected": 1}
    said = gate_line(entries)
    assert said == "cloth: 2 (50%) accepted at the first try, 1 (25%) after retries, 1 (25%) rejected"
    assert gate_line([entry("c", outfit="bare")]) == ""


def test_the_manifest_has_solvers_and_tries_of_the_shard(tmp_path: Path) -> None:
    path = make_shard(tmp_path, frames=2, views=1, dressed=True, size=48)
    found = Manifest(tmp_path).record(path)
    assert found.attributes["tries"] == 1
    assert found.attributes["solvers"] == {}
    assert Manifest(tmp_path).entries()[found.clip_id].attributes["tries"] == 1


def test_a_shard_from_before_that_was_noted_is_read(tmp_path: Path) -> None:
    path = make_shard(tmp_path, frames=2, views=1, dressed=True, size=48)
    with h5py.File(path, "r+") as file:
        del file.attrs["cloth"]
    assert "tries" not in Manifest(tmp_path).record(path).attributes
    with h5py.File(path, "r+") as file:
        file.attrs["cloth"] = '["x"]'
    with pytest.raises(SynthError, match="cloth"):
        Manifest(tmp_path).record(path)
