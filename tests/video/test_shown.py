"""What is decoded comes out as a player shows it."""

import struct
from pathlib import Path

import av
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
