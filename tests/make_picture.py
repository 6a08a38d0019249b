"""Small picture files with what Pillow can't write: chunks behind the pixels, ICC profiles, odd TIFFs."""

import struct
import zlib
from pathlib import Path

import numpy as np

SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))
"""Linear RGB to XYZ under D50, for sRGB's primaries."""
DISPLAY_P3 = ((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407))
CASES = Path(__file__).parent / "cases" / "folders"
"""Folders of pictures as they were found in use."""
STORED = np.full((16, 24, 3), 128, np.uint8)
STORED[:8, :8] = (255, 0, 0)
STORED[8:, 16:] = (0, 0, 255)
STORED[8:, :8] = (0, 255, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def add_chunk(png: Path, kind: bytes, data: bytes, *, behind: bool) -> None:
    """Put a chunk before or behind the pixels."""
    whole = png.read_bytes()
    place = whole.index(b"IEND" if behind else b"IDAT") - 4
    png.write_bytes(whole[:place] + chunk(kind, data) + whole[place:])


def linear(level: np.ndarray) -> np.ndarray:
    """sRGB's curve: 0..1 -> light, 0..1."""
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def profile(primaries: tuple[tuple[float, ...], ...] | None, curve: np.ndarray) -> bytes:
    """An ICC profile of version 2: of a screen with these primaries, or, without any, of grey."""
    fixed = [[struct.pack(">i", round(x * 65536)) for x in row] for row in primaries or ()]
    colorants = [b"XYZ \0\0\0\0" + b"".join(row[i] for row in fixed) for i in range(len(fixed))]
    table = np.round(curve * 65535).astype(">u2")
    curv = b"curv\0\0\0\0" + struct.pack(">I", len(table)) + table.tobytes()
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(x * 65536)) for x in (0.9642, 1, 0.8249))
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    text = b"text\0\0\0\0nobody's\0"
    tags = {b"desc": name, b"cprt": text, b"wtpt": white}
    if primaries:
        tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True))
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curv)
    else:
        tags[b"kTRC"] = curv
    start, heads, bodies = 128 + 4 + 12 * len(tags), b"", b""
    for tag, body in tags.items():
        heads += tag + struct.pack(">II", start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    head = bytearray(128)
    head[8:12] = b"\x02\x40\0\0"
    head[12:24] = b"mntr" + (b"RGB " if primaries else b"GRAY") + b"XYZ "
    head[36:40] = b"acsp"
    head[68:80] = b"".join(struct.pack(">i", round(x * 65536)) for x in (0.9642, 1, 0.8249))
    head[:4] = struct.pack(">I", start + len(bodies))
    return bytes(head) + struct.pack(">I", len(tags)) + heads + bodies


def ink_profile() -> bytes:
    """An ICC profile of CMYK inks that darken alike, each by half, and leave paper white: grey, whatever the ink."""
    inks = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4).sum(-1)
    lab = np.stack([255 * 0.5**inks, np.full(16, 128), np.full(16, 128)], -1).round().astype(np.uint8)
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    curves = bytes(range(256))
    lut = b"mft1\0\0\0\0\4\3\2\0" + identity + curves * 4 + lab.tobytes() + curves * 3
    whole = bytearray(profile(None, np.linspace(0, 1, 2)))
    start = int.from_bytes(whole[:4], "big")
    place = whole.index(b"kTRC")
    whole[place : place + 12] = b"A2B0" + struct.pack(">II", start, len(lut))
    whole[12:24] = b"prtrCMYKLab "
    whole += lut + bytes(-len(lut) % 4)
    whole[:4] = struct.pack(">I", len(whole))
    return bytes(whole)


def grey_tiff(path: Path, values: np.ndarray, *, white_is_zero: bool = False, bits: int = 0, big: bool = False) -> None:
    """An uncompressed TIFF of one channel, in the numbers' own type. bits: when they are packed bytes already."""
    order = ">" if big else "<"
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    if bits == 12:
        width = width * 2 // 3
    entries = {256: width, 257: height, 258: bits or values.itemsize * 8, 259: 1, 262: 0 if white_is_zero else 1}
    entries |= {273: 8, 277: 1, 278: height, 279: len(data), 339: kind}
    place = 8 + len(data)
    head = (b"MM" if big else b"II") + struct.pack(f"{order}HI", 42, place)
    ifd = struct.pack(f"{order}H", len(entries))
    for tag, value in sorted(entries.items()):
        ifd += struct.pack(f"{order}HHII", tag, 4, 1, value)
    path.write_bytes(head + data + ifd + bytes(4))
