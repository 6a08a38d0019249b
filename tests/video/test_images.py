from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tav.params import UserError
from tav.video import frame_times, probe, read_frames


def save(path: Path, grey: int, size: tuple[int, int] = (24, 16), **options: object) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, (grey,) * 3).save(path, **options)


def test_natural_order_and_told_by_bytes(tmp_path: Path) -> None:
    save(tmp_path / "frame10.png", 100)
    save(tmp_path / "frame9.png", 90)
    save(tmp_path / "frame2", 20, format="PNG")  # no suffix
    save(tmp_path / "frame1.txt", 10, format="BMP")  # a wrong one
    (tmp_path / "notes.txt").write_text("left aside")
    (tmp_path / ".hidden.png").write_text("left aside too")
    (tmp_path / "folder.png").mkdir()
    info = probe(tmp_path, image_fps=5)
    assert (info.width, info.height, info.num_frames, info.fps, info.times) == (24, 16, 4, 5, "counted")
    assert list(frame_times(tmp_path, 5)) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert read_frames(tmp_path, range(4))[:, 0, 0, 0].tolist() == [10, 20, 90, 100]


def test_exif_alpha_and_16_bits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    picture = np.zeros((24, 16, 3), np.uint8)
    picture[-8:] = 255  # the lower end, left when upright
    Image.fromarray(picture).save(tmp_path / "1.png", exif=exif)
    Image.new("RGBA", (24, 16), (255, 0, 0, 0)).save(tmp_path / "2.png")
    Image.fromarray(np.full((16, 24), 40000, np.uint16)).save(tmp_path / "3.png")
    frames = read_frames(tmp_path, range(3))
    assert frames.shape == (3, 16, 24, 3)
    assert (frames[0, :, :8] == 255).all()
    assert (frames[0, :, 8:] == 0).all()
    assert (frames[1] == 255).all()
    assert (frames[2] == 40000 >> 8).all()


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no images"):
        probe(tmp_path)
    save(tmp_path / "a" / "1.png", 1)
    save(tmp_path / "a" / "2.png", 1, size=(16, 24))
    with pytest.raises(UserError, match=r"one size: .*1\.png is 24x16, 2\.png is 16x24"):
        probe(tmp_path / "a")
    save(tmp_path / "b" / "1.png", 1)
    (tmp_path / "b" / "2.png").write_text("no picture")
    with pytest.raises(UserError, match=r"2\.png is called an image and isn't"):
        probe(tmp_path / "b")
    save(tmp_path / "c" / "1.png", 1, size=(200, 200))
    whole = (tmp_path / "c" / "1.png").read_bytes()
    (tmp_path / "c" / "1.png").write_bytes(whole[:-60])
    with pytest.raises(UserError, match=r"1\.png is damaged"):
        read_frames(tmp_path / "c", [0])
    save(tmp_path / "d" / "1.png", 1)
    with pytest.raises(UserError, match="ends before frame 3"):
        read_frames(tmp_path / "d", [0, 3])
