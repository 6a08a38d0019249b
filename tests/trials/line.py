"""A line to a server on this machine that breaks after so many bytes, and can be mended."""

import asyncio
import socket
import subprocess
import sys
import time
from contextlib import suppress


class Line:
    """A port that leads to another one, by a process of its own: when that is gone nobody answers there."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def open(self, breaks_after: int = -1) -> None:
        """breaks_after: bytes, of both directions together; -1: never."""
        self.cut()
        words = map(str, (self.port, self.target, breaks_after))
        self.process = subprocess.Popen([sys.executable, "-S", __file__, *words])
        while self.process.poll() is None and breaks_after and not answers(self.port):
            time.sleep(0.05)

    def cut(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def is_broken(self) -> bool | None:
        """None: not yet."""
        return True if self.process and self.process.poll() is not None else None


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def lead(port: int, target: int, left: int) -> None:
    """Carry bytes to and fro until that many have passed."""
    over = asyncio.Event()
    if not left:
        return

    async def carry(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        nonlocal left
        while data := await source.read(4096 if left < 0 else max(1, min(4096, left))):
            to.write(data)
            await to.drain()
            left -= len(data) if left > 0 else 0
            if not left:
                over.set()
        with suppress(OSError):
            to.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, to = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(carry(reader, to), carry(there, writer), return_exceptions=True)
            to.close()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port):
        await over.wait()


if __name__ == "__main__":
    asyncio.run(lead(*map(int, sys.argv[1:])))
