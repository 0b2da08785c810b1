"""What a refused clip cost is written down."""

import os
import time
from pathlib import Path

import pytest
from test_spec import make_spec

from synth import worker
from synth.cloth.simulate import Rejected
from synth.events import Reporter, parse
from synth.run import _entered
from synth.shards.manifest import Manifest
from synth.spec import to_json


@pytest.mark.blender
def test_seconds_of_a_refused_clip_go_into_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        time.sleep(0.01)
        raise Rejected(("shirt: slipped off",))

    monkeypatch.setattr("synth.pipeline.make_clip", refuse)
    spec, (reading, writing) = make_spec(), os.pipe()
    worker.make(to_json(spec), tmp_path, "cpu", Reporter(writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        last = parse(file.read().splitlines()[-1])
    assert last.kind == "rejected"
    assert last.seconds["simulate"] >= 0.01
    _entered(Manifest(tmp_path), tmp_path, spec, last)
    assert Manifest(tmp_path).entries()[spec.clip_id].seconds == last.seconds
