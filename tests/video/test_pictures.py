"""Pictures as they are shown: turned once, and none left out."""

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_picture import CASES, STORED, add_chunk
from PIL import Image

from tav.params import UserError
from tav.video import fitted_size, probe, read_frames

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
