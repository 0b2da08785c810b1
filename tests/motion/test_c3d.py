"""C3D files of every kind of processor and number, made here, and by ezc3d, an implementation of others."""

import struct

import numpy as np
import pytest

from synth.errors import SynthError
from synth.motion import c3d

LABELS = ["Tom:LFHD", "Tom:RFHD", "*12", "C7"]


def dec(values):
    """A DEC's single-precision floats: four times the value, halves swapped."""
    halves = (np.asarray(values, "<f4") * np.float32(4)).astype("<f4").view("<u2").reshape(-1, 2)
    return halves[:, ::-1].astype("<u2").tobytes()


def made(points, processor=c3d.INTEL, scale=-0.1, labels=LABELS, unit="mm", up="+Z", rate=100.0, analogue=0, seen=None):
    """Bytes of a C3D file holding points (T, K, 3) in its unit."""
    order = ">" if processor == c3d.MIPS else "<"

    def floats(values):
        return dec(values) if processor == c3d.DEC else np.asarray(values, order + "f4").tobytes()

    def text(group, name, strings):
        width = max(map(len, strings))
        return parameter(group, name, -1, (width, len(strings)), "".join(s.ljust(width) for s in strings).encode())

    def parameter(group, name, kind, shape, data):
        body = struct.pack("bB", kind, len(shape)) + bytes(shape) + data + b"\0"
        return struct.pack("bb", len(name), group) + name.encode() + struct.pack(order + "H", len(body) + 2) + body

    frames, count, _ = points.shape
    section = b"\x01\x50\x02" + bytes([processor])
    section += struct.pack("bb", 5, -1) + b"POINT" + struct.pack(order + "H", 3) + b"\0"
    section += text(1, "LABELS", labels) + text(1, "UNITS", [unit]) + text(1, "Y_SCREEN", [up]) + b"\0\0"
    section = section.ljust(2 * c3d.BLOCK, b"\0")
    header = b"\x02\x50" + struct.pack(order + "5H", count, analogue, 1, frames, 10) + floats([scale])
    header += struct.pack(order + "2H", 4, 1) + floats([rate])
    words = np.concatenate([points, np.zeros((frames, count, 1))], axis=2)
    if seen is not None:
        words[~seen, 3] = -1.0
    words = np.concatenate([words.reshape(frames, -1), np.full((frames, analogue), 7.0)], axis=1)
    if scale < 0:
        data = floats(words.ravel())
    else:
        words[:, : 4 * count].reshape(frames, count, 4)[..., :3] /= scale
        data = np.round(words).astype(order + "i2").tobytes()
    return header.ljust(c3d.BLOCK, b"\0") + section + data


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(-900, 900, (6, 4, 3)).round()


@pytest.mark.parametrize("processor", [c3d.INTEL, c3d.DEC, c3d.MIPS])
@pytest.mark.parametrize("scale", [-0.1, 0.5])
def test_every_processor_and_kind_of_number(tmp_path, points, processor, scale):
    # Catches a wrong order of bytes, halves of DEC floats, a scale left out, analogue words taken for points.
    path = tmp_path / "a.c3d"
    path.write_bytes(made(points, processor, scale, analogue=5))
    motion = c3d.read(path)
    assert (motion.labels, motion.fps, motion.source) == (("LFHD", "RFHD", "C7"), 100.0, "a")
    x, y, z = np.moveaxis(points[:, [0, 1, 3]] * 1e-3, -1, 0)
    np.testing.assert_allclose(motion.points, np.stack([y, z, x], axis=-1), atol=5e-4)


@pytest.mark.parametrize(("up", "order"), [("+Z", [1, 2, 0]), ("+Y", [0, 1, 2]), ("+X", [2, 0, 1])])
def test_the_vertical_is_the_file_s_own(tmp_path, points, up, order):
    (tmp_path / "a.c3d").write_bytes(made(points, up=up))
    np.testing.assert_allclose(c3d.read(tmp_path / "a.c3d").points, points[:, [0, 1, 3]][..., order] * 1e-3, rtol=1e-6)


def test_nothing_is_mirrored(tmp_path):
    axes = np.eye(3)[None] * 100.0
    for up in ("+X", "-X", "+Y", "-Y", "+Z", "-Z"):
        (tmp_path / "a.c3d").write_bytes(made(axes, labels=["A", "B", "C"], up=up))
        turned = c3d.read(tmp_path / "a.c3d").points[0] * 10
        assert np.linalg.det(turned) == pytest.approx(1.0)
        axis = "XYZ".index(up[1])
        assert turned[axis, 1] == pytest.approx(1.0 if up[0] == "+" else -1.0)


def test_what_was_not_seen_is_nan(tmp_path, points):
    seen = np.ones((6, 4), dtype=bool)
    seen[2, 0] = False
    points[4, 1] = np.nan
    points[5, 3] = 0.0
    (tmp_path / "a.c3d").write_bytes(made(points, seen=seen))
    lost = np.isnan(c3d.read(tmp_path / "a.c3d").points[..., 0])
    assert np.argwhere(lost).tolist() == [[2, 0], [4, 1], [5, 2]]


@pytest.mark.parametrize("unit", ["cm", "m", "in"])
def test_units(tmp_path, points, unit):
    (tmp_path / "a.c3d").write_bytes(made(points * 1e-3 / c3d.UNITS[unit], unit=unit))
    assert np.nanmax(np.abs(c3d.read(tmp_path / "a.c3d").points)) == pytest.approx(
        np.abs(points[:, [0, 1, 3]]).max() / 1e3
    )


def test_broken_files_are_one_clear_error(tmp_path, points):
    whole = made(points)
    path = tmp_path / "a.c3d"
    broken = [b"", b"x" * 2000, whole[:600], whole[:-1], made(points, unit="furlong"), made(points * 1e6)]
    broken += [made(points, labels=["", "", "*3", ""]), whole[: c3d.BLOCK + 3] + b"\x07" + whole[c3d.BLOCK + 4 :]]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(SynthError, match=r"a\.c3d"):
            c3d.read(path)
    with pytest.raises(SynthError, match="existing"):
        c3d.read(tmp_path / "no.c3d")


def test_damaged_bytes_never_do_worse_than_an_error(tmp_path, points):
    # ezc3d dies of a segmentation fault on some of such files: the reason for a reader of our own.
    rng, whole, path = np.random.default_rng(1), bytearray(made(points)), tmp_path / "a.c3d"
    refused = 0
    for _ in range(300):
        damaged = whole.copy()
        for at in rng.integers(0, 700, 6):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            c3d.read(path)
        except SynthError:
            refused += 1
    assert 50 < refused < 300


def test_agrees_with_ezc3d(tmp_path):
    ezc3d = pytest.importorskip("ezc3d")
    written = ezc3d.c3d()
    rng = np.random.default_rng(2)
    data = np.ones((4, 3, 20))
    data[:3] = rng.uniform(-2, 2, (3, 3, 20))
    point = written["parameters"]["POINT"]
    point["RATE"]["value"], point["UNITS"]["value"], point["LABELS"]["value"] = [120.0], ["m"], ["LANK", "RANK", "C7"]
    written["data"]["points"] = data
    written.write(str(tmp_path / "a.c3d"))
    motion = c3d.read(tmp_path / "a.c3d")
    assert (motion.fps, motion.labels, len(motion)) == (120.0, ("LANK", "RANK", "C7"), 20)
    np.testing.assert_allclose(motion.points, np.moveaxis(data[[1, 2, 0]], 0, 2).swapaxes(0, 1), rtol=1e-6)
