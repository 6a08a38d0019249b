"""Serves the page: on this machine alone, with the report's files and nothing else of the disk."""

import os
from pathlib import Path
from typing import Any

from tav.params import UserError

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
REPORT = Path("artifacts/report")
LARGEST = "2gb"
"""An upload."""


def app(host: str = "127.0.0.1", port: int = 7860) -> Any:
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
        max_file_size=LARGEST,
        show_error=True,
        css=css,
        ssr_mode=False,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )


def serve(host: str, port: int) -> None:
    """Serve it until Ctrl-C. Raises UserError."""
    import uvicorn

    made = app(host, port)
    print(f"the page: http://{host}:{port}. Ctrl-C ends it, and what it runs", flush=True)
    uvicorn.run(made, host=host, port=port, log_level="warning", timeout_graceful_shutdown=3)
