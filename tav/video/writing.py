"""Write frames: MP4 with sound, GIF, contact sheet. All atomic."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tav.artifacts import atomic
from tav.video.fitting import resize
from tav.video.metadata import add_xmp
from tav.video.picking import Span
from tav.video.sound import audio_frames, layout_of, read_audio

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from PIL.Image import Image

BT709 = 1  # of FFmpeg's color_primaries, color_trc and colorspace alike
TV_RANGE = 1


def write_mp4(
    path: Path,
    frames: np.ndarray,
    fps: float,
    *,
    audio_from: Path | None = None,
    audio_span: Span | None = None,
    text: str | None = None,
) -> None:
    """H.264 in yuv420p, BT.709, with the index in front: plays everywhere. frames: uint8 (f h w 3), RGB.

    The rate is kept as the exact fraction (29.97 as 30000/1001). An odd side gets its last line twice, for yuv420p
    has one colour for 2x2 pixels. audio_from: a file whose sound comes along as AAC; audio_span: which part of it,
    all by default. It is cut, or silence added, to the length of the frames.
    Raises ValueError for wrong frames or rate, UserError for sound that can't be read.
    """
    import av

    _check(frames, fps)
    rate = Fraction(fps).limit_denominator(100_000)
    sound = _sound(audio_from, audio_span, len(frames) / fps) if audio_from else None
    with atomic(path) as fresh, av.open(str(fresh), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata.update({"comment": text} if text else {})
        pictures = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        voice = container.add_stream("aac", rate=sound[1], layout=layout_of(sound[0])) if sound else None
        _encode_pictures(container, pictures, frames, rate)
        if sound and voice:
            for piece in (*audio_frames(*sound), None):
                container.mux(voice.encode(piece))
    if text:
        add_xmp(path, text)


def _encode_pictures(container: "OutputContainer", stream: "VideoStream", frames: np.ndarray, rate: Fraction) -> None:
    import av

    even = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    stream.height, stream.width = even.shape[1:3]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = TV_RANGE
    for i, picture in enumerate(even):
        rgb = av.VideoFrame.from_ndarray(picture, format="rgb24")
        yuv = rgb.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=TV_RANGE)
        yuv.pts, yuv.time_base = i, 1 / rate
        container.mux(stream.encode(yuv))
    container.mux(stream.encode(None))


def _sound(path: Path, span: Span | None, seconds: float) -> tuple[np.ndarray, int]:
    """int16 (channels samples) as long as the pictures, and a rate that AAC knows."""
    samples, rate = read_audio(path, span)
    length = round(seconds * rate)
    samples = np.pad(samples[:, :length], ((0, 0), (0, max(0, length - samples.shape[1]))))
    return samples, rate


def write_gif(path: Path, frames: np.ndarray, fps: float, *, text: str | None = None) -> None:
    """A GIF that plays for ever, with one palette for all frames, so that colours don't flicker.

    GIF counts in 1/100 s: single frames are a little longer or shorter, the whole lasts as long as it should.
    Browsers slow down what is faster than 50 frames a second, so frames beyond that are left out.
    frames: uint8 (f h w 3), RGB. text: put in as comment and XMP. Raises ValueError.
    """
    from PIL import Image

    _check(frames, fps)
    starts, milliseconds = _gif_times(len(frames), fps)
    frames = frames[starts]
    step = math.isqrt(frames[..., 0].size // 32_768) + 1  # k-means takes a second for each 300,000 pixels
    some = frames[:, ::step, ::step]
    palette = Image.fromarray(some.reshape(-1, *some.shape[2:])).quantize(256, kmeans=1)
    pictures = [Image.fromarray(frame).quantize(palette=palette) for frame in frames]
    with atomic(path) as fresh:
        comment = {"comment": text.encode()} if text else {}
        pictures[0].save(
            fresh, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, **comment
        )
    if text:
        add_xmp(path, text)


def _gif_times(num_frames: int, fps: float) -> tuple[list[int], list[int]]:
    """Which frames are kept, and for how many milliseconds each is shown: 20 at least."""
    end = max(2, round(100 * num_frames / fps))  # 1/100 s
    kept: list[int] = []
    begins: list[int] = []
    for i in range(num_frames):
        begin = round(100 * i / fps)
        if not kept or (begin - begins[-1] >= 2 and end - begin >= 2):
            kept.append(i)
            begins.append(begin)
    return kept, [10 * (after - before) for before, after in pairwise([*begins, end])]


def write_contact_sheet(path: Path, rows: Sequence[np.ndarray], labels: Sequence[str], max_side: int = 256) -> None:
    """A PNG with a row for each video, its label above, and a column for each frame.

    rows: videos, uint8 (f h w 3), RGB; sizes may differ. max_side: pixels to which larger frames are shrunk. Frames of
    less than half of that are enlarged by a whole number, pixel by pixel.
    Raises ValueError.
    """
    from PIL import Image, ImageDraw, ImageFont

    if len(rows) != len(labels) or not rows:
        raise ValueError(
            f"a contact sheet needs one label a row and at least one row, got {len(rows)} and {len(labels)}"
        )
    strips = [_strip(frames, max_side) for frames in rows]
    text, gap = 18, 4
    width = max(strip.width for strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height + text + gap for strip in strips)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    top = 0
    for strip, label in zip(strips, labels, strict=True):
        draw.text((gap, top), label, "black", font)
        sheet.paste(strip, (0, top + text))
        top += strip.height + text + gap
    with atomic(path) as fresh:
        sheet.save(fresh, "PNG")


def _strip(frames: np.ndarray, max_side: int) -> "Image":
    """The frames of a video side by side."""
    from PIL import Image

    _check(frames)
    scale = min(1.0, max_side / max(frames.shape[1:3]))
    height, width = (max(1, round(side * scale)) for side in frames.shape[1:3])
    fitted = frames if scale == 1 else resize(frames, width, height, "stretch")
    times = max(1, max_side // (2 * max(height, width)))
    return Image.fromarray(np.concatenate(list(fitted), axis=1).repeat(times, axis=0).repeat(times, axis=1))


def _check(frames: np.ndarray, fps: float = 1.0) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(f"frames must be uint8 (f h w 3), got {frames.dtype} {frames.shape}")
    if not 0 < fps < 1e4:
        raise ValueError(f"fps must be more than 0 and less than 10000, got {fps}")
