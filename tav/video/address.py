"""Where a stream goes: which addresses there are, and what is wrong with one, told before FFmpeg hangs or mumbles."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from tav.params import UserError

FORMATS = {"rtmp": "flv", "rtmps": "flv", "srt": "mpegts", "udp": "mpegts"}
"""FFmpeg's container for each scheme."""
PORTS = {"rtmp": 1935, "rtmps": 443}
FILES = {".flv": "flv", ".ts": "mpegts", ".mp4": "mp4", ".mkv": "matroska"}
HANDSHAKE = 1536
"""Bytes of RTMP's C1 and S1."""
PATIENCE = 5.0
"""Seconds that a server has to answer."""


@dataclass(frozen=True)
class Address:
    url: str
    """As FFmpeg takes it."""
    format: str
    """FFmpeg's name of the container."""
    host: str = ""
    port: int = 0
    is_rtmp: bool = False

    @property
    def shown(self) -> str:
        """Without the stream's key and any password, which are for nobody's eyes."""
        if not self.host:
            return self.url
        parts = urlsplit(self.url)
        path = parts.path.rpartition("/")[0] + "/…" if self.is_rtmp else parts.path
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def address(text: str) -> Address:
    """What a person gave: a URL or the name of a file. Raises UserError."""
    scheme, colon, _ = text.partition("://")
    if not colon:
        return _file(Path(text))
    parts = _parts(text)
    if scheme.lower() not in FORMATS:
        raise UserError(f"can't push to {scheme}://: give rtmp://host/app/key, srt://, udp:// or the name of a file")
    port = parts.port or PORTS.get(scheme.lower())
    if not parts.hostname or not port:
        raise UserError(f"{scheme}:// needs a host{'' if port else ' and a port'}: as in {scheme}://127.0.0.1:9000")
    result = Address(text, FORMATS[scheme.lower()], parts.hostname, port, scheme.lower().startswith("rtmp"))
    if result.is_rtmp and len(parts.path.strip("/").split("/")) < 2:
        raise UserError(f"{text!r} lacks the application or the key: expected rtmp://host/app/key")
    if scheme.lower() == "udp" and not parts.query:
        return Address(f"{text}?pkt_size=1316", "mpegts", result.host, port)  # seven packets of MPEG-TS fit a datagram
    return result


def _parts(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 (looks at it)
    except ValueError as error:
        raise UserError(f"{text!r} is no address ({error}): expected rtmp://host/app/key") from None
    return parts


def _file(path: Path) -> Address:
    if path.suffix.lower() not in FILES:
        raise UserError(
            f"can't push to {str(path)!r}: give rtmp://host/app/key, or a file that ends in {', '.join(FILES)}"
        )
    if not path.absolute().parent.is_dir():
        raise UserError(f"no folder {path.absolute().parent}: make it first")
    return Address(str(path), FILES[path.suffix.lower()])


def greet(to: Address) -> None:
    """Find out whether an RTMP server is there, by its protocol's first words: FFmpeg waits for ever for a silent one.

    Raises UserError: no such host, nothing listens, or what listens does not answer or speaks something else.
    """
    try:
        with socket.create_connection((to.host, to.port), PATIENCE) as line:
            if to.url.lower().startswith("rtmps"):
                return
            line.sendall(b"\x03" + bytes(8) + os.urandom(HANDSHAKE - 8))
            first = line.recv(1)
    except socket.gaierror:
        raise UserError(f"no host {to.host!r} is known: check the address") from None
    except ConnectionRefusedError:
        raise UserError(
            f"no server is at {to.host}:{to.port} (connection refused): start it, or check the port"
        ) from None
    except TimeoutError:
        raise UserError(
            f"what is at {to.host}:{to.port} does not answer within {PATIENCE:g} s: is it an RTMP server?"
        ) from None
    except OSError as error:
        raise UserError(f"{to.host}:{to.port} can't be reached ({error.strerror}): check the address") from None
    if first != b"\x03":
        raise UserError(f"what is at {to.host}:{to.port} does not speak RTMP: check the address and the port")
