"""The viewer's server: a fixed set of addresses, read-only, for this machine alone.

No address is ever turned into a path: clips are looked up among the manifest's ids, the page's own files in a fixed
list.
"""

import json
import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from synth.errors import SynthError
from synth.view.scene import Scenes

__all__ = ["serve"]

_log = logging.getLogger(__name__)
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "/viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "/stage.js": ("stage.js", "text/javascript; charset=utf-8"),
    "/three.module.min.js": ("three.module.min.js", "text/javascript; charset=utf-8"),
    "/OrbitControls.js": ("OrbitControls.js", "text/javascript; charset=utf-8"),
}
_CLIP = r"/api/clip/(?P<clip_id>[0-9a-f]{16})"
_ANSWERS: tuple[tuple[re.Pattern[str], str, Callable[[Scenes, dict[str, str]], bytes]], ...] = (
    (re.compile(r"/api/clips"), "application/json", lambda s, m: _json(s.clips())),
    (re.compile(_CLIP + r"/labels"), "application/json", lambda s, m: _json(s.labels(m["clip_id"]))),
    (
        re.compile(_CLIP + r"/mesh/(?P<mesh>\d{1,3})/faces"),
        "application/octet-stream",
        lambda s, m: s.faces(m["clip_id"], int(m["mesh"])),
    ),
    (
        re.compile(_CLIP + r"/mesh/(?P<mesh>\d{1,3})/frame/(?P<t>\d{1,7})"),
        "application/octet-stream",
        lambda s, m: s.vertices(m["clip_id"], int(m["mesh"]), int(m["t"])),
    ),
    (
        re.compile(_CLIP + r"/view/(?P<view>\d{1,4})/frame/(?P<t>\d{1,7})/rgb"),
        "image/jpeg",
        lambda s, m: s.picture(m["clip_id"], int(m["view"]), int(m["t"])),
    ),
    (
        re.compile(_CLIP + r"/view/(?P<view>\d{1,4})/frame/(?P<t>\d{1,7})/(?P<layer>[a-z]{1,12})"),
        "image/png",
        lambda s, m: s.overlay(m["clip_id"], int(m["view"]), int(m["t"]), m["layer"]),
    ),
)
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _answer(scenes: Scenes, address: str) -> tuple[bytes, str] | None:
    """Content and type for an address, None if there is no such thing."""
    if address in _PAGE:
        name, kind = _PAGE[address]
        return files("synth.view").joinpath("static", name).read_bytes(), kind
    for pattern, kind, make in _ANSWERS:
        match = pattern.fullmatch(address)
        if match is not None:
            try:
                return make(scenes, match.groupdict()), kind
            except KeyError:
                return None
    return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, port: int, scenes: Scenes) -> None:
        self.scenes = scenes
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def names(self) -> set[str]:
        """How a browser on this machine may name the server; another name means a page from elsewhere asks."""
        return {f"{host}:{self.server_port}" for host in ("127.0.0.1", "localhost")}


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] (the only server that uses it)
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one request."""
        if self.headers.get("Host", "") not in self.server.names:
            self._send(HTTPStatus.FORBIDDEN, b"this server answers its own machine only", "text/plain")
            return
        try:
            answer = _answer(self.server.scenes, self.path.partition("?")[0])
        except SynthError as error:
            _log.warning("%s", error)
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, str(error).encode(), "text/plain; charset=utf-8")
            return
        if answer is None:
            self._send(HTTPStatus.NOT_FOUND, b"no such thing", "text/plain")
        else:
            self._send(HTTPStatus.OK, *answer)

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests go to the log, not to stderr."""
        _log.debug(format, *args)


def serve(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """Make the server of a folder, bound to 127.0.0.1; the caller runs `serve_forever` and `server_close`.

    Args:
        folder: The shards.
        port: 0: any that is free; `server_port` says which.

    Raises:
        SynthError: no shards there, or the port is taken.
    """
    scenes = Scenes(folder)
    try:
        return _Server(port, scenes)
    except OSError as error:
        raise SynthError(f"port {port} cannot be used ({error})", "Choose another with --port, or 0 for any") from None
