"""The documents as a site: built as `make docs` does, whole, and from this machine alone."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_in_the_menu(site: Path) -> None:
    pages = {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} | {"reference.html"}
    menu = set(re.findall(r'href="([\w-]+\.html)"', (site / "tutorial.html").read_text()))
    assert pages <= {path.name for path in site.glob("*.html")}
    assert pages - {"tutorial.html"} <= menu


def test_every_knob_is_explained(site: Path) -> None:
    said = html.unescape(re.sub(r"<[^>]+>", "", (site / "reference.html").read_text()))
    said = " ".join(said.split())
    schema = json.loads((ROOT / "tav/params.schema.json").read_text())
    for kind in ("Base", "Compute", "Extract", "Tune", "Invert", "Edit", "VideoEdit", "Video"):
        for name, knob in schema["$defs"][kind]["properties"].items():
            assert name in said
            start = re.split(r"[`*|<]", " ".join(knob.get("description", "").split()))[0]
            assert start.strip() in said, f"{kind}.{name}"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^\"'> ]+", text)
        assert not [tag for tag in loaded if 'rel="canonical"' not in tag], page.name
    for style in site.rglob("*.css"):
        assert not re.findall(r"url\((?:https?:)?//", style.read_text()), style.name
