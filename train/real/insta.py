"""InstaVariety's tfrecords (Kanazawa et al. 2019), parsed without TensorFlow: cropped videos, detected keypoints."""

import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from synth.errors import SynthError
from train.real.files import Fields, readable
from train.real.geometry import box_around
from train.real.record import ImageRef, Record
from train.real.source import Entry, Source

__all__ = ["InstaVariety", "examples", "masked_crc"]

Array = np.ndarray
SIDE = 224
"""Width and height of the crops [px]."""


class InstaVariety(Source):
    """InstaVariety, and VLogPeople and Penn Action in the same form. Pictures are the crops inside the file.

    If the record holds features ("image/phis"), keypoints run from -1 to 1 over the crop, else they are its pixels.
    """

    name = "insta"
    splits = ("train", "test")
    expects = "a folder with train/*.tfrecord"

    def _index(self) -> Sequence[Entry]:
        inside = self.path / self.split
        entries, self.places = [], []
        for path in sorted((inside if inside.is_dir() else self.path).glob("*.tfrecord*")):
            for number, (offset, size) in enumerate(examples(path)):
                fields = _example(path, offset, size)
                frames = int(fields.array("meta/N", 1)[0])
                if frames != len(fields.items("image/encoded")) or not frames:
                    raise fields.wrong("image/encoded", f"{frames} pictures", fields["image/encoded"])
                entries.append(Entry(name=f"{path.stem}/{number:03d}", frames=frames, fps=None))
                self.places.append((path, offset, size))
        return entries

    def _read(self, index: int) -> Record:
        path, offset, size = self.places[index]
        fields, frames = _example(path, offset, size), self.entries[index].frames
        main = fields.array("image/xys", 28 * frames).reshape(frames, 2, 14)
        seen = fields.array("image/visibilities", 14 * frames).reshape(frames, 1, 14)
        face = fields.array("image/face_pts", 15 * frames).reshape(frames, 3, 5)
        toes = "image/toe_pts" if "image/toe_pts" in fields else "image/toes_pts"  # code and documentation differ
        feet = np.zeros((frames, 3, 6))
        if toes in fields and len(fields[toes]):
            feet = fields.array(toes, 18 * frames).reshape(frames, 3, 6)
        rows = np.concatenate([np.concatenate([main, seen], axis=1), face, feet], axis=2).transpose(0, 2, 1)
        points = rows[..., :2]
        if "image/phis" in fields:
            points = (points + 1) * SIDE / 2
        confidence = np.nan_to_num(rows[..., 2]).clip(0, 1)
        return Record(
            source=self.name,
            name=self.entries[index].name,
            images=tuple(ImageRef(path=path, span=span) for span in fields["image/encoded"]),
            image_size=(SIDE, SIDE) if "image/phis" in fields else None,
            frame_ids=np.arange(frames),
            split=self.split,
            bbox=box_around(np.where(confidence[..., None] > 0, points, np.nan)),
            keypoints_set="insta25",
            keypoints_2d=points,
            confidence=confidence,
        )


def examples(path: Path) -> Iterator[tuple[int, int]]:
    """Offset and length [bytes] of each record of a tfrecord file; the lengths are held against their checksums.

    Raises:
        SynthError: the file is damaged.
    """
    with readable(path, "tfrecord"), path.open("rb") as file:
        end = path.stat().st_size
        at = 0
        while at < end:
            head = file.read(12)
            if len(head) < 12 or masked_crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
                raise SynthError(f"{path}: the record at byte {at} is damaged", "Download it again")
            (size,) = struct.unpack("<Q", head[:8])
            if at + 16 + size > end:
                raise SynthError(f"{path}: cut short in the record at byte {at}", "Download it again")
            yield at + 12, size
            at += 16 + size
            file.seek(at)


def _mapped(path: Path) -> mmap.mmap:
    """The file in memory, of which only what is looked at is read."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _example(path: Path, offset: int, size: int) -> Fields:
    """Features of a tf.train.Example by name; the pictures as spans in the file, not read."""
    with readable(path, "tfrecord"), _mapped(path) as whole:
        found = {}
        # Example.features = 1, Features.feature = 1: a map of key = 1 and value = 2
        for begin, end in _inside(whole, offset, offset + size, 1):
            for first, last in _inside(whole, begin, end, 1):
                keys = list(_inside(whole, first, last, 1))
                values = list(_inside(whole, first, last, 2))
                if keys and values:
                    name = whole[slice(*keys[-1])].decode("utf-8", "replace")
                    found[name] = _values(whole, name, *values[-1])
    return Fields(path, found, f"record at byte {offset}")


def _values(whole: mmap.mmap, name: str, begin: int, end: int) -> object:
    """A feature: bytes_list = 1, float_list = 2 or int64_list = 3, each with its values in field 1."""
    for inner in _inside(whole, begin, end, 1):
        spans = list(_inside(whole, *inner, 1))
        return [(a, b - a) for a, b in spans] if name == "image/encoded" else [whole[a:b] for a, b in spans]
    for inner in _inside(whole, begin, end, 2):
        packed = b"".join(whole[a:b] for a, b in _inside(whole, *inner, 1))
        return np.frombuffer(packed, "<f4")
    for inner in _inside(whole, begin, end, 3):
        return _integers(whole, *inner)
    return np.empty(0)


def _integers(whole: mmap.mmap, begin: int, end: int) -> Array:
    values = []
    for a, b in _inside(whole, begin, end, 1):
        while a < b:
            value, a = _varint(whole, a, b)
            values.append(value - (1 << 64) if value >> 63 else value)
    return np.array(values, dtype=np.int64)


def _inside(whole: mmap.mmap, begin: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Where the length-delimited fields of one number lie in a protocol buffer message; the others are skipped.

    A single number that is not packed is given as the stretch of its bytes.
    """
    at = begin
    while at < end:
        tag, at = _varint(whole, at, end)
        number, wire = tag >> 3, tag & 7
        start = at
        if wire == 2:
            size, start = _varint(whole, at, end)
            at = start + size
        elif wire == 0:
            _, at = _varint(whole, at, end)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError("not a protocol buffer")
        if at > end:
            raise EOFError("cut short")
        if number == wanted:
            yield start, at


def _varint(whole: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise EOFError("cut short")
        byte = whole[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise ValueError("a number without end")


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def masked_crc(content: bytes) -> int:
    """TFRecord's checksum: CRC-32C (Castagnoli), rotated right by 15 bits, plus 0xa282ead8."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
