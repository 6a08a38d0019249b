"""An MP4 that declares more than it can have is refused before it takes the memory."""

import struct
from pathlib import Path

import pytest
from make_video import make_video

from tav.params import UserError
from tav.video import probe
from tav.video.sound import read_audio

FRAGMENTED = Path(__file__).parents[1] / "cases/short-gop-fragmented.mp4"


def with_count(path: Path, box: bytes, at: int, *numbers: int) -> Path:
    """The first such box, with other numbers from the byte `at` of its content on."""
    content = bytearray(path.read_bytes())
    start = content.index(box) + 4 + at
    content[start : start + 4 * len(numbers)] = struct.pack(f">{len(numbers)}I", *numbers)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("each", [0, 1, 20])
@pytest.mark.parametrize("count", [100_000, 40_000_000, 2**32 - 1])
def test_samples_that_a_file_can_not_hold(count: int, each: int, tmp_path: Path) -> None:
    path = with_count(make_video(tmp_path / "v.mp4", tone=0.5), b"stsz", 4, each, count)
    for read in (probe, read_audio):
        with pytest.raises(UserError, match="declares more pictures or sound than its size holds") as error:
            read(path)
        assert "\n" not in str(error.value)


def test_samples_of_fragments(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(FRAGMENTED.read_bytes())
    assert probe(path).num_frames == 60
    with pytest.raises(UserError, match="declares more"):
        probe(with_count(path, b"trun", 4, 40_000_000))


@pytest.mark.parametrize("each", [0, 1])
def test_many_samples_in_a_large_file(each: int, tmp_path: Path) -> None:
    """Its size could hold them; the memory may not."""
    path = with_count(make_video(tmp_path / "v.mp4"), b"stsz", 4, each, 40_000_000)
    with path.open("r+b") as file:
        file.truncate(100_000_000)  # a hole
    with pytest.raises(UserError, match="than can be read"):
        probe(path)


def test_boxes_that_make_no_sense(tmp_path: Path) -> None:
    """Sizes of 0 and 1, and beyond the end: FFmpeg's to judge."""
    path = tmp_path / "v.mp4"
    for size in (0, 1, 7, 2**32 - 1):
        path.write_bytes(struct.pack(">I4s", size, b"moov") * 3)
        with pytest.raises(UserError):
            probe(path)


def test_nested_boxes(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(struct.pack(">I4s", 0, b"moov") * 5000)
    with pytest.raises(UserError):
        probe(path)
