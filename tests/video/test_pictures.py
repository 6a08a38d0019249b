"""Pictures as they are shown: turned once, in their colours, and none left out."""

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_picture import DISPLAY_P3, SRGB, add_chunk, grey_tiff, ink_profile, linear, profile
from PIL import Image

from tav.params import UserError
from tav.video import fitted_size, probe, read_frames

CASES = Path(__file__).parents[1] / "cases" / "folders"
STORED = np.full((16, 24, 3), 128, np.uint8)
STORED[:8, :8] = (255, 0, 0)
STORED[8:, 16:] = (0, 0, 255)
STORED[8:, :8] = (0, 255, 0)
SHOWN = {  # by the meaning that EXIF gives the numbers
    1: STORED,
    2: STORED[:, ::-1],
    3: np.rot90(STORED, 2),
    4: STORED[::-1],
    5: STORED.swapaxes(0, 1),
    6: np.rot90(STORED, -1),
    7: np.rot90(STORED, 2).swapaxes(0, 1),
    8: np.rot90(STORED, 1),
}
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def saved(suffix: str, **options: Callable[[int], object]) -> Callable[[Path, int], Path]:
    def write(folder: Path, orientation: int) -> Path:
        file = folder / f"1{suffix}"
        Image.fromarray(STORED).save(file, **{name: of(orientation) for name, of in options.items()})
        return file

    return write


def png_with(kind: bytes, data: Callable[[int], bytes], behind: bool) -> Callable[[Path, int], Path]:
    def write(folder: Path, orientation: int) -> Path:
        Image.fromarray(STORED).save(folder / "1.png")
        add_chunk(folder / "1.png", kind, data(orientation), behind=behind)
        return folder / "1.png"

    return write


def raw_profile(orientation: int) -> bytes:
    """As ImageMagick writes it: its length, then hexadecimal digits."""
    data = exif(orientation)
    return b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(data), data.hex().encode())


def xmp_text(orientation: int) -> bytes:
    return b"XML:com.adobe.xmp\0\0\0\0\0" + (XMP % orientation).encode()


def lossless(orientation: int) -> bool:
    return True


def tag(orientation: int) -> dict[int, int]:
    return {0x0112: orientation}


def xmp(orientation: int) -> bytes:
    return (XMP % orientation).encode()


