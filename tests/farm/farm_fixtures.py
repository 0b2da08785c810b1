"""Fixtures of the farm's tests: a worker that misbehaves on demand, an object store on this machine.

A test module takes one by `ledger = farm_fixtures.ledger`: a conftest.py here would hide the one above.
"""

import atexit
import contextlib
from functools import cache
from pathlib import Path

import pytest
from drill_kit import environment


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes this process and its children use the misbehaving worker; holds a file for each job begun."""
    folder = tmp_path / "ledger"
    folder.mkdir()
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAIMENT_SCRATCH", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    return folder


@cache
def _endpoint() -> str:
    """Address of an S3 server in this process, with a bucket; it ends with the process."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a bucket on a server of this process."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", _endpoint())
    import fsspec

    with contextlib.suppress(FileExistsError):
        fsspec.filesystem("s3").mkdir("farm-test")
    return "s3://farm-test"
