"""Who may connect, who gets which slot, what goes over the wire."""

import json
from collections import Counter
from pathlib import Path

import drill_kit
import pytest

from render_farm import certificates, cluster, hosts
from render_farm.driver import Driver, Options, Task
from render_farm.job import Order, perform
from render_farm.plan import make_job
from render_farm.store import FolderStore
from synth.errors import SynthError


def driver(tmp_path: Path, device: str, **offered: int) -> Driver:
    found = Driver(FolderStore(tmp_path), cluster.local(1, "cpu"), [], Options(device=device))
    found._resources = Counter(offered)
    return found


@pytest.mark.parametrize(
    ("device", "stage", "offered", "wanted"),
    [
        ("auto", "render", {"GPU": 2, "CPU": 4}, "GPU"),
        ("auto", "simulate", {"GPU": 2, "CPU": 4}, "CPU"),  # catches cloth that keeps a card waiting
        ("auto", "render", {"CPU": 4}, "CPU"),
        ("cpu", "render", {"GPU": 2, "CPU": 4}, "CPU"),
    ],
)
def test_every_task_names_what_it_needs(
    device: str, stage: str, offered: dict[str, int], wanted: str, tmp_path: Path
) -> None:
    task = Task(make_job(drill_kit.spec(0)), stage)
    assert driver(tmp_path, device, **offered)._needs(task) == wanted


def test_every_card_has_a_nanny_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    found = cluster.slots(1, "auto")
    assert [slot["resources"] for slot in found] == [{"GPU": 1}, {"GPU": 1}, {"CPU": 1}]
    assert [slot["env"]["CUDA_VISIBLE_DEVICES"] for slot in found[:2]] == ["0", "3"]
    assert {slot["nthreads"] for slot in found} == {1}
    assert [slot["resources"] for slot in cluster.slots(2, "cpu")] == [{"CPU": 1}] * 2


def test_hosts_over_ssh_get_keys_and_encryption_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    farm = hosts.over_ssh("cpu", {"hosts": ("node1",), "address": "127.0.0.1"})
    assert all(path.is_file() for path in certificates.paths(tmp_path / ".raiment" / "farm-keys"))
    assert farm._security.require_encryption
    assert farm._security.get_connection_args("worker")["require_encryption"]
    told = hosts.remote_command("python3", 1, "cpu").format(address="tls://10.0.0.1:8786")
    assert "--certs .raiment/farm-keys" in told
    assert "umask 077" in told
    with pytest.raises(SynthError, match="no hosts"):
        hosts.over_ssh("cpu", {})


def test_an_order_is_data_and_cannot_name_code(tmp_path: Path) -> None:
    spec = drill_kit.spec(0)
    (tmp_path / "out").mkdir()
    plain = json.loads(Order(clip_id=spec.clip_id, spec="{}", store=str(tmp_path / "out"), driver="d").to_json())
    assert all(isinstance(value, (str, int, float, dict)) for value in plain.values())
    FolderStore(tmp_path / "out").prepare()
    with pytest.raises(KeyError):
        perform(json.dumps(plain | {"stage": "os"}))
    with pytest.raises(TypeError):
        perform(json.dumps(plain | {"module": "os"}))
