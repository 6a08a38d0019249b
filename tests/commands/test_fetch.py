"""`tav fetch-base` against a hub on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tav.commands.fetch import fetch_models
from tav.params import load

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "model_index.json": b"{}",
    "unet/config.json": b'{"sample_size": 8}',
    "unet/diffusion_pytorch_model.safetensors": b"weights of the unet",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"a copy",
    "whole.safetensors": b"another copy",
    "safety_checker/model.safetensors": b"never loaded",
    "unet/diffusion_pytorch_model.bin": b"a pickle",
}


class Hub(BaseHTTPRequestHandler):
    """What huggingface_hub asks of the hub for a download."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        if "/tree/" in path:
            tree = [
                {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for file, content in FILES.items()
            ]
            body = json.dumps(tree).encode()
        elif path.startswith("/api/models/some/sd"):
            listed = [{"rfilename": file, "size": len(content)} for file, content in FILES.items()]
            body = json.dumps({"id": "some/sd", "sha": COMMIT, "siblings": listed}).encode()
        elif name in FILES:
            body = FILES[name]
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """No noise."""


@pytest.fixture
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def fetch(hub: str, tmp_path: Path) -> str:
    env = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-m", "tav", "fetch-base"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_model_of_the_hub_becomes_a_folder_that_dvc_keeps(project: Path, hub: str, tmp_path: Path) -> None:
    assert "nothing to fetch" in fetch_models()[0]
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("models/emoji-world/stable-diffusion", "hub:some/sd@main"))
    subprocess.run([sys.executable, "-m", "dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "s")], check=True)
    said = fetch(hub, tmp_path)
    folder = Path("models/sd-01234567")
    assert f"hub:some/sd@main is now {folder}" in said
    assert "pushed to store" in said
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert kept == {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"}
    assert load().base.source == str(folder)
    only = params.replace("emoji-world/stable-diffusion", "sd-01234567")
    assert only.split() == Path("params.yaml").read_text().split()
    assert Path(f"{folder}.dvc").is_file()
    md5 = hashlib.md5(FILES["unet/diffusion_pytorch_model.safetensors"]).hexdigest()
    assert (tmp_path / "s/files/md5" / md5[:2] / md5[2:]).is_file()
