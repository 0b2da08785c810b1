"""The viewer's server: what it answers, and that nothing outside the shards can be had from it."""

import hashlib
import http.client
import io
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synth.errors import SynthError
from synth.shards.manifest import Manifest
from synth.shards.read import ShardReader
from synth.view.server import serve

sys.path.insert(0, str(Path(__file__).parents[1] / "shards"))
from shard_factory import make_shard


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    Manifest(folder).record(make_shard(folder, frames=3, views=2, dressed=True, size=96))
    (folder / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ThreadingHTTPServer]:
    server = serve(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def reader(folder: Path) -> ShardReader:
    return ShardReader(next(folder.glob("*.h5")))


def get(server: ThreadingHTTPServer, address: str, host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.putrequest("GET", address, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_pictures_meshes_and_labels_are_the_shards(server: ThreadingHTTPServer, reader: ShardReader) -> None:
    clip = f"/api/clip/{reader.path.stem}"
    (listed,) = json.loads(get(server, "/api/clips")[1])
    assert (listed["id"], listed["frames"], listed["views"]) == (reader.path.stem, 3, 2)
    assert get(server, f"{clip}/view/1/frame/2/rgb") == (200, reader.jpeg(1, 2))
    labels = json.loads(get(server, f"{clip}/labels")[1])
    np.testing.assert_allclose(labels["views"][1]["keypoints_2d"], reader.clip("views/1/keypoints_2d"), atol=1e-6)
    assert labels["meshes"] == ["body", "shorts"]
    vertices = np.frombuffer(get(server, f"{clip}/mesh/1/frame/2")[1], "<f4").reshape(-1, 3)
    np.testing.assert_array_equal(vertices, reader.clip("garments/shorts/vertices_world")[2])
    faces = np.frombuffer(get(server, f"{clip}/mesh/0/faces")[1], "<u4").reshape(-1, 3)
    np.testing.assert_array_equal(faces, reader.clip("faces"))
    assert np.frombuffer(get(server, f"{clip}/mesh/1/faces")[1], "<u4").max() == len(vertices) - 1


@pytest.mark.parametrize("layer", ["parts", "garments", "depth", "normal", "flow"])
def test_an_overlay_shows_where_its_label_is(layer: str, server: ThreadingHTTPServer, reader: ShardReader) -> None:
    status, content = get(server, f"/api/clip/{reader.path.stem}/view/0/frame/1/{layer}")
    picture = np.asarray(Image.open(io.BytesIO(content)))
    maps = reader.frame(0, 1)
    wanted = maps[layer] > 0 if layer in ("parts", "garments") else maps["depth"] > 0
    assert status == 200
    np.testing.assert_array_equal(picture[..., 3] > 0, wanted)


@pytest.mark.parametrize(
    "address",
    [
        "/secret.txt",
        "/../secret.txt",
        "/..%2fsecret.txt",
        "//etc/passwd",
        "/static/../../secret.txt",
        "/viewer.js/../server.py",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/clip/../../secret.txt/labels",
        "/api/clip/..%2f..%2fsecret/labels",
        "/api/clip/0000000000000000/labels",
        "/api/clip/CLIP/view/9/frame/0/rgb",
        "/api/clip/CLIP/view/0/frame/3/rgb",
        "/api/clip/CLIP/view/-1/frame/0/rgb",
        "/api/clip/CLIP/view/0/frame/0/checksums",
        "/api/clip/CLIP/mesh/2/faces",
        "http://example.com/",
    ],
)
def test_no_address_leaves_the_shards(address: str, server: ThreadingHTTPServer, reader: ShardReader) -> None:
    status, content = get(server, address.replace("CLIP", reader.path.stem))
    assert (status, content) == (404, b"no such thing")


def test_it_listens_and_answers_on_this_machine_only(server: ThreadingHTTPServer) -> None:
    # catches binding to all interfaces, and a page from elsewhere that points its own name to 127.0.0.1
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert get(server, "/", host="evil.example:80")[0] == 403
    assert get(server, "/", host=f"localhost:{server.server_port}")[0] == 200


def test_a_taken_port_is_a_clear_error(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SynthError, match="cannot be used"):
            serve(folder, taken.getsockname()[1])


def test_files_of_others_are_those_their_note_names() -> None:
    static = files("synth.view").joinpath("static")
    note = static.joinpath("PROVENANCE.md").read_text()
    rows = re.findall(r"^\| (\S+\.js) \| ([0-9a-f]{64}) \|$", note, re.M)
    assert [name for name, _ in rows] == ["three.module.min.js", "OrbitControls.js"]
    for name, digest in rows:
        assert hashlib.sha256(static.joinpath(name).read_bytes()).hexdigest() == digest
    assert "MIT" in static.joinpath("three.LICENSE").read_text()
