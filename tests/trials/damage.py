"""Videos that are damaged: whole ones of many kinds, and what happens to their bytes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from make_video import make_video, moving_frames
from PIL import Image

FRAMES, WIDTH, HEIGHT = 12, 64, 48
FILES: dict[str, tuple[str, dict[str, object]]] = {
    "H.264 in MP4": ("v.mp4", {"tone": 0.4}),
    "H.264 in Matroska": ("v.mkv", {"options": {"g": "4"}}),
    "H.264 in MPEG-TS": ("v.ts", {"options": {"g": "6"}}),
    "HEVC": ("v.mov", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
    "VP9": ("v.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    "AV1": ("a.mp4", {"codec": "libsvtav1", "options": {"preset": "12"}}),
    "MPEG-4 in AVI": ("v.avi", {"codec": "mpeg4"}),
    "GIF": ("v.gif", {"codec": "gif", "pix_fmt": "rgb8", "fps": 10}),
}
FRAGMENTS = Path(__file__).parents[1] / "cases/short-gop-fragmented.mp4"
FOLDERS = {"PNGs": "png", "JPEGs": "jpg", "WebPs": "webp"}
KINDS = [*FILES, "H.264 in fragments", *FOLDERS]


def make_sources(folder: Path) -> None:
    """One whole video of each kind, by its name in KINDS."""
    frames = moving_frames(FRAMES, WIDTH, HEIGHT)
    noise = np.random.default_rng(1).integers(-30, 30, frames.shape)
    frames = np.clip(frames + noise, 0, 255).astype(np.uint8)  # so that most bytes are picture, as in real files
    for kind, (name, how) in FILES.items():
        (folder / kind).mkdir(parents=True)
        make_video(folder / kind / name, frames, **how)  # type: ignore[arg-type]
    (folder / "H.264 in fragments").mkdir()
    shutil.copy(FRAGMENTS, folder / "H.264 in fragments")
    for kind, suffix in FOLDERS.items():
        (folder / kind / "v").mkdir(parents=True)
        for index, frame in enumerate(frames[:4]):
            Image.fromarray(frame).save(folder / kind / "v" / f"{index}.{suffix}")


def flip(data: bytearray, _: bytes, rng: Random) -> None:
    """A few bytes become others."""
    for _ in range(rng.choice([1, 1, 2, 4, 16, 64])):
        data[rng.randrange(len(data))] = rng.randrange(256)


def flip_header(data: bytearray, _: bytes, rng: Random) -> None:
    """A few of the first or last bytes become others, where most files tell what they are."""
    reach = min(len(data), 1500)
    for _ in range(rng.choice([1, 2, 4])):
        at = rng.randrange(reach)
        data[at if rng.random() < 0.5 else len(data) - 1 - at] = rng.randrange(256)


def extreme(data: bytearray, _: bytes, rng: Random) -> None:
    """A number somewhere in the first or last bytes is as large or small as it can be."""
    reach = min(len(data), 1500)
    at = rng.randrange(reach) if rng.random() < 0.5 else len(data) - 1 - rng.randrange(reach)
    number = rng.choice([b"\xff", b"\0"]) * rng.choice([2, 4, 8])
    data[at : at + len(number)] = number[: len(data) - at]


def cut(data: bytearray, _: bytes, rng: Random) -> None:
    """The end is missing."""
    del data[rng.randrange(len(data)) :]


def behead(data: bytearray, _: bytes, rng: Random) -> None:
    """The beginning is missing."""
    del data[: rng.randrange(1, len(data))]


def hole(data: bytearray, _: bytes, rng: Random) -> None:
    """A block of zeros, as of a disk."""
    at, size = rng.randrange(len(data)), rng.choice([16, 512, 4096])
    data[at : at + size] = bytes(len(data[at : at + size]))


def shift(data: bytearray, _: bytes, rng: Random) -> None:
    """Some bytes are there twice, or lost."""
    at, size = rng.randrange(len(data)), rng.randrange(1, 600)
    if rng.random() < 0.5:
        del data[at : at + size]
    else:
        data[at:at] = data[at : at + size]


def mix(data: bytearray, other: bytes, rng: Random) -> None:
    """The header of another file, and then its own bytes."""
    size = rng.choice([4, 12, 64, 512, len(other) // 2])
    data[: size if rng.random() < 0.7 else 0] = other[:size]


DAMAGES: list[Callable[[bytearray, bytes, Random], None]] = [flip, flip_header, extreme, cut, behead, hole, shift, mix]


def damaged(sources: Path, kind: str, target: Path, rng: Random) -> Path:
    """A damaged copy of a whole video, in `target`: a file or a folder of images."""
    (whole,) = (sources / kind).iterdir()
    copy = target / whole.name
    if whole.is_dir():
        shutil.copytree(whole, copy)
        harmed = rng.sample(sorted(copy.iterdir()), rng.choice([1, 1, 4]))
    else:
        shutil.copy(whole, copy)
        harmed = [copy]
    other_kind = rng.choice([name for name in KINDS if name != kind])
    (other,) = (sources / other_kind).iterdir()
    other = next(other.iterdir()) if other.is_dir() else other
    for file in harmed:
        data = bytearray(file.read_bytes())
        for damage in rng.sample(DAMAGES, rng.choice([1, 1, 1, 2])):
            damage(data, other.read_bytes(), rng)
            data = data or bytearray(b"\0")
        file.write_bytes(data)
    return copy
