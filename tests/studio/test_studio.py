"""The page, served as `tav studio` does and driven in a real headless Chromium. Nothing is run in here."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium
from flow_project import left
from nginx_rtmp import free_port

from tav.commands.init import make_project
from tav.params import Extract, Tune, load
from tav.studio.fields import fields

ROOT = Path(__file__).parents[2]
WRITE = """(selector, value) => {
  const field = document.querySelector(selector);
  Object.getOwnPropertyDescriptor(field.constructor.prototype, 'value').set.call(field, value);
  field.dispatchEvent(new Event('input', {bubbles: true}));
}"""
SMALL = {
    "num_frames: 8": "num_frames: 2",
    "steps: 100": "steps: 2",
    "num_inference_steps: 20": "num_inference_steps: 2",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the shipped models and videos, in which nothing takes long."""
    if not (ROOT / "models/emoji-world/stable-diffusion/unet").exists():
        pytest.skip("the shipped weights are not there")
    folder = tmp_path_factory.mktemp("studio") / "project"
    make_project(folder, demo=True)
    text = (folder / "params.yaml").read_text()
    for old, new in SMALL.items():
        assert old in text
        text = text.replace(f"  {old}", f"  {new}")
    (folder / "params.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tav", "studio", "--port", str(port)]
    with (project.parent / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=project, stdout=log, stderr=log, env=dict(os.environ))
    end = time.monotonic() + 400
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/").close()
            break
        except OSError:
            if time.monotonic() > end or server.poll() is not None:
                raise AssertionError((project.parent / "log").read_text()) from None
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}"
    server.send_signal(signal.SIGINT)
    server.wait(60)
    assert left(project) == []


class Page:
    def __init__(self, browser: Chromium, url: str) -> None:
        self.browser = browser
        browser.visit(url, 1280, 1500)
        self.until("!!document.querySelector('#run')")

    def js(self, expression: str) -> object:
        return self.browser.js(expression)

    def until(self, expression: str, seconds: float = 240) -> None:
        self.browser.until(expression, seconds)

    def write(self, selector: str, text: str) -> None:
        self.js(f"({WRITE})({json.dumps(selector)}, {json.dumps(text)})")

    def click(self, selector: str) -> None:
        self.js(f"document.querySelector('{selector}').click()")

    def upload(self, file: Path) -> None:
        root = self.browser.call("DOM.getDocument")["root"]["nodeId"]
        found = self.browser.call("DOM.querySelector", nodeId=root, selector="#upload input[type=file]")
        self.browser.call("DOM.setFileInputFiles", files=[str(file)], nodeId=found["nodeId"])
        self.until(f"document.querySelector('#upload').innerText.includes({json.dumps(file.stem)})")


@pytest.fixture(scope="module")
def page(url: str, chromium: Chromium) -> Page:
    return Page(chromium, url)


def test_the_frames_that_are_taken_are_shown(page: Page, project: Path) -> None:
    film = shutil.copyfile(project / "videos/blue-fish.mp4", project.parent / "My film.mp4")
    with film.open("ab") as file:
        file.write(b"\0\0\0\x09free!")  # another file than the sample
    page.upload(film)
    page.click("#look")
    page.until("document.querySelectorAll('#strip img').length === 2")
    assert "2 frames of 22, 40x32 pixels, from 0.00 to" in str(page.js("document.querySelector('#strip').innerText"))


def test_what_is_wrong_is_said(page: Page) -> None:
    page.write("#tune-steps input, #tune-steps textarea", "many")
    page.write("#prompts textarea", "")
    page.click("#run")
    page.until("document.body.innerText.includes('no prompt yet')")


def test_every_knob_has_its_field() -> None:
    known = {(field.section, field.name): field for field in fields(load(ROOT / "params.yaml"))}
    for section, kind in (("extract", Extract), ("tune", Tune)):
        for name, knob in kind.model_fields.items():
            assert known[section, name].info.startswith((knob.description or "").strip()[:20])
    assert "(above 0, to 1) params.yaml: 0.5" in known["edit", "strength"].info
    assert known["extract", "fit"].choices == ("crop", "pad", "stretch")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_sideways_scrolling(page: Page, width: int) -> None:
    page.browser.resize(width, 1500)
    page.until(f"document.documentElement.clientWidth === {width}")
    assert page.js("document.documentElement.scrollWidth") == width


def test_no_errors_and_no_call_to_the_outside(page: Page, url: str) -> None:
    """Of all that the tests above did."""
    events = page.browser.events
    said = [e["params"] for e in events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    said += [
        e["params"] for e in events if e["method"] == "Runtime.consoleAPICalled" and e["params"]["type"] == "error"
    ]
    assert said == []
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert len(asked) > 20
    assert {address for address in asked if not address.startswith((url, "data:", "blob:"))} == set()


@pytest.mark.parametrize(
    "path",
    ["gradio_api/file=params.yaml", "file=params.yaml", "report/../../params.yaml", "report/%2e%2e/%2e%2e/params.yaml"],
)
def test_no_file_but_the_reports(url: str, project: Path, path: str) -> None:
    for name in (path, path.replace("params.yaml", str(project / "params.yaml"))):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{url}/{name}")
        assert error.value.code in (403, 404)
