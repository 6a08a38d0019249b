"""A text within an MP4 and a GIF, and colours over ten generations."""

from pathlib import Path

import av
import numpy as np
import pytest
from make_video import moving_frames, psnr
from PIL import Image

from tav.video import probe, read_frames, text_in, write_gif, write_mp4
from tav.video.metadata import GIF_MAGIC, GIF_XMP, UUID

TEXT = '{"prompt": "a <b> & \\"c\\" — 一只狗 ]]>"}'
WRITERS = {".mp4": write_mp4, ".gif": write_gif}


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_text_goes_along_and_changes_no_pixel(suffix: str, tmp_path: Path) -> None:
    frames, with_text, without = moving_frames(4), tmp_path / f"with{suffix}", tmp_path / f"without{suffix}"
    WRITERS[suffix](with_text, frames, 8, text=TEXT)
    WRITERS[suffix](without, frames, 8)
    assert text_in(with_text) == TEXT
    assert text_in(without) is None
    assert (read_frames(with_text, range(4)) == read_frames(without, range(4))).all()
    assert probe(with_text) == probe(without)


@pytest.mark.parametrize("suffix", WRITERS)
def test_either_of_the_two_places_is_enough(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    WRITERS[suffix](path, moving_frames(2), 8, text=TEXT)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"<tav:settings>", b"<tav:sottings>"))
    assert text_in(path) == TEXT
    other = TEXT.encode().replace(b"prompt", b"PROMPT")
    path.write_bytes(content.replace(TEXT.encode(), other))  # the comment: XMP has it with &lt;
    assert text_in(path) == TEXT


def test_xmp_is_where_its_specification_says(tmp_path: Path) -> None:
    write_mp4(tmp_path / "v.mp4", moving_frames(2), 8, text=TEXT)
    content, at, boxes = (tmp_path / "v.mp4").read_bytes(), 0, {}
    while at < len(content):
        size, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        boxes[kind], at = content[at + 8 : at + size], at + size
    assert list(boxes)[-1] == b"uuid"
    assert boxes[b"uuid"].startswith(UUID + b'<?xpacket begin="\xef\xbb\xbf"')
    write_gif(tmp_path / "v.gif", moving_frames(2), 8, text=TEXT)
    content = (tmp_path / "v.gif").read_bytes()
    assert content[13 + 3 * 256 :].startswith(GIF_XMP + b"<?xpacket")
    assert b'<?xpacket end="r"?>' + GIF_MAGIC in content
    with Image.open(tmp_path / "v.gif") as picture:
        assert picture.n_frames == 2


def test_a_copy_without_reencoding_keeps_the_comment(tmp_path: Path) -> None:
    write_mp4(tmp_path / "v.mp4", moving_frames(4), 8, text=TEXT)
    with av.open(str(tmp_path / "v.mp4")) as source, av.open(str(tmp_path / "copy.mp4"), "w") as copy:
        copy.metadata.update(source.metadata)
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    assert b"tav:settings" not in (tmp_path / "copy.mp4").read_bytes()
    assert text_in(tmp_path / "copy.mp4") == TEXT


def test_damage_is_no_trap(tmp_path: Path) -> None:
    write_gif(tmp_path / "v.gif", moving_frames(2), 8, text=TEXT)
    content = (tmp_path / "v.gif").read_bytes()
    (tmp_path / "v.gif").write_bytes(content.replace(b"</tav:settings>", b""))
    assert text_in(tmp_path / "v.gif") == TEXT
    write_mp4(tmp_path / "v.mp4", moving_frames(2), 8, text=TEXT)
    content = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "v.mp4").write_bytes(content[: content.index(b"<tav:settings>")])
    assert text_in(tmp_path / "v.mp4") == TEXT


def test_ten_generations_keep_the_colours(tmp_path: Path) -> None:
    """Written, read, and written again: no matrix or range is taken for another one, and nothing is rounded down."""
    patches = np.random.default_rng(0).integers(64, 192, (2, 3, 3))[None].repeat(4, axis=0)
    first = np.kron(patches, np.ones((1, 32, 32, 1))).astype(np.uint8)
    frames, generations = first, []
    for _ in range(10):
        write_mp4(tmp_path / "v.mp4", frames, 8)
        frames = read_frames(tmp_path / "v.mp4", range(4))
        generations.append(frames)
    drift = [np.abs(made.astype(float).mean((1, 2)) - first.mean((1, 2))).max() for made in generations]
    assert max(drift) < 2  # of 255, in any frame and channel: what x264 loses
    assert psnr(generations[-1], generations[0]) > 28
