"""Media files opened through PyAV, and nothing but the one file: no playlist, device, script or picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tav.params import UserError
from tav.video.mp4_boxes import check_samples

if TYPE_CHECKING:
    from av.container import InputContainer

DEMUXERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h261,h263,h264,hevc,vvc,vc1,obu,av1,ivf,mjpeg,mpjpeg,dirac,cavsvideo,"
    "gif,apng,flv,kux,live_flv,asf,ogg,mxf,gxf,dv,nut,rm,wtv,yuv4mpegpipe,"
    "flac,wav,w64,aiff,mp3,aac,ac3,eac3,caf"
)
"""FFmpeg's names of what is opened. None of them opens other files, devices or addresses, or draws text."""


@contextmanager
def open_media(path: Path) -> "Iterator[InputContainer]":
    """A file of pictures or sound. What it holds can't name another file to read: the one open file is all there is.

    Raises UserError: no such file, empty, not of a kind that is read, more samples than can be.
    """
    import av

    if not path.is_file():
        raise UserError(f"no such video: {path}" + ("" if path.is_absolute() else f" in {Path.cwd()}"))
    if not path.stat().st_size:
        raise UserError(f"{path} is empty (0 bytes): copy or download it again")
    check_samples(path)
    with path.open("rb") as file:
        try:
            container = av.open("fd:", options=_only(file.fileno()), metadata_errors="replace")
        except av.ArgumentError:  # a format that is not in the list
            raise UserError(
                f"{path} is not a video (it is a picture, a text or a playlist, which may name other files): "
                "give a video file, or a folder of images"
            ) from None
        except av.FFmpegError as error:
            raise UserError(f"{path} is not a video that can be read, or it is cut short ({error.strerror})") from None
        with container:
            yield container


def _only(descriptor: int) -> dict[str, str]:
    return {"fd": str(descriptor), "protocol_whitelist": "fd", "format_whitelist": DEMUXERS}
