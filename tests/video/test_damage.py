"""Files that aren't what they should be: one error each, that says what and what to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_video import make_video, moving_frames
from PIL import Image

from tav.params import UserError
from tav.video import frame_times, probe, read_frames


def text(path: Path) -> Path:
    path.write_text("not a video\n" * 100)
    return path


def bytes_of(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def picture(path: Path) -> Path:
    Image.new("RGB", (64, 64)).save(path)
    return path


def sound_alone(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.int16), format="s16", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    whole = make_video(path, options={"g": "8"} if path.suffix != ".gif" else {}, **_codec(path))
    return bytes_of(whole, whole.read_bytes()[: int(whole.stat().st_size * share)])


def _codec(path: Path) -> dict[str, object]:
    return {"codec": "gif", "pix_fmt": "rgb8", "fps": 10} if path.suffix == ".gif" else {}


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (lambda path: path, "gone.mp4", "no such video: .*gone.mp4"),
        (lambda path: bytes_of(path, b""), "empty.mp4", "is empty"),
        (text, "text.mp4", "not a video"),
        (text, "text.txt", "not a video"),
        (lambda path: bytes_of(path, bytes(9999)), "zeros.mp4", "not a video"),
        (picture, "one.png", "not a video .* folder of images"),
        (sound_alone, "sound.m4a", "no video stream, only audio"),
        (cut, "cut.mp4", "cut short"),
        (cut, "cut.mkv", r"cut short: 0\.\d\d s are there, its header tells of 0\.80 s"),
        (cut, "cut.gif", "cut short"),
    ],
)
def test_bad_files(make: Callable[[Path], Path], name: str, message: str, tmp_path: Path) -> None:
    path = make(tmp_path / name)
    with pytest.raises(UserError, match=message) as error:
        probe(path)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize("name", ["v.mp4", "v.ts"])
def test_a_lost_block_is_found(name: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / name, _grainy(), options={"g": "12"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged near 0\.\d\d s"):
        list(frame_times(path))
    with pytest.raises(UserError, match="damaged"):
        read_frames(path, [0, 20])


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6])
def test_a_few_wrong_bytes_are_found(share: float, tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", moving_frames(40))
    content = bytearray(path.read_bytes())
    at = int(len(content) * share)
    content[at : at + 64] = np.random.default_rng(0).bytes(64)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged near \d\.\d\d s"):
        list(frame_times(path))


def test_a_title_in_another_encoding_is_no_damage(tmp_path: Path) -> None:
    """Players show a mark in its place."""
    path = make_video(tmp_path / "v.mkv")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Lavf", b"L\xe4vf"))
    assert path.read_bytes() != content
    assert probe(path).num_frames == 24


def test_frames_before_the_damage_are_good(tmp_path: Path) -> None:
    """Damage far behind the last wanted frame is not looked for."""
    whole = make_video(tmp_path / "whole.mp4", _grainy(80), options={"g": "8"})
    content = bytearray(whole.read_bytes())
    content[-len(content) // 6 : -len(content) // 8] = bytes(len(content) // 6 - len(content) // 8)
    path = bytes_of(tmp_path / "damaged.mp4", content)
    assert np.array_equal(read_frames(path, range(4)), read_frames(whole, range(4)))


def _grainy(num_frames: int = 24) -> np.ndarray:
    """Frames that fill a file, so that its middle is picture and not index."""
    noise = np.random.default_rng(1).integers(-30, 30, (num_frames, 96, 128, 3))
    return np.clip(moving_frames(num_frames) + noise, 0, 255).astype(np.uint8)