CARRIERS = {
    "JPEG": saved(".jpg", exif=exif, quality=lambda _: 100, subsampling=lambda _: 0),
    "JPEG, XMP": saved(".jpg", xmp=xmp, quality=lambda _: 100, subsampling=lambda _: 0),
    "WebP": saved(".webp", exif=exif, lossless=lossless),
    "AVIF": saved(".avif", exif=exif, quality=lambda _: 100, subsampling=lambda _: "4:4:4"),
    "TIFF": saved(".tif", tiffinfo=tag),
    "TIFF, LZW": saved(".tif", tiffinfo=tag, compression=lambda _: "tiff_lzw"),
    "TIFF, XMP": saved(".tif", tiffinfo=lambda n: {700: xmp(n)}),
    "PNG": saved(".png", exif=exif),
    "PNG, EXIF behind": png_with(b"eXIf", lambda n: exif(n)[6:], True),
    "PNG, raw profile": png_with(b"tEXt", raw_profile, False),
    "PNG, raw profile behind": png_with(b"tEXt", raw_profile, True),
    "PNG, XMP": png_with(b"iTXt", xmp_text, False),
    "PNG, XMP behind": png_with(b"iTXt", xmp_text, True),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_turned_once_and_the_size_as_turned(tmp_path: Path, carrier: str) -> None:
    for orientation, shown in SHOWN.items():
        file = CARRIERS[carrier](tmp_path, orientation)
        info = probe(tmp_path)
        assert (info.height, info.width) == shown.shape[:2], orientation
        frame = read_frames(tmp_path, [0])[0]
        assert frame.shape == shown.shape, orientation
        middles = np.abs(frame.astype(int) - shown)[4::8, 4::8]  # of the blocks: JPEG and AVIF blur their edges
        assert middles.max() < 12, orientation
        file.unlink()


@pytest.mark.parametrize("folder", ["pnga", "tif6"])
def test_found_in_use(folder: str) -> None:
    info = probe(CASES / folder)
    frames = read_frames(CASES / folder, range(3))
    assert (info.width, info.height) == (32, 64)
    assert frames.shape == (3, 64, 32, 3)
    assert len({frame.tobytes() for frame in frames}) == 3


def test_broken_metadata_turns_nothing(tmp_path: Path) -> None:
    assert read_frames(CASES / "badexifpng", range(3)).shape == (3, 32, 64, 3)
    for i, text in enumerate((b"no hex", b"\n\n\n\nzz", exif(9).hex().encode())):
        Image.fromarray(STORED).save(tmp_path / f"{i}.png")
        data = b"Raw profile type exif\0" + text
        add_chunk(tmp_path / f"{i}.png", b"tEXt", data, behind=bool(i % 2))
    assert (read_frames(tmp_path, range(3)) == STORED).all()


def test_long_texts_in_a_png(tmp_path: Path) -> None:
    assert read_frames(CASES / "text", range(3)).shape == (3, 32, 64, 3)
    Image.fromarray(STORED).save(tmp_path / "1.png")
    add_chunk(tmp_path / "1.png", b"zTXt", b"a\0\0" + zlib.compress(bytes(17 << 20)), behind=False)
    with pytest.raises(UserError, match=r"1\.png is damaged \(.*too large"):
        probe(tmp_path)


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


def test_a_picture_that_cant_be_read_is_never_left_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1b\.heic is a picture that can't be read here \(HEIC\)"):
        probe(CASES / "heic")
    heic = (CASES / "heic" / "1b.heic").read_bytes()
    whole = Image.fromarray(STORED)
    whole.save(tmp_path / "1.png")
    dng = tmp_path / "thumbnail.tif"
    whole.save(dng)
    files = {
        "2": (heic, r"2 is a picture that can't be read here \(HEIC\)"),
        "2.jxl": (b"\xff\x0a....", r"2\.jxl is a picture .*\(JPEG XL\)"),
        "2.psd": (b"8BPS....", r"2\.psd is a picture .*\(PSD\)"),
        "2.tga": (b"....", r"2\.tga is a picture .*\(TGA\)"),
        "2.DNG": (dng.read_bytes(), r"2\.DNG is a picture .*\(raw DNG\)"),
        "2.dat": (b"\x89PNG\r\n\x1a\n cut", r"2\.dat is a picture .*\(PNG\)"),
        "2.JPG": (b"", r"2\.JPG is called an image and isn't one"),
        "2.ppm": (b"P6 words", r"2\.ppm is damaged"),
    }
    dng.unlink()
    for name, (data, said) in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=said):
            probe(tmp_path)
        (tmp_path / name).unlink()


def test_what_is_no_picture_is_left_aside(tmp_path: Path) -> None:
    Image.fromarray(STORED).save(tmp_path / "1.png")
    (tmp_path / "P6.txt").write_text("P6 meets at noon")
    (tmp_path / "empty").touch()
    (tmp_path / "video.mov").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0qt  ")
    (tmp_path / "notes.txt").symlink_to("nowhere")
    (tmp_path / ".2.png").symlink_to("nowhere")
    assert probe(tmp_path).num_frames == 1


@pytest.mark.parametrize("name", ["2.png", "2.heic", "2"])
def test_links_to_nothing(tmp_path: Path, name: str) -> None:
    Image.fromarray(STORED).save(tmp_path / "1.png")
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(UserError, match=rf"{name} is a link to nowhere, which isn't there"):
        probe(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(name)
    with pytest.raises(UserError, match=rf"{name} is a link to {name}, which isn't there"):
        probe(tmp_path)


def gif(width: int, height: int) -> bytes:
    """A transparent picture of one pixel on a screen of this size, in 43 bytes."""
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"GIF89a" + size + b"\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\1\0\0\0\0,\0\0\0\0" + b"\1\0\1\0" + b"\0\2\2D\1\0;"


def test_limits_are_told_before_memory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "1.gif").write_bytes(gif(16000, 16000))
    with pytest.raises(UserError, match=r"1\.gif has more than 178 million pixels: make it smaller"):
        probe(tmp_path)
    with pytest.raises(UserError, match="1x4000 would be 2048000 pixels long at size 512, 8192 is the most"):
        fitted_size(1, 4000, 512)
    assert fitted_size(1, 16, 512) == (512, 8192)
    assert fitted_size(1, 4000, (512, 512)) == (512, 512)


def test_a_large_picture_takes_little_more_than_its_pixels(tmp_path: Path) -> None:
    (tmp_path / "1.gif").write_bytes(gif(5000, 5000))
    code = """
import resource, sys
from pathlib import Path
from tav.video.images import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = read_image(Path(sys.argv[1]))
assert picture.shape == (5000, 5000, 3) and (picture[0] == 255).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "1.gif")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 5000 * 5000 * 8
