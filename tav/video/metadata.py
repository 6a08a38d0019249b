"""A text within an MP4 or a GIF: as the container's comment and as XMP, which most of those who pass files on keep.

XMP stands in an MP4 as a box of its own at the top level, in a GIF as an application extension (XMP specification,
part 3, sections 1.1.3 and 2.1). Neither changes a pixel.
"""

import html
import re
import struct
from pathlib import Path

from tav.artifacts import atomic
from tav.video.mp4_boxes import contents

UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""Of XMP's box."""
GIF_XMP = b"\x21\xff\x0bXMP DataXMP"
GIF_MAGIC = bytes([1, *range(255, -1, -1), 0])
"""Leads a reader that takes XMP for blocks with lengths to their end."""
NAMESPACE = "https://ns.tav.video/1.0/"
LARGEST = 1_000_000
"""Bytes that are read."""
PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:tav="{namespace}"><tav:settings>{text}</tav:settings></rdf:Description>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def add_xmp(path: Path, text: str) -> None:
    """Put a text into a finished .mp4 or .gif, atomically. What shows it stays as it is, to the byte."""
    packet = PACKET.format(namespace=NAMESPACE, text=html.escape(text, quote=False)).encode()
    content = path.read_bytes()
    if path.suffix == ".gif":
        at = _after_colours(content)
        content = content[:at] + GIF_XMP + packet + GIF_MAGIC + content[at:]
    else:
        content += struct.pack(">I4s", 8 + len(UUID) + len(packet), b"uuid") + UUID + packet
    with atomic(path) as fresh:
        fresh.write_bytes(content)


def _after_colours(gif: bytes) -> int:
    """Where a GIF's blocks begin: behind its header and its table of colours."""
    flags = gif[10]
    return 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def text_in(path: Path) -> str | None:
    """The text that was put into a file: its XMP's, else its comment. None: it has neither. Raises UserError."""
    with path.open("rb") as file:
        is_gif = file.read(4) == b"GIF8"
    packets = _gif_packets(path) if is_gif else contents(path, b"uuid", LARGEST)
    for packet in packets:
        if is_gif or packet.startswith(UUID):
            match = re.search(rb"<tav:settings>(.*?)</tav:settings>", packet, re.S)
            if match:
                return html.unescape(match[1].decode("utf-8", "replace"))
    return _gif_comment(path) if is_gif else _comment(path)


def _gif_packets(path: Path) -> list[bytes]:
    content = path.read_bytes()
    at = content.find(GIF_XMP)
    return [content[at : at + LARGEST]] if at >= 0 else []


def _gif_comment(path: Path) -> str | None:
    from PIL import Image

    with Image.open(path) as picture:
        comment = picture.info.get("comment")
    return comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment


def _comment(path: Path) -> str | None:
    from tav.video.opening import open_media

    with open_media(path) as container:
        return container.metadata.get("comment")
