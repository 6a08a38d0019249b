"""Serves the page: on this machine alone, with the report's files and nothing else of the disk."""

import os
import re
from pathlib import Path
from typing import Any

from tav.params import UserError

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
REPORT = Path("artifacts/report")
LARGEST = "2gb"
"""An upload, as far as nothing else is said."""


def app(host: str = "127.0.0.1", port: int = 7860, largest: str = LARGEST) -> Any:
    """The page of the project in the current folder, as a FastAPI application. Raises UserError."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import gradio as gr
    except ImportError:
        raise UserError("the page needs gradio: pip install 'tav[ui]' (in a clone: pip install -e '.[ui]')") from None
    from contextlib import asynccontextmanager

    from fastapi import FastAPI
    from fastapi.staticfiles import StaticFiles

    from tav.studio.job import Jobs
    from tav.studio.page import page

    jobs = Jobs()

    @asynccontextmanager
    async def life(_: FastAPI) -> Any:
        yield
        jobs.stop_all()

    server = FastAPI(lifespan=life, openapi_url=None)
    REPORT.mkdir(parents=True, exist_ok=True)
    server.mount("/report", StaticFiles(directory=REPORT, follow_symlink=False))
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    blocks = page(jobs).queue(max_size=32)
    return gr.mount_gradio_app(
        server,
        blocks,
        path="/",
        server_name=host,
        server_port=port,
        footer_links=[],
        allowed_paths=[],
        max_file_size=_bytes(largest),
        show_error=True,
        css=css,
        ssr_mode=False,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )


def _bytes(size: str) -> int:
    """Of "500mb". Raises UserError."""
    match = re.fullmatch(r"([1-9]\d{0,5})\s*(kb|mb|gb)", size.strip().lower())
    if not match:
        raise UserError(f"--max-upload {size!r}: expected a number and kb, mb or gb, as in 500mb")
    return int(match[1]) * {"kb": 1000, "mb": 1000**2, "gb": 1000**3}[match[2]]


def serve(host: str, port: int, largest: str = LARGEST) -> None:
    """Serve it until Ctrl-C. Raises UserError."""
    import uvicorn

    web_app = app(host, port, largest)
    print(f"the page: http://{host}:{port}. Ctrl-C ends it, and what it runs", flush=True)
    uvicorn.run(web_app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=3)
