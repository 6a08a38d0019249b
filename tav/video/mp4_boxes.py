"""How many samples an MP4 declares, told from its boxes before FFmpeg takes memory for each: some 40 bytes."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tav.params import UserError

SAMPLES = 2_000_000
"""Pictures, or pieces of sound, of a file: 18 hours at 30 a second."""
PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")


class _Box(NamedTuple):
    kind: bytes
    start: int
    """Where its content starts, in bytes of the file."""
    end: int


def check_samples(path: Path) -> None:
    """Raises UserError for an MP4 that declares more samples than a file of its size holds, or than are read."""
    size = path.stat().st_size
    in_fragments, is_sound = 0, False
    with path.open("rb") as file:
        for box in _boxes(file, 0, size):
            content = _read(file, box.start, 16)
            if box.kind == b"hdlr":
                is_sound = content[8:12] == b"soun"
            elif box.kind == b"stsz" and len(content) >= 12:
                each, count = struct.unpack(">II", content[4:12])
                _check(path, count * max(1, each), size, SAMPLES * max(1, each) if not (is_sound and each) else size)
            elif box.kind in (b"stz2", b"trun") and len(content) >= 12:
                at = 8 if box.kind == b"stz2" else 4
                count = struct.unpack(">I", content[at : at + 4])[0]
                in_fragments += count if box.kind == b"trun" else 0
                _check(path, max(count, in_fragments), size, SAMPLES)


def contents(path: Path, kind: bytes, largest: int) -> Iterator[bytes]:
    """Of each box of a kind, as far as it is no larger than so many bytes."""
    with path.open("rb") as file:
        for box in _boxes(file, 0, path.stat().st_size):
            if box.kind == kind and box.end - box.start <= largest:
                yield _read(file, box.start, box.end - box.start)


def _check(path: Path, needed: int, size: int, limit: int) -> None:
    if needed > min(size, limit):
        raise UserError(
            f"{path} declares more pictures or sound than {'its size holds' if needed > size else 'can be read'} "
            f"({needed} of at most {min(size, limit)}): it is damaged or far too long, save a part of it as a new video"
        )


def _boxes(file: BinaryIO, at: int, end: int) -> Iterator[_Box]:
    """The boxes from `at` to `end` with those inside them, as far as they make sense."""
    ends = [end]
    while ends:
        if at + 8 > ends[-1]:
            at = ends.pop()
            continue
        size, kind = struct.unpack(">I4s", _read(file, at, 8))
        start = at + 8
        if size == 1 and at + 16 <= ends[-1]:
            size, start = struct.unpack(">Q", _read(file, start, 8))[0], at + 16
        until = min(ends[-1], at + size) if size else ends[-1]
        if until < start:
            at = ends.pop()
            continue
        yield _Box(kind, start, until)
        at = until
        if kind in PARENTS:
            ends.append(until)
            at = start


def _read(file: BinaryIO, at: int, number: int) -> bytes:
    file.seek(at)
    return file.read(number)
