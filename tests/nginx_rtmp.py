"""A real RTMP server on loopback: Debian's nginx with libnginx-mod-rtmp. It keeps what it was sent."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
MISSING = (
    "" if NGINX and MODULE.exists() else "no nginx with RTMP (Debian: apt-get install nginx-light libnginx-mod-rtmp)"
)

CONFIG = """
load_module {module};
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors warn;
events {{ worker_connections 64; }}
rtmp {{ server {{
  listen 127.0.0.1:{port}; chunk_size 4096;
  application live {{ live on; record all; record_path {folder}; record_suffix -%s.flv; record_unique on; }}
  application closed {{ live on; deny publish all; }}
}} }}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Nginx:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.config = folder / "nginx.conf"
        self.config.write_text(CONFIG.format(module=MODULE, folder=folder, port=self.port))
        self.start()

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert NGINX
        command = [NGINX, "-p", str(self.folder), "-c", str(self.config), "-e", str(self.folder / "errors")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise AssertionError((self.folder / "errors").read_text()) from None
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def received(self) -> list[Path]:
        """What was pushed, a file for each connection."""
        return sorted(self.folder.glob("*.flv"), key=lambda path: path.stat().st_mtime_ns)
