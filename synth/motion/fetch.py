"""Download the CMU database's ASF/AMC files, resuming where an earlier try stopped.

The server keeps `subjects/02/02.asf` beside `subjects/02/02_01.amc` and lists a subject's files on `subjects/02/`. It
publishes no checksums: digests are noted in SHA256SUMS at the first download, and a later run compares; a file with
digests of a trusted list can be given instead.
"""

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from pathlib import Path

from synth.assets import sha256_of
from synth.errors import SynthError
from synth.files import write_text

SERVER = "http://mocap.cs.cmu.edu"
SUMS = "SHA256SUMS"
CHUNK = 1 << 16
TIMEOUT = 60.0
"""[s]"""
SUBJECTS = 144
_FILE = re.compile(r'href="(?:[^"]*/)?((\d{2,3})(?:_\d{2,3}\.amc|\.asf))"', re.IGNORECASE)


def fetch(
    out: Path,
    subjects: Collection[str] = (),
    *,
    server: str = SERVER,
    sums: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[list[Path], list[str]]:
    """Download skeletons and motions.

    Args:
        out: Folder; files go to `out/02/02_01.amc`.
        subjects: Numbers such as "02"; empty: all.
        server: Where from.
        sums: Digests to check against (lines "digest  02/02_01.amc"); None uses `out/SHA256SUMS`.
        tell: Takes a line about each file.

    Returns:
        The files that are there and whole, and a line about each that is not.

    Raises:
        SynthError: the list of digests cannot be read.
    """
    known, good, bad = _read_sums(sums or out / SUMS, must=sums is not None), [], []
    for subject in subjects or [f"{n:02d}" for n in range(1, SUBJECTS + 1)]:
        base = f"{server}/subjects/{subject}/"
        try:
            names = _listed(base, subject)
        except OSError as error:
            bad.append(f"{base}: {_why(error)}")
            continue
        for name in names:
            target, key = out / subject / name, f"{subject}/{name}"
            try:
                fresh = not target.is_file()
                if fresh:
                    _download(base + name, target, known.get(key))
                digest = sha256_of(target)
                if known.setdefault(key, digest) != digest:
                    raise SynthError(f"{target}: not what it was (SHA-256 {digest[:12]}...)", "Remove it, fetch again")
            except (OSError, SynthError) as error:
                bad.append(str(error) if isinstance(error, SynthError) else f"{base + name}: {_why(error)}")
                continue
            good.append(target)
            tell(f"{target}: {'fetched' if fresh else 'kept'}, {target.stat().st_size / 1e6:.1f} MB")
            if fresh:
                _write_sums(out / SUMS, known)
    return good, bad


def _listed(base: str, subject: str) -> list[str]:
    """Names of a subject's skeleton and motions, from the server's list of the folder."""
    with urllib.request.urlopen(base, timeout=TIMEOUT) as answer:
        page = answer.read(1 << 22).decode("utf-8", "replace")
    names = sorted({name for name, number in _FILE.findall(page) if number == subject})
    if not names:
        raise OSError("no ASF or AMC files listed there")
    return names


def _download(url: str, target: Path, digest: str | None) -> None:
    """Fetch one file to its place; what an earlier try left in `.partial` is not fetched again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    have = partial.stat().st_size if partial.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            resumed = answer.status == 206
            expected = int(answer.headers.get("Content-Length", -1))
            received = 0
            with partial.open("ab" if resumed else "wb") as file:
                while block := answer.read(CHUNK):
                    file.write(block)
                    received += len(block)
            if expected >= 0 and received != expected:
                raise OSError(f"cut off after {received} of {expected} bytes; run it again to go on")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing beyond what is there: the partial file is whole
            raise
    if digest is not None and sha256_of(partial) != digest:
        partial.unlink()
        raise SynthError(f"{url}: its SHA-256 is not the expected one", "Try again, or check the list of digests")
    partial.replace(target)


def _why(error: OSError) -> str:
    return f"{error.code} {error.reason}" if isinstance(error, urllib.error.HTTPError) else str(error)


def _read_sums(path: Path, *, must: bool) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        if not must and isinstance(error, FileNotFoundError):
            return {}
        raise SynthError(f"{path}: cannot be read ({error})", "Give a list as sha256sum writes it") from None
    known: dict[str, str] = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        if len(digest) != 2 * hashlib.sha256().digest_size or not name:
            raise SynthError(f"{path}: not a list of SHA-256 digests: {line[:60]!r}", "Give one as sha256sum writes it")
        known[name.strip()] = digest
    return known


def _write_sums(path: Path, known: dict[str, str]) -> None:
    write_text(path, "".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())))
