"""Which sound is taken, and at what rate."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from make_video import moving_frames

from tav.params import UserError
from tav.video import Span, probe, write_audio, write_mp4
from tav.video.sound import read_audio

CASES = Path(__file__).parents[1] / "cases"


def pitch(samples: np.ndarray, rate: int) -> float:
    """Hz of the strongest tone."""
    spectrum = np.abs(np.fft.rfft(samples[0]))
    return float(np.argmax(spectrum) * rate / samples.shape[1])


def video_with_sound(path: Path, rate: int, codec: str = "pcm_s16le", seconds: float = 0.8) -> Path:
    """A video with 400 Hz at this rate."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mjpeg", rate=30)
        pictures.height, pictures.width, pictures.pix_fmt = 96, 128, "yuvj420p"
        voice = container.add_stream(codec, rate=rate, layout="mono", format="s16")
        for picture in moving_frames():
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(pictures.encode(None))
        wave = np.sin(2 * np.pi * 400 * np.arange(round(rate * seconds)) / rate) * 8000
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(voice.encode(frame))
        container.mux(voice.encode(None))
    return path


def test_the_default_track_is_taken() -> None:
    assert pitch(*read_audio(CASES / "two-sound-tracks-second-default.mkv", Span(0, 1))) == pytest.approx(880, abs=3)


def test_the_first_track_where_each_is_default(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    content = (CASES / "two-sound-tracks-second-default.mkv").read_bytes()
    path.write_bytes(content.replace(b"\x88\x81\x00", b"\x88\x81\x01"))  # FlagDefault
    assert pitch(*read_audio(path, Span(0, 1))) == pytest.approx(440, abs=3)


def test_a_track_without_a_decoder_is_passed_over(tmp_path: Path) -> None:
    """Also where it is the default one."""
    content = (CASES / "two-sound-tracks-second-default.mkv").read_bytes()
    first, last = content.index(b"A_AAC"), content.rindex(b"A_AAC")
    unknown = bytearray(content)
    unknown[last : last + 5] = b"A_XYZ"
    path = tmp_path / "v.mkv"
    path.write_bytes(unknown)
    assert pitch(*read_audio(path, Span(0, 1))) == pytest.approx(440, abs=3)
    unknown[first : first + 5] = b"A_XYZ"
    path.write_bytes(unknown)
    assert not probe(path).has_audio
    with pytest.raises(UserError, match="no track of it can be decoded"):
        read_audio(path)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_a_rate_that_aac_has_is_kept(rate: int, tmp_path: Path) -> None:
    samples, kept = read_audio(video_with_sound(tmp_path / "v.avi", rate))
    assert (kept, samples.shape) == (rate, (1, round(rate * 0.8)))


@pytest.mark.parametrize("rate", [4_000, 22_222, 37_800, 50_000, 192_000])
def test_any_other_becomes_48_khz(rate: int, tmp_path: Path) -> None:
    path = video_with_sound(tmp_path / "v.mkv", rate)
    write_audio(tmp_path / "sound.flac", path, Span(0.1, 0.7))
    samples, kept = read_audio(tmp_path / "sound.flac")
    assert (kept, samples.shape) == (48_000, (1, 28_800))
    expected = np.sin(2 * np.pi * 400 * (np.arange(28_800) / 48_000 + 0.1)) * 8000
    assert np.abs(samples[0, 480:-480] - expected[480:-480]).max() < 200
    write_mp4(tmp_path / "edit.mp4", moving_frames(18), 30, audio_from=tmp_path / "sound.flac")
    assert pitch(*read_audio(tmp_path / "edit.mp4", Span(0, 0.6))) == pytest.approx(400, abs=3)


def test_sound_at_22222(tmp_path: Path) -> None:
    write_audio(tmp_path / "sound.flac", CASES / "sound-22222.avi", Span(0, 0.5))
    assert read_audio(tmp_path / "sound.flac")[0].shape == (1, 24_000)
    write_mp4(tmp_path / "edit.mp4", moving_frames(15), 30, audio_from=tmp_path / "sound.flac")
    assert probe(tmp_path / "edit.mp4").has_audio


@pytest.mark.parametrize("rate", [1, 900, 1_000_000, 2**31 - 1])
def test_absurd_rates(rate: int, tmp_path: Path) -> None:
    path = video_with_sound(tmp_path / "v.avi", 44_100)
    head = struct.pack("<HHI", 1, 1, 44_100)
    assert path.read_bytes().count(head) == 1
    path.write_bytes(path.read_bytes().replace(head, struct.pack("<HHI", 1, 1, rate)))
    for read in (probe, read_audio):
        with pytest.raises(UserError, match=f"has {rate} samples a second, 1000 to 768000 are read"):
            read(path)
