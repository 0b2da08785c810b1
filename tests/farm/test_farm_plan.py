import dataclasses
import json
from pathlib import Path

import drill_kit
import pytest

from render_farm.plan import estimate, plan_name, read_config, read_plan, write_plan
from synth.config import Config
from synth.errors import SynthError
from synth.spec import to_json


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    specs = [drill_kit.spec(index) for index in range(3)]
    count, cost = write_plan(tmp_path / "plan.jsonl", specs, Config())
    jobs = list(read_plan(tmp_path / "plan.jsonl"))
    assert count == 3
    assert cost.images == 6
    assert [job.spec for job in jobs] == specs
    assert [job.clip_id for job in jobs] == [spec.clip_id for spec in specs]
    assert json.loads((tmp_path / "plan.jsonl").read_text().splitlines()[1])["attributes"]["gender"] == "neutral"
    assert jobs[0].attributes["outfit"] == "bare"
    assert read_config((tmp_path / "plan.jsonl").read_text(), "") == Config()


def test_a_list_of_bare_specs_is_a_plan_of_the_same_name(tmp_path: Path) -> None:
    # what `synth plan --out` writes; the name must follow from the ids alone, so that submitting both is one plan
    specs = [drill_kit.spec(index) for index in range(2)]
    write_plan(tmp_path / "one.jsonl", specs)
    (tmp_path / "two.jsonl").write_text("".join(to_json(spec) + "\n" for spec in specs))
    assert plan_name(tmp_path / "one.jsonl") == plan_name(tmp_path / "two.jsonl")
    write_plan(tmp_path / "three.jsonl", specs[:1])
    assert plan_name(tmp_path / "three.jsonl") != plan_name(tmp_path / "one.jsonl")


def test_a_spec_edited_by_hand_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    write_plan(path, [drill_kit.spec(0)])
    plain = json.loads(path.read_text())
    plain["spec"]["seed"] += 1
    path.write_text(json.dumps(plain))
    with pytest.raises(SynthError, match=r"line 1: the job is called .*edited by hand"):
        list(read_plan(path))


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"spec": {}}', '{"spec": {"seed": "x"}}', "\x00\xff"])
def test_a_damaged_line_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    write_plan(path, [drill_kit.spec(0)])
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(SynthError, match=r"plan\.jsonl: line 2"):
        list(read_plan(path))


def test_the_estimate_grows_with_what_costs_time() -> None:
    base = drill_kit.spec(0)
    longer = dataclasses.replace(base, motion=dataclasses.replace(base.motion, count=60))
    finer = dataclasses.replace(base, render=dataclasses.replace(base.render, samples=4096))
    assert estimate(longer).images == 60
    assert estimate(longer).cpu_seconds > estimate(base).cpu_seconds
    assert estimate(finer).cpu_seconds > estimate(base).cpu_seconds
