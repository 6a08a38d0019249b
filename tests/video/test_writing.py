from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from make_video import make_video, moving_frames, psnr
from PIL import Image

from tav.params import UserError
from tav.video import Span, probe, read_frames, write_audio, write_contact_sheet, write_gif, write_mp4
from tav.video.sound import read_audio

NTSC = 30000 / 1001


def test_mp4_plays_back(tmp_path: Path) -> None:
    frames = moving_frames(12)
    path = tmp_path / "new" / "v.mp4"
    write_mp4(path, frames, NTSC / 4)
    assert psnr(read_frames(path, range(12)), frames) > 32
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction(7500, 1001)
        assert stream.duration * stream.time_base == Fraction(12 * 1001, 7500)
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert not container.streams.audio
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # starts to play before it is there whole
    assert [p.name for p in path.parent.iterdir()] == ["v.mp4"]


@pytest.mark.parametrize("fps", [8, 12.5, 24000 / 1001, NTSC / 7, 20.625, 60])
def test_cadence_is_exact(fps: float, tmp_path: Path) -> None:
    write_mp4(tmp_path / "v.mp4", moving_frames(5, 32, 32), fps)
    assert probe(tmp_path / "v.mp4").fps == pytest.approx(fps, rel=1e-9)


@pytest.mark.parametrize(("width", "height"), [(33, 31), (32, 31), (64, 48), (8, 8)])
def test_sizes(width: int, height: int, tmp_path: Path) -> None:
    frames = moving_frames(4, width, height)
    write_mp4(tmp_path / "v.mp4", frames, 8)
    back = read_frames(tmp_path / "v.mp4", range(4))
    assert back.shape == (4, height + height % 2, width + width % 2, 3)
    assert psnr(back[:, :height, :width], frames) > 22


def test_sound_of_the_span(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mp4", moving_frames(60, 64, 64), tone=2.0)
    whole, rate = read_audio(source)
    span = Span(0.5, 0.5 + 24 / 20)
    write_mp4(tmp_path / "v.mp4", moving_frames(24, 64, 64), 20, audio_from=source, audio_span=span)
    sound, _ = read_audio(tmp_path / "v.mp4", Span(0, 1.2))
    expected = whole[:, round(0.5 * rate) : round(1.7 * rate)]
    assert sound.shape == expected.shape
    assert np.corrcoef(sound[0], expected[0])[0, 1] > 0.97  # a shift of a millisecond would turn the wave around
    with av.open(str(tmp_path / "v.mp4")) as container:
        voice = container.streams.audio[0]
        assert voice.codec_context.name == "aac"
        assert float(voice.duration * voice.time_base) == pytest.approx(1.2, abs=0.025)  # an AAC frame lasts 23 ms


def test_sound_as_flac_is_exact_and_silent_beyond_its_end(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mp4", moving_frames(60, 64, 64), tone=1.0)
    whole, rate = read_audio(source)
    write_audio(tmp_path / "a.flac", source, Span(0.25, 1.75))
    samples, _ = read_audio(tmp_path / "a.flac")
    assert samples.shape == (1, round(1.5 * rate))
    assert np.array_equal(samples[:, : round(0.7 * rate)], whole[:, round(0.25 * rate) : round(0.95 * rate)])
    assert not samples[:, round(0.85 * rate) :].any()


def test_sound_that_starts_before_the_pictures(tmp_path: Path) -> None:
    """In a file whose first frame is shown at 0.4 s, the span counts from that frame."""
    path = make_video(tmp_path / "s.mkv", times=list(range(400, 1600, 50)), tone=1.6)
    whole, rate = read_audio(path, Span(-0.4, 1.2))
    later, _ = read_audio(path, Span(0.2, 1.0))
    assert np.array_equal(later, whole[:, round(0.6 * rate) : round(1.4 * rate)])
    assert later.any()
    assert whole[:, : round(0.1 * rate)].any()  # the tone is on from the file's start, 0.4 s before the first frame


def test_no_sound_to_take(tmp_path: Path) -> None:
    source = make_video(tmp_path / "s.mp4")
    with pytest.raises(UserError, match=r"sound of .*s\.mp4 can't be read"):
        write_mp4(tmp_path / "v.mp4", moving_frames(4), 8, audio_from=source)
    assert not (tmp_path / "v.mp4").exists()


@pytest.mark.parametrize("fps", [1, 8, 24, 29.97, 40, 49, 50, 51, 60, 99, 100, 120, 240, 1000])
@pytest.mark.parametrize("num_frames", [1, 2, 17, 48])
def test_what_is_written_lasts_as_long_at_any_rate(num_frames: int, fps: float, tmp_path: Path) -> None:
    frames = moving_frames(num_frames, 32, 32)
    write_gif(tmp_path / "v.gif", frames, fps)
    with Image.open(tmp_path / "v.gif") as gif:
        shown = []
        for i in range(gif.n_frames):
            gif.seek(i)
            shown.append(gif.info["duration"])
    assert sum(shown) == pytest.approx(max(20, 1000 * num_frames / fps), abs=5.1)
    assert min(shown) >= 20
    assert len(shown) == num_frames or fps > 50
    write_mp4(tmp_path / "v.mp4", frames, fps)
    info = probe(tmp_path / "v.mp4")
    assert info.num_frames == num_frames
    assert info.duration == pytest.approx(num_frames / fps, rel=0.01) or num_frames == 1


def test_gif(tmp_path: Path) -> None:
    frames = moving_frames(9)
    write_gif(tmp_path / "v.gif", frames, 8)
    with Image.open(tmp_path / "v.gif") as gif:
        shown = []
        for i in range(gif.n_frames):
            gif.seek(i)
            shown.append(gif.info["duration"])
        assert gif.info["loop"] == 0
    assert sum(shown) == 1120  # 9 / 8 s, of 12 or 13 hundredths each
    assert psnr(read_frames(tmp_path / "v.gif", range(9)), frames) > 26


def test_contact_sheet(tmp_path: Path) -> None:
    rows = [moving_frames(4), moving_frames(4, 64, 64)]
    write_contact_sheet(tmp_path / "s.png", rows, ["a source", "an edit"], max_side=96)
    sheet = np.asarray(Image.open(tmp_path / "s.png"))
    label = 18
    assert sheet.shape[1] == 4 * 96
    assert (sheet[:label] < 128).any()  # the label's ink
    second = sheet[label + 72 + 4 + label :][:64, : 4 * 64]
    assert np.array_equal(second, np.concatenate(list(rows[1]), axis=1))
    write_contact_sheet(tmp_path / "small.png", [rows[0][:, :16, :16]], ["small"])
    assert np.asarray(Image.open(tmp_path / "small.png")).shape[1] == 4 * 16 * 8
    with pytest.raises(ValueError, match="one label a row"):
        write_contact_sheet(tmp_path / "s.png", rows, ["a source"])


def test_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8"):
        write_mp4(tmp_path / "v.mp4", np.zeros((2, 8, 8, 3), np.float32), 8)
    for fps in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="fps"):
            write_mp4(tmp_path / "v.mp4", moving_frames(2), fps)
    assert not list(tmp_path.iterdir())
