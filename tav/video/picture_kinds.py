"""Which files are pictures: told by their first bytes or, where those say nothing, by the ends of their names."""

from pathlib import Path

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "GIF")  # Pillow knows more, and runs programs for some
READ = ".png .apng .jpg .jpeg .jpe .jfif .jif .mpo .webp .avif .tif .tiff .bmp .dib .ppm .pgm .pbm .pnm .pfm .gif"
UNREAD = (
    ".heic .heif .hif .avifs .jxl .jp2 .j2k .jpf .jpx .jxr .psd .psb .xcf .kra .exr .hdr .pam .pcx .tga .dds .ico .icns"
    " .qoi .svg .svgz .eps .wmf .emf .xbm .xpm .sgi .cin .dpx .fits"
)
RAW = ".dng .nef .nrw .cr2 .cr3 .crw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .3fr .iiq .dcr .kdc .mrw .x3f"
"""What cameras write before it is developed. Many begin like a TIFF, whose first picture is a thumbnail."""
BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "BigTIFF",
    b"MM\x00+": "BigTIFF",
    b"8BPS": "PSD",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"II\xbc\x01": "JPEG XR",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"qoif": "QOI",
    b"gimp xcf": "XCF",
    b"SDPX": "DPX",
    b"XPDS": "DPX",
}
HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
"""Brands of ISO media files that hold pictures. Videos have others."""


def kind_of(file: Path) -> str | None:
    """The kind of picture that a file is, readable or not, in words for a person. None: no picture."""
    if is_raw(file):
        return f"raw {file.suffix[1:].upper()}"
    with file.open("rb") as opened:
        head = opened.read(16)
    for beginning, kind in BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp" and head[8:12] in HEIF:
        return "HEIC"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "AVIF"
    return file.suffix[1:].upper() if is_called_picture(file) else None


def is_raw(file: Path) -> bool:
    """Whether it is called what a camera writes before it is developed."""
    return _ends_in(file, RAW)


def is_called_picture(file: Path) -> bool:
    """Whether its name ends as that of a picture, readable or not."""
    return _ends_in(file, READ) or _ends_in(file, UNREAD) or is_raw(file)


def is_called_readable(file: Path) -> bool:
    """Whether its name ends as that of a picture that we read."""
    return _ends_in(file, READ)


def _ends_in(file: Path, suffixes: str) -> bool:
    return file.suffix.lower() in suffixes.split()
