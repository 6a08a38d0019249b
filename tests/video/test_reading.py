"""decord and PyAV against each other and against the frames that went in."""

import subprocess
import sys
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
from frame_numbers import frame_numbers
from make_video import make_video, moving_frames, nearest, psnr
from tiny import tiny_video

from tav.params import UserError
from tav.video import frame_times, probe, read_frames

CASES = Path(__file__).parents[1] / "cases"
CLIPS = Path(__file__).parents[3] / "shared" / "clips"
GOP = {"g": "8", "bf": "3"}
OPEN_GOP = {"x265-params": "log-level=none:open-gop=1:keyint=6:min-keyint=3:bframes=3"}
VARIABLE = [0, 50, 100, 200, 240, *range(300, 1630, 70)]

BY_DECORD = {
    "x264.mp4": {"options": GOP},
    "x264.mkv": {"options": GOP},
    "full-range.mp4": {"pix_fmt": "yuvj420p"},
    "x265-open-gop.mp4": {"codec": "libx265", "options": OPEN_GOP},
    "vp8.webm": {"codec": "libvpx", "options": {"cpu-used": "8", "g": "8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "g": "8"}},
    "variable.mp4": {"times": VARIABLE, "options": GOP},
    "variable.mkv": {"times": VARIABLE, "options": GOP},
    "turned-90.mp4": {"rotation": 90},
    "turned-180.mp4": {"rotation": 180},
    "turned-270.mp4": {"rotation": 270},
}
BY_PYAV = {
    "stream.ts": {"options": GOP},
    "10-bit.mp4": {"pix_fmt": "yuv420p10le"},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "colours.gif": {"codec": "gif", "pix_fmt": "rgb8", "fps": 10},
    "raw.h264": {},
    "narrow.mp4": {"frames": moving_frames(width=24)},
    "narrow-turned.mp4": {"frames": moving_frames(height=48), "rotation": 90},
    "odd.webm": {"frames": moving_frames(width=129, height=97), "codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
    "wide-pixels.mp4": {"aspect": Fraction(4, 3)},
}


@pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel for this platform")
@pytest.mark.parametrize("name", BY_DECORD)
def test_decord_reads_what_pyav_reads(name: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / name, **BY_DECORD[name])
    assert read_frames(path, range(24), "decord").shape[0] == 24  # each is compared
    assert np.array_equal(read_frames(path, [3, 8, 23], "decord"), read_frames(path, [3, 8, 23]))


@pytest.mark.parametrize("name", BY_DECORD | BY_PYAV)
def test_frames_come_out_as_they_went_in(name: str, tmp_path: Path) -> None:
    made = (BY_DECORD | BY_PYAV)[name]
    if made.get("codec", "libx264") not in av.codecs_available:
        pytest.skip(f"this PyAV has no {made['codec']}")
    originals = np.rot90(made.get("frames", moving_frames()), made.get("rotation", 0) // 90, (1, 2))
    path = make_video(tmp_path / name, **made)
    info, indices = probe(path), [0, 1, 7, 12, 23]
    frames = read_frames(path, indices)
    assert info.num_frames == 24
    assert frames.shape == (5, info.height, info.width, 3)
    if name == "wide-pixels.mp4":
        assert frames.shape[1:3] == (96, 171)
        frames = frames[:, :, np.arange(128) * 171 // 128]
    assert nearest(frames, originals) == indices
    assert psnr(frames, originals[indices]) > (18 if name.endswith("gif") else 27)


@pytest.mark.parametrize("clip", ["man-skiing.mp4", "hiker_tiny.mp4"])
def test_real_clips_read_alike(clip: str) -> None:
    if not (CLIPS / clip).exists() or find_spec("decord") is None:
        pytest.skip(f"needs decord and {CLIPS / clip}")
    indices = range(0, 40, 3)
    assert np.array_equal(read_frames(CLIPS / clip, indices, "decord"), read_frames(CLIPS / clip, indices))


def test_probe(tmp_path: Path) -> None:
    info = probe(make_video(tmp_path / "v.mp4", fps=Fraction(30000, 1001), rotation=90, tone=0.8))
    assert (info.width, info.height, info.num_frames, info.rotation, info.has_audio) == (96, 128, 24, 90, True)
    assert info.fps == 30000 / 1001
    assert info.duration == pytest.approx(24 * 1001 / 30000)


def test_frame_times_of_a_variable_rate(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mkv", times=VARIABLE)
    assert list(frame_times(path)) == pytest.approx([t / 1000 for t in VARIABLE], abs=2e-3)
    assert probe(path).fps == pytest.approx(23 / 1.56, rel=0.01)


def test_what_an_edit_list_hides_stays_hidden(tmp_path: Path) -> None:
    path = tmp_path / "trimmed.mp4"
    with (
        av.open(str(make_video(tmp_path / "whole.mp4", options={"g": "24"}))) as whole,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as trimmed,
    ):
        source = whole.streams.video[0]
        target = trimmed.add_stream_from_template(source)
        for packet in whole.demux(source):
            if packet.size:
                packet.pts -= int(5 / 30 / source.time_base)
                packet.dts -= int(5 / 30 / source.time_base)
                packet.stream = target
                trimmed.mux(packet)
    assert probe(path).num_frames == len(list(frame_times(path))) == 19
    assert nearest(read_frames(path, [0, 10, 18]), moving_frames()) == [5, 15, 23]
    with pytest.raises(UserError, match="ends before frame 19"):
        read_frames(path, [0, 19])


def test_transparent_gif_is_shown_on_white(tmp_path: Path) -> None:
    from PIL import Image

    pictures = [Image.new("RGBA", (40, 30), (255, 0, 0, 0)) for _ in range(2)]
    for i, picture in enumerate(pictures):
        picture.paste((0, 0, 255, 255), (10 * i, 0, 10 * i + 10, 30))
    path = tmp_path / "t.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, disposal=2)
    frames = read_frames(path, [0, 1])
    assert (frames[:, 15, 35] == 255).all()
    assert frames[0, 15, 5].tolist() == frames[1, 15, 15].tolist() == [0, 0, 255]


def test_indices(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4")
    frames = read_frames(path, [2, 2, 5])
    assert np.array_equal(frames[0], frames[1])
    assert nearest(frames, moving_frames()) == [2, 2, 5]
    for wrong in ([3, 1], [-1], []):
        with pytest.raises(ValueError, match="ascend"):
            read_frames(path, wrong)
    with pytest.raises(UserError, match="ends before frame 30"):
        read_frames(path, [20, 30])


@pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel for this platform")
@pytest.mark.parametrize("name", ["10-bit.mp4", "narrow.mp4", "wide-pixels.mp4", "av1.mp4", "colours.gif", "raw.h264"])
def test_what_decord_reads_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / name, **BY_PYAV[name])
    with pytest.raises(UserError, match=r"decord .* set extract\.reader to av") as error:
        read_frames(path, [0, 12], "decord")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["short-gop-fragmented.mp4", "no-duration.webm"])
@pytest.mark.parametrize("reader", ["av", "decord"])
def test_files_that_decord_reads_wrongly(name: str, reader: str) -> None:
    number = 60 if name.startswith("short") else 30
    info = probe(CASES / name)
    assert info.num_frames == number
    if reader == "av":
        assert frame_numbers(read_frames(CASES / name, range(number))) == list(range(number))
        assert list(frame_times(CASES / name)) == pytest.approx([i / 30 for i in range(number)], abs=1e-3)
    elif find_spec("decord"):
        with pytest.raises(UserError, match=r"set extract\.reader to av"):
            read_frames(CASES / name, range(number), "decord")


def test_matroska_with_negative_times(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    with (
        av.open(str(make_video(tmp_path / "whole.mp4", options=GOP))) as whole,
        av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as moved,
    ):
        target = moved.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(whole.streams.video[0]):
            if packet.size:
                packet.pts -= int(0.1 / packet.time_base)
                packet.dts -= int(0.1 / packet.time_base)
                packet.stream = target
                moved.mux(packet)
    assert nearest(read_frames(path, range(24)), moving_frames()) == list(range(24))


def test_avi_without_times_of_showing(tmp_path: Path) -> None:
    """30 were encoded; two of them are not in the file."""
    path = CASES / "packed-b-frames.avi"
    info = probe(path)
    assert (info.fps, info.num_frames, info.times) == (30, 28, "counted")
    assert list(frame_times(path)) == pytest.approx([i / 30 for i in range(28)])
    assert frame_numbers(read_frames(path, range(28))) == list(range(28))
    other = make_video(tmp_path / "v.avi", options=GOP)
    assert (probe(other).fps, probe(other).num_frames) == (30, 24)
    assert list(frame_times(other)) == pytest.approx([i / 30 for i in range(24)])
    assert nearest(read_frames(other, range(24)), moving_frames()) == list(range(24))


def test_pillow_still_draws_emoji_after_decord(tmp_path: Path) -> None:
    """decord's libraries replace those of what is loaded after it."""
    font = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
    if not font.is_file():
        pytest.skip("fonts-noto-color-emoji is not installed")
    video = tiny_video(tmp_path / "v.mp4", width=64, height=48, num_frames=4)
    code = (
        "import sys; from pathlib import Path; from tav.video.by_decord import by_decord;"
        "next(by_decord(Path(sys.argv[1]))); from PIL import ImageFont;"
        "ImageFont.truetype(sys.argv[2], 109).getmask('\U0001f431', mode='RGBA')"
    )
    subprocess.run([sys.executable, "-c", code, str(video), str(font)], check=True)
