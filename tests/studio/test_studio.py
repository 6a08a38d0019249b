"""The page, served as `tav studio` does and driven in a real headless Chromium, on the shipped models."""

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
from flow_project import ENV, left, locked, wait_for
from nginx_rtmp import free_port

from tav.artifacts import read_json
from tav.commands.init import make_project
from tav.params import load, read_yaml

ROOT = Path(__file__).parents[2]
WRITE = """(selector, value) => {
  const field = document.querySelector(selector);
  Object.getOwnPropertyDescriptor(field.constructor.prototype, 'value').set.call(field, value);
  field.dispatchEvent(new Event('input', {bubbles: true}));
}"""
SMALL = {
    "num_frames: 8": "num_frames: 2",
    "steps: 50": "steps: 40",
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
    command = [sys.executable, "-m", "tav", "studio", "--port", str(port), "--max-upload", "150kb"]
    env = {**os.environ, "TAV_LINE_EVERY": "0"}  # each step of a stage is told
    with (project.parent / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=project, stdout=log, stderr=log, env=env)
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
    wait_for(lambda: not left(project))


REMEMBER = """() => {
  window.shown = [];
  setInterval(() => window.shown.push(document.querySelector('#running').innerHTML), 100);
}"""
RED, GREEN, GOLD = (f"my-film--a-{colour}-fish-under-water" for colour in ("red", "green", "gold"))


class Page:
    def __init__(self, browser: Chromium, url: str) -> None:
        self.browser = browser
        browser.visit(url, 1280, 1500)
        self.until("!!document.querySelector('#run')")
        self.js(f"({REMEMBER})()")

    def js(self, expression: str) -> object:
        return self.browser.js(expression)

    def until(self, expression: str, seconds: float = 240) -> None:
        self.browser.call("Page.bringToFront")  # a page that is behind another is not drawn
        self.browser.until(expression, seconds)

    def text(self, selector: str) -> str:
        return " ".join(str(self.js(f"document.querySelector('{selector}').innerText")).split())

    def until_says(self, selector: str, text: str) -> None:
        self.until(f"document.querySelector('{selector}')?.innerText.includes({json.dumps(text)})")

    def write(self, selector: str, text: str) -> None:
        fields = ", ".join(f"{selector} {kind}" for kind in ("input", "textarea"))
        self.js(f"({WRITE})({json.dumps(fields)}, {json.dumps(text)})")

    def click(self, selector: str) -> None:
        self.js(f"document.querySelector('{selector}').click()")

    def upload(self, file: Path) -> None:
        root = self.browser.call("DOM.getDocument")["root"]["nodeId"]
        found = self.browser.call("DOM.querySelector", nodeId=root, selector="#upload input[type=file]")
        self.browser.call("DOM.setFileInputFiles", files=[str(file)], nodeId=found["nodeId"])
        self.until_says("#upload", file.stem)

    def until_ended(self, edit: str, state: str) -> None:
        card = "document.querySelector('#running .job')"
        this = f"{card}?.innerText.includes({json.dumps(edit)})"
        self.until(f"{this} && ['done', 'failed', 'stopped'].includes({card}.dataset.state)", 900)
        assert self.js(f"{card}.dataset.state") == state, self.text("#running")


@pytest.fixture(scope="module")
def page(url: str, chromium: Chromium) -> Page:
    return Page(chromium, url)


@pytest.fixture(scope="module")
def film(project: Path) -> Path:
    """Another file than the samples."""
    film = Path(shutil.copyfile(project / "videos/blue-fish.mp4", project.parent / "My film.mp4"))
    with film.open("ab") as file:
        file.write(b"\0\0\0\x09free!")
    return film


def test_the_frames_that_are_taken_are_shown(page: Page, film: Path) -> None:
    page.upload(film)
    page.click("#look")
    page.until("document.querySelectorAll('#strip img').length === 2")
    assert "2 frames of 22, 40x32 pixels, from 0.00 to" in page.text("#strip")


def test_what_is_wrong_is_said(page: Page) -> None:
    page.write("#tune-steps", "many")
    page.write("#prompts", "")
    page.click("#run")
    page.until("document.body.innerText.includes('no prompt yet')")
    page.write("#tune-steps", "")


def test_an_upload_becomes_an_edit(page: Page, project: Path) -> None:
    page.click("#others button")
    page.until("!!document.querySelector('#tune-sample_every input, #tune-sample_every textarea')")
    page.write("#tune-sample_every", "15")
    page.write("#caption", "a blue fish under water")
    page.write("#prompts", "a red fish under water")
    page.write("#edit-seed", "7")
    page.click("#run")
    page.until_ended(RED, "done")
    params = load(project / "params.yaml")
    assert (params.edits[RED].prompt, params.edits[RED].seed) == ("a red fish under water", 7)
    assert (params.videos["my-film"].caption, params.videos["my-film"].tune) == (
        "a blue fish under water",
        {"sample_every": 15},
    )
    assert {"tune@my-film", f"evaluate@{RED}"} <= read_yaml(project / "dvc.lock")["stages"].keys()
    assert "MLflow: 1 edits, 1 tunings" in page.text("#running .line")


def test_its_progress_was_shown(page: Page) -> None:
    row = r"<li class=.now.><span>tune@my-film</span><progress value=[^>]*></progress><span>\d+ of 40, \d+ s left"
    line = r"<code>tune@my-film \d+/40, \d+ s left +loss"  # of its log
    for pattern in (row, line):
        assert page.js(f"window.shown.some(html => new RegExp({json.dumps(pattern)}).test(html))"), pattern
    assert page.js("""window.shown.some(html => html.includes('class="sample"') && html.includes('Step 15'))""")


def test_its_result_plays_beside_the_source(page: Page, project: Path, url: str) -> None:
    report = "document.querySelector('#report')?.contentDocument"
    of = f"[...{report}.querySelectorAll('#my-film video')]"
    page.until(f"!!{report}?.querySelector('#my-film video')")
    page.until(f"{of}.length === 2 && {of}.every(video => video.currentTime > 0)")  # they start by themselves
    assert page.js(f"{report}.querySelector('#my-film .edits').innerText.includes('red')")
    score = read_json(project / f"artifacts/evaluate/{RED}/metrics.json")["edit"]["frame_consistency"]
    assert page.js(f"{report}.querySelector('#my-film table').innerText.includes('{score:.3f}')")
    address = page.js("document.querySelector('#results a.mp4').href")
    with urllib.request.urlopen(str(address)) as answer:
        assert answer.read() == (project / f"artifacts/edit/{RED}/video.mp4").read_bytes()


def test_nothing_stays_in_memory_when_nothing_runs(page: Page, project: Path) -> None:
    wait_for(lambda: len(left(project)) == 1)  # the server


def test_another_edit_of_it_is_not_tuned_again_and_another_person_waits(
    page: Page, project: Path, url: str, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.until("!!document.querySelector('#again')")
    page.click("#again")
    page.until("document.querySelector('#prompts textarea').value === ''")
    page.write("#prompts", "a green fish under water")
    page.click("#run")
    page.until_says("#running .runs", GREEN)

    other = Page(page.browser.tab(), url)
    other.upload(film)  # which is here already
    other.write("#prompts", "a gold fish under water")
    other.click("#run")
    other.until_says("#running .waits", "yours; one edit runs at a time, 1 before this one")
    page.until_says("#running .waits", GOLD)
    page.until("[...document.querySelectorAll('#running li.now span')].some(s => s.innerText.startsWith('edit@'))")
    tuning = "[...document.querySelectorAll('#running li')].find(li => li.innerText.startsWith('tune@my-film'))"
    assert "did not change" in str(page.js(f"{tuning}.innerText"))

    other.until_says("#running .runs", GOLD)  # it is its turn
    other.until("!!document.querySelector('#running li.now')")
    other.click("#cancel")
    other.until_ended(GOLD, "stopped")
    assert (project / f"artifacts/edit/{GREEN}/video.mp4").exists()
    assert not (project / f"artifacts/evaluate/{GOLD}").exists()
    wait_for(lambda: len(left(project)) == 1)  # the server
    monkeypatch.chdir(project)
    assert not locked()
    errors(other)


def test_what_is_made_by_hand_shows_too(page: Page, project: Path) -> None:
    for words in (["add", "videos/red-car.mp4", "--name", "red-car", "--edit", "a teal car"], ["report", "--no-open"]):
        subprocess.run([sys.executable, "-m", "tav", *words], cwd=project, check=True, env=ENV, capture_output=True)
    page.until("document.querySelector('#report')?.contentDocument?.body?.innerText.includes('teal')")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_sideways_scrolling(page: Page, width: int) -> None:
    page.browser.resize(width, 1500)
    page.until(f"document.documentElement.clientWidth === {width}")
    assert page.js("document.documentElement.scrollWidth") == width


def errors(page: Page) -> list[object]:
    events = page.browser.events
    said = [e["params"] for e in events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    return said + [
        e["params"] for e in events if e["method"] == "Runtime.consoleAPICalled" and e["params"]["type"] == "error"
    ]


def test_no_errors_and_no_call_to_the_outside(page: Page, url: str) -> None:
    """Of all that the tests above did."""
    assert errors(page) == []
    asked = {e["params"]["request"]["url"] for e in page.browser.events if e["method"] == "Network.requestWillBeSent"}
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


@pytest.mark.parametrize("given", [["/etc/passwd", None], [None, "/etc/passwd"], [None, "../../etc/passwd"]])
def test_no_path_from_the_browser(url: str, given: list[str | None]) -> None:
    """Asked for as the page asks, but by hand."""
    with urllib.request.urlopen(f"{url}/config") as answer:
        config = json.load(answer)
    look = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "look")
    event = next(event for event in config["dependencies"] if [look, "click"] in event["targets"])
    file = {"path": given[1], "orig_name": "a.mp4", "meta": {"_type": "gradio.FileData"}} if given[1] else None
    data = [given[0], file, *[""] * (len(event["inputs"]) - 2)]
    asked = json.dumps({"data": data, "fn_index": event["id"], "session_hash": "evil", "trigger_id": look})
    request = urllib.request.Request(
        f"{url}/gradio_api/queue/join", asked.encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request).close()
    with urllib.request.urlopen(f"{url}/gradio_api/queue/data?session_hash=evil") as answer:
        told = next(line for line in map(bytes.decode, answer) if "process_completed" in line)
    assert json.loads(told.removeprefix("data: "))["success"] is False


def test_a_video_that_is_too_large_is_refused(url: str) -> None:
    head = '--b\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\nContent-Type: video/mp4\r\n\r\n'
    body = head.encode() + bytes(200_000) + b"\r\n--b--\r\n"
    request = urllib.request.Request(
        f"{url}/gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=b"}
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert error.value.code == 413
