"""Pictures in the colours that a screen shows: profiles, inks, and numbers of other depths than eight bits."""

from pathlib import Path

import numpy as np
import pytest
from make_picture import CASES, DISPLAY_P3, SRGB, STORED, grey_tiff, ink_profile, linear, profile
from PIL import Image

from tav.params import UserError
from tav.video import read_frames


def test_display_p3_as_a_screen_shows_it(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    p3 = profile(DISPLAY_P3, linear(np.linspace(0, 1, 1024)))
    Image.fromarray(colours).save(tmp_path / "1.png", icc_profile=p3)
    Image.fromarray(colours).save(tmp_path / "2.tif", icc_profile=p3)
    Image.fromarray(np.dstack([colours, np.full((16, 24), 255, np.uint8)])).save(tmp_path / "3.png", icc_profile=p3)
    Image.fromarray(colours).save(tmp_path / "4.webp", icc_profile=p3, lossless=True)
    light = linear(colours / 255) @ np.array(DISPLAY_P3).T @ np.linalg.inv(SRGB).T
    light = light.clip(0, 1)
    srgb = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    frames = read_frames(tmp_path, range(4))
    assert np.abs(srgb - colours).max() > 40
    assert np.abs(frames - srgb).max() < 2.5
    assert (frames == frames[0]).all()


def test_srgb_broken_and_strange_profiles_change_nothing(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    grey = profile(None, np.linspace(0, 1, 256))
    for i, icc in enumerate((profile(SRGB, linear(np.linspace(0, 1, 1024))), b"no profile", grey)):
        Image.fromarray(colours).save(tmp_path / f"{i}.png", icc_profile=icc)
    assert (read_frames(tmp_path, range(3)) == colours).all()


def test_profiles_of_grey_palette_and_lab(tmp_path: Path) -> None:
    steps = np.arange(0, 256, 5, dtype=np.uint8)[None].repeat(8, 0)
    light = profile(None, np.linspace(0, 1, 256))  # grey in proportion to light
    Image.fromarray(steps).save(tmp_path / "1.png", icc_profile=light)
    Image.fromarray(steps.astype(np.uint16) << 8).save(tmp_path / "2.png", icc_profile=light)
    srgb = 255 * np.where(steps <= 0.8, 12.92 * (steps / 255), 1.055 * (steps / 255) ** (1 / 2.4) - 0.055)
    frames = read_frames(tmp_path, range(2))
    assert np.abs(frames - srgb[..., None]).max() < 2.5
    (tmp_path / "b").mkdir()
    Image.fromarray(STORED).quantize(8).save(
        tmp_path / "b/1.png", icc_profile=profile(DISPLAY_P3, linear(np.linspace(0, 1, 1024)))
    )
    Image.new("LAB", (24, 16), (255, 128, 128)).save(tmp_path / "b/2.tif")
    frames = read_frames(tmp_path / "b", range(2))
    assert frames[0, 12, 20].tolist() == [0, 0, 255]  # out of sRGB's reach, so it stays at the edge
    assert frames[0, 12, 4].tolist() == [0, 255, 0]
    assert (frames[0, 0, 12] >= 127).all()
    assert (frames[1] >= 253).all()


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_inks_are_converted_by_their_profile(tmp_path: Path, suffix: str) -> None:
    inks = np.zeros((16, 24, 4), np.uint8)
    inks[:, 8:, 0] = 255
    inks[:, 16:, 1] = 255
    options = {"quality": 100} if suffix == "jpg" else {}
    Image.fromarray(inks, "CMYK").save(tmp_path / f"1.{suffix}", icc_profile=ink_profile(), **options)
    frame = read_frames(tmp_path, [0])[0]
    lightness = {4: 100, 12: 50, 20: 25}  # CIE L*
    for column, level in lightness.items():
        light = ((level + 16) / 116) ** 3
        grey = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
        assert np.abs(frame[:, column] - grey).max() < 6  # black is mapped to black, so the dark ones move a little


def test_float_and_deep_tiffs(tmp_path: Path) -> None:
    f32 = read_frames(CASES / "f32", range(3))
    assert 110 < f32.mean() < 125
    assert f32[0].min() == 72
    assert f32[0].max() == 219
    ramp = np.linspace(0, 1, 24)[None].repeat(16, 0)
    deep = ramp * (2**32 - 1)
    grey_tiff(tmp_path / "1.tif", ramp.astype(np.float32))
    grey_tiff(tmp_path / "2.tif", ramp.astype(np.float32) * 1.2 - 0.1, big=True)
    grey_tiff(tmp_path / "3.tif", deep.astype(np.uint32))
    grey_tiff(tmp_path / "4.tif", (deep / 2).astype(np.int32))
    grey_tiff(tmp_path / "5.tif", (ramp * 65535).astype(np.uint16), big=True)
    grey_tiff(tmp_path / "6.tif", (ramp * 32767).astype(np.int16))
    grey_tiff(tmp_path / "7.tif", (65535 - ramp * 65535).astype(np.uint16), white_is_zero=True)
    grey_tiff(tmp_path / "8.tif", (1 - ramp).astype(np.float32), white_is_zero=True)
    Image.fromarray((ramp * 65535).astype(np.uint16)).save(tmp_path / "9.png")
    expected = np.broadcast_to((ramp * 255)[None, ..., None], (9, 16, 24, 3)).copy()
    expected[1] = (expected[1] * 1.2 - 25.5).clip(0, 255)
    assert np.abs(read_frames(tmp_path, range(9)) - expected).max() <= 1


def test_twelve_bits(tmp_path: Path) -> None:
    packed = np.tile(np.array([0xFF, 0xF8, 0x00], np.uint8), (16, 12))  # 4095, 2048
    grey_tiff(tmp_path / "1.tif", packed, bits=12)
    assert read_frames(tmp_path, [0])[0, 0, :4, 0].tolist() == [255, 128, 255, 128]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full((16, 24), 200, np.float32), "go from 200 to 200, where 0 to 1 is expected"),
        (np.full((16, 24), np.nan, np.float32), "go from nan"),
        (np.full((16, 24), 200, np.uint32), "end at 200, where white is 4294967295"),
        (np.full((16, 24), 40000, np.int32), "end at 40000, where white is 2147483647"),
    ],
)
def test_numbers_whose_white_cant_be_told(tmp_path: Path, values: np.ndarray, said: str) -> None:
    grey_tiff(tmp_path / "1.tif", values)
    with pytest.raises(UserError, match=rf"1\.tif can't be read: its .*{said}"):
        read_frames(tmp_path, [0])


def test_a_level_that_stands_for_transparent(tmp_path: Path) -> None:
    values = np.full((16, 24), 5000, np.uint16)
    values[:8] = 20000
    Image.fromarray(values).save(tmp_path / "1.png", transparency=5000)
    frame = read_frames(tmp_path, [0])[0]
    assert (frame[8:] == 255).all()
    assert (frame[:8] == 20000 >> 8).all()
