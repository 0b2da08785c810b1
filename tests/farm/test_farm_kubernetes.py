"""Pods without a cluster: the objects against Kubernetes' own schemas, the commands in them run as processes here."""

import os
import sys
from pathlib import Path
from typing import Any

import drill_kit
import farm_fixtures
import pytest
from conftest import run_command

from render_farm.driver import Options
from render_farm.kubernetes import manifest
from synth.cli.farm import farm as group
from synth.errors import SynthError
from synth.process import Limits

ledger = farm_fixtures.ledger


def made(tmp_path: Path, device: str = "cpu", **more: Any) -> list[dict[str, Any]]:
    how = Options(device=device, limits=Limits(seconds=60.0, memory=2**31), two_stages=True)
    options = {"image": "registry/raiment:1", "workers": 3, "certs": tmp_path / "keys", **more}
    return manifest("s3://bucket/run", how, options)["items"]


def pod(item: dict[str, Any]) -> dict[str, Any]:
    return item["spec"]["template"]["spec"]


@pytest.mark.parametrize("device", ["cpu", "optix"])
def test_objects_keep_to_the_schemas_of_kubernetes(device: str, tmp_path: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    for item in made(tmp_path, device, volume="claim", env_secret="s3"):
        validate(item, "1.30", strict=True)  # strict: catches a field in the wrong place


def test_commands_in_pods_are_commands_of_the_farm(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    for item in made(tmp_path)[2:]:
        word, *rest = pod(item)["containers"][0]["command"][4:]
        assert group.commands[word].make_context(word, list(rest)).params["certs"] == Path("/keys")


def test_pods_get_what_they_need_and_no_more(tmp_path: Path) -> None:
    secret, service, scheduler, workers, driver = made(tmp_path, "optix", volume="claim")
    assert sorted(secret["stringData"]) == ["ca.pem", "node.key", "node.pem"]
    assert service["spec"]["selector"] == scheduler["spec"]["template"]["metadata"]["labels"]
    assert workers["spec"]["replicas"] == 3
    (worker,) = pod(workers)["containers"]
    assert worker["resources"]["limits"] == {"memory": "3072Mi", "nvidia.com/gpu": "1"}  # the job's 2 GiB and 1
    assert [m["mountPath"] for m in worker["volumeMounts"]] == ["/keys", "s3://bucket/run"]
    assert [m["mountPath"] for m in pod(scheduler)["containers"][0]["volumeMounts"]] == ["/keys"]
    assert "nvidia.com/gpu" not in str(driver)
    assert "--two-stages" in pod(driver)["containers"][0]["command"]
    with pytest.raises(SynthError, match="no image"):
        made(tmp_path, image=None)


@pytest.mark.slow
def test_a_plan_is_done_in_pods_and_they_are_removed(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, out = tmp_path / "cluster", tmp_path / "out"
    cluster.mkdir()
    kubectl = cluster / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("pretend_kubectl.py")} "$@"\n')
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cluster}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PRETEND_CLUSTER", str(cluster))
    good, bad, other = drill_kit.make_plan(tmp_path / "plan.jsonl", ["good", "segv", "good"])
    call = ("synth", "farm", "submit", str(tmp_path / "plan.jsonl"), "--out", str(out), "--cluster", "k8s")
    call += (
        "--image",
        "registry/raiment:1",
        "--workers",
        "1",
        "--namespace",
        "farm",
        "--certs",
        str(tmp_path / "keys"),
    )
    done = run_command(*call, timeout=300)
    said = done.stderr + "".join(path.read_text() for path in cluster.glob("*.said"))
    assert done.returncode == 1, said
    assert "2 done, 1 quarantined" in done.stdout
    assert drill_kit.sound(out) == {good.clip_id, other.clip_id}
    assert drill_kit.executions(ledger, bad.clip_id) == 3
    calls = (cluster / "calls").read_text()
    assert "--namespace farm apply -f -" in calls
    assert calls.splitlines()[-1].startswith("--namespace farm delete")
    assert not [pid for pid in cluster.glob("*.pid") if Path(f"/proc/{pid.read_text()}").exists()]
    assert "nothing to do" in run_command(*call).stdout
    assert (cluster / "calls").read_text() == calls
