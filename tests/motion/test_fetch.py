"""Against a server on this machine that can stop in the middle of a file."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from synth.errors import SynthError
from synth.motion.fetch import fetch

FILES = {"02/02.asf": b"skeleton" * 1000, "02/02_01.amc": b"motion " * 30_000, "02/02_03.amc": b"other " * 10}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.removeprefix("/subjects/")
        self.server.asked.append((name, self.headers.get("Range")))
        if name == "02/":
            links = "".join(f'<A HREF="{n[3:]}">x</A>' for n in [*FILES, "02/index.html", "02/03_01.amc"])
            return self.answer(200, links.encode())
        if name not in self.server.files:
            return self.answer(404, b"")
        content, start = self.server.files[name], 0
        if self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.answer(416, b"")
        return self.answer(206 if start else 200, content[start:], self.server.stop.pop(name, None))

    def answer(self, code, content, stop=None):
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:stop])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.stop, server.files = [], {}, dict(FILES)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def test_everything_of_a_subject_comes_and_is_kept(server, tmp_path):
    good, bad = fetch(tmp_path, ["02", "77"], server=server.url)
    assert {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in good} == FILES
    assert len(bad) == 1
    assert "77" in bad[0]
    sums = dict(line.split()[::-1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    server.asked.clear()
    assert fetch(tmp_path, ["02"], server=server.url) == (good, [])
    assert server.asked == [("02/", None)]


def test_a_download_goes_on_where_it_stopped(server, tmp_path):
    server.stop["02/02_01.amc"] = 50_000
    good, bad = fetch(tmp_path, ["02"], server=server.url)
    assert len(good) == 2
    assert "02_01.amc" in bad[0]
    assert not (tmp_path / "02/02_01.amc").exists()
    assert (tmp_path / "02/02_01.amc.partial").stat().st_size == 50_000
    good, bad = fetch(tmp_path, ["02"], server=server.url)
    assert not bad
    assert ("02/02_01.amc", "bytes=50000-") in server.asked
    assert (tmp_path / "02/02_01.amc").read_bytes() == FILES["02/02_01.amc"]


def test_a_whole_partial_file_is_taken(server, tmp_path):
    (tmp_path / "02").mkdir()
    (tmp_path / "02/02.asf.partial").write_bytes(FILES["02/02.asf"])
    good, bad = fetch(tmp_path, ["02"], server=server.url)
    assert (len(good), bad) == (3, [])


def test_a_wrong_digest_is_refused(server, tmp_path):
    fetch(tmp_path / "a", ["02"], server=server.url)
    server.files["02/02_03.amc"] = b"changed"
    good, bad = fetch(tmp_path / "b", ["02"], server=server.url, sums=tmp_path / "a/SHA256SUMS")
    assert len(good) == 2
    assert "SHA-256" in bad[0]
    assert not list((tmp_path / "b/02").glob("02_03*"))
    (tmp_path / "a/02/02.asf").write_bytes(b"damaged")
    assert "not what it was" in fetch(tmp_path / "a", ["02"], server=server.url)[1][0]
    (tmp_path / "sums").write_text("nonsense\n")
    with pytest.raises(SynthError, match="sums"):
        fetch(tmp_path / "c", ["02"], server=server.url, sums=tmp_path / "sums")
