"""What is decoded comes out as a player shows it."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest
from make_video import make_video, moving_frames, psnr

from tav.video import frame_times, probe, read_frames

CASES = Path(__file__).parents[1] / "cases"
EIGHT = {  # what a pixel's (x, y) becomes -> degrees counter-clockwise, then mirrored
    (1, 0, 0, 1): (0, False),
    (0, -1, 1, 0): (90, False),
    (-1, 0, 0, -1): (180, False),
    (0, 1, -1, 0): (270, False),
    (-1, 0, 0, 1): (0, True),
    (1, 0, 0, -1): (180, True),
    (0, 1, 1, 0): (270, True),
    (0, -1, -1, 0): (90, True),
}


def with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """An MP4 with this display matrix in its track header."""
    content = bytearray(make_video(path).read_bytes())
    a, b, c, d = (x * 65536 for x in matrix)
    at = content.index(b"tkhd") + 44
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def moved(picture: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Pixel by pixel, as ISO 14496-12 has it."""
    a, b, c, d = matrix
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    shown = np.empty((to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    shown[to_y, to_x] = picture
    return shown


@pytest.mark.parametrize("matrix", EIGHT)
def test_eight_display_matrices(matrix: tuple[int, int, int, int], tmp_path: Path) -> None:
    path = with_matrix(tmp_path / "v.mp4", matrix)
    expected = moved(moving_frames()[3], matrix)
    info = probe(path)
    assert (info.rotation, info.mirrored) == EIGHT[matrix]
    assert (info.height, info.width) == expected.shape[:2]
    assert psnr(read_frames(path, [3])[0], expected) > 27
    back = np.rot90(moving_frames()[3], info.rotation // 90)
    assert np.array_equal(back[:, ::-1] if info.mirrored else back, expected)


def test_a_mirrored_video() -> None:
    """Its red corner was at the top left, its blue one at the bottom right."""
    frame = read_frames(CASES / "mirrored.mp4", [0])[0].astype(int)
    right, left = frame[4, -5], frame[-5, 4]
    assert right[0] - right[2] > 100
    assert left[2] - left[0] > 100


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
@pytest.mark.parametrize("suffix", ["webm", "mkv"])
def test_transparent_vp8_and_vp9_are_shown_on_white(codec: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=8, options={"auto-alt-ref": "0"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for _ in range(4):
            picture = np.zeros((96, 128, 4), np.uint8)
            picture[32:64, 32:64] = (255, 0, 0, 255)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format="yuva420p")))
        container.mux(stream.encode(None))
    on_white(read_frames(path, [0, 3]))


def on_white(frames: np.ndarray) -> None:
    """A red square on nothing."""
    assert (frames[:, [0, -1], :][:, :, [0, -1]] > 250).all()
    red = (frames[..., 0] > 200) & (frames[..., 1] < 60)
    assert red.any(axis=(1, 2)).all()
    assert not (frames.max(axis=-1) < 100).any()


def test_a_transparent_video() -> None:
    path = CASES / "transparent-vp9.webm"
    frames = read_frames(path, range(probe(path).num_frames or 0))
    assert list(frame_times(path)) == pytest.approx([i / 8 for i in range(6)])
    on_white(frames)


@pytest.mark.parametrize("trc", [16, 18])
@pytest.mark.parametrize(("nits", "level"), [(0, 0), (20, 88), (100, 186), (203, 226), (1000, 255)])
def test_hdr_is_tone_mapped(trc: int, nits: float, level: int, tmp_path: Path) -> None:
    """Grey of this many nits: up to half of white paper's light nothing changes, then it rolls off."""
    frames = read_frames(hdr_video(tmp_path / "v.mp4", trc, (code_of(nits, trc),) * 3), [0])
    assert np.abs(frames[0].astype(int) - level).max() <= 4


@pytest.mark.parametrize("trc", [16, 18])
def test_hdr_keeps_hue(trc: int, tmp_path: Path) -> None:
    bright, dark = code_of(600, trc), code_of(2, trc)
    frame = read_frames(hdr_video(tmp_path / "v.mp4", trc, (bright, dark, dark)), [0])[0]
    assert frame[48, 64, 0] > 180
    assert frame[48, 64, 1:].max() < 60


def code_of(nits: float, trc: int) -> float:
    """0 to 1: grey as PQ (ST 2084), or HLG on a screen of 1000 nits, has it."""
    if trc == 16:
        y = (nits / 10_000) ** (2610 / 16384)
        return float(((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32))
    scene = (nits / 1000) ** (1 / 1.2)
    return float(np.sqrt(3 * scene) if scene <= 1 / 12 else 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073)


def hdr_video(path: Path, trc: int, rgb: tuple[float, float, float]) -> Path:
    """One colour in 10 bits and BT.2020."""
    r, g, b = rgb
    y = 0.2627 * r + 0.678 * g + 0.0593 * b
    planes = [64 + 876 * y, 512 + 896 * (b - y) / 1.8814, 512 + 896 * (r - y) / 1.4746]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = trc, 9, 9, 1
        frame = av.VideoFrame(128, 96, "yuv420p10le")
        for plane, level in zip(frame.planes, planes, strict=True):
            plane.update(np.full(plane.buffer_size // 2, round(level), np.uint16).tobytes())
        frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = trc, 9, 9, 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_interlaced_video_has_no_combs(order: str, tmp_path: Path) -> None:
    """A bar that moves from field to field: its edge is straight, at the place of the first field."""
    path, first = tmp_path / "v.mp4", 0 if order == "tff" else 1
    with av.open(str(path), "w") as container:
        options = {"crf": "5", "flags": "+ilme+ildct"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for i in range(10):
            grey = np.full((144, 128), 128, np.uint8)
            grey[:96] = 40
            for field in (0, 1):
                at = 8 * i + (0 if field == first else 4)
                grey[field:96:2, at : at + 20] = 220
            frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
            frame.pts = i
            container.mux(stream.encode(marked(frame, order)))
        container.mux(stream.encode(None))
    frames = read_frames(path, range(10)).astype(int)
    assert list(frame_times(path)) == pytest.approx([i / 25 for i in range(10)])
    for i in range(2, 9):
        bar = frames[i, 8:-8, :, 0] > 128
        assert (bar == bar[0]).all()
        assert abs(int(np.argmax(bar[0])) - 8 * i) <= 1


def marked(frame: av.VideoFrame, order: str) -> av.VideoFrame:
    """The same, as interlaced with this field first."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format.name, time_base=Fraction(1, 25)
    )
    graph.link_nodes(source, graph.add("setfield", f"mode={order}"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()
