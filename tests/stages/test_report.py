"""The page, read as a file and driven in a real headless Chromium."""

import base64
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import moving_square

from tav import params
from tav.artifacts import artifact, atomic, write_frames, write_json
from tav.stages import report
from tav.stages.report import Word, best, changes, loss_curve, settings_of, table

FRAMES, FPS, SIDE = 8, 8.0, 64
EVIL = '<script>document.title = "evil"</script> & "quotes" \'\'</q><img src=x onerror="document.title=1">'
CHROMIUM = shutil.which("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"]


def settings() -> params.Params:
    return params.check(raw_settings())


def raw_settings() -> dict[str, Any]:
    """Two videos: one with four edits, of which one is not made; one with nothing made."""
    data = params.read_yaml(Path(__file__).parents[2] / "params.yaml")
    data["videos"] = {
        "car": {"path": "car.mp4", "caption": "a red car on a road", "extract": {}, "tune": {"steps": 77}},
        "later": {"path": "later.mp4", "caption": None, "extract": {"size": 48}, "tune": {}},
    }
    data["edits"] = {
        "car--dog": {"video": "car", "prompt": "a dog on a road"},
        "car--blue": {"video": "car", "prompt": "a blue car on a road", "guidance_scale": 4.5},
        "car--evil": {"video": "car", "prompt": EVIL},
        "car--missing": {"video": "car", "prompt": "a cat on a road"},
        "later--cat": {"video": "later", "prompt": "a cat"},
    }
    return data


def counting(colour: tuple[float, float, float]) -> np.ndarray:
    """uint8 (f h w 3): frames of one brightness each, so that a picture of the page tells which one is shown."""
    levels = np.linspace(40, 220, FRAMES)[:, None, None, None] * np.array(colour)
    return np.broadcast_to(levels, (FRAMES, SIDE, SIDE, 3)).astype(np.uint8)


def make_edit(key: str, frames: np.ndarray, **metrics: float) -> None:
    from tav.video import write_mp4

    write_mp4(artifact("edit", key, "video.mp4"), frames, FPS)
    source = {"frame_consistency": 0.97, "textual_alignment": 25.0, "textual_alignment_with_target_prompt": 18.25}
    if metrics:
        write_json(artifact("evaluate", key, "metrics.json"), {"edit": metrics, "source": source})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with its page made."""
    folder = tmp_path_factory.mktemp("a project")  # a space in the path, as people have
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_frames(artifact("extract", "car", "frames"), counting((1, 1, 1)))
        source = {"width": SIDE, "height": SIDE, "fit": "stretch", "fps": FPS}
        write_json(artifact("extract", "car", "source/info.json"), source)
        write_json(artifact("caption", "car", "caption.json"), {"caption": "a red car on a road", "by": "given"})
        write_json(
            artifact("invert", "car", "inversion.json"), {"psnr": 24.06, "psnr_from_half": 25.31, "vae_psnr": 27.64}
        )
        write_json(artifact("tune", "car", "tuning.json"), {"seconds": 48.2, "peak_memory_gb": 1.21})
        rows = "".join(f"{step},{1 / step:.6g}\n" for step in range(1, 78))
        with atomic(artifact("tune", "car", "loss.csv")) as fresh:
            fresh.write_text("step,loss\n" + rows)
        make_edit("car--dog", counting((1, 0.9, 0.9)), frame_consistency=0.9, textual_alignment=30.0)
        make_edit("car--blue", counting((0.9, 0.9, 1)), frame_consistency=0.95, textual_alignment=20.0)
        make_edit("car--evil", counting((0.9, 1, 0.9)))
        report.run(settings(), "", lambda progress: None)
        yield folder


@pytest.fixture(scope="module")
def page(project: Path) -> Path:
    return project / "artifacts/report/index.html"


class TestChanges:
    def test_a_word_is_replaced(self):
        assert changes("a man is skiing", "a dog is skiing") == [
            Word("a", "same"),
            Word("man", "gone"),
            Word("dog", "new"),
            Word("is skiing", "same"),
        ]

    def test_words_are_added_at_the_end(self):
        assert changes("a man", "a man, on the beach") == [Word("a man,", "same"), Word("on the beach", "new")]

    def test_case_does_not_count_and_the_prompt_is_shown_as_written(self):
        assert changes("A man is skiing.", "a Man is skiing") == [Word("a Man is skiing", "same")]

    def test_no_caption(self):
        assert changes("", "a cat") == [Word("a cat", "new")]

    @pytest.mark.parametrize("prompt", ["a b c", "c b a", "x", "a x b y c z"])
    def test_the_prompt_can_be_read_off(self, prompt):
        assert " ".join(word.text for word in changes("a b c", prompt) if word.kind != "gone") == prompt


class TestValues:
    def test_the_best_is_the_highest(self):
        assert best([-3.0, -1.0, None]) == [False, True, False]

    def test_equal_values_are_both_best(self):
        assert best([1.0, 1.0, 0.0]) == [True, True, False]

    def test_one_alone_is_not_best(self):
        assert best([1.0, None]) == [False, False]
        assert best([]) == []

    def test_a_table_has_only_what_was_measured(self):
        metrics = {"edit": {"textual_alignment": 30.0, "motion_alignment": -1.234}, "source": {"textual_alignment": 25}}
        rows = table([{"metrics": metrics}, {"metrics": None}])
        assert rows["titles"] == ["Textual alignment", "Motion alignment, px"]
        assert rows["source"] == ["25.00", ""]
        assert [cell["value"] for cell in rows["rows"][0]["cells"]] == ["30.00", "\N{MINUS SIGN}1.23"]
        assert len(rows["rows"]) == 1

    def test_settings_mark_what_is_own(self):
        own = {setting.name: setting for setting in settings_of(settings().edit_of("car--blue"), {"guidance_scale"})}
        assert (own["guidance_scale"].value, own["guidance_scale"].own) == ("4.5", True)
        assert not own["seed"].own
        assert "from" in own  # as in params.yaml, not as in Python

    def test_numbers_are_not_taken_for_booleans(self):
        values = {setting.name: setting.value for setting in settings_of(settings().extract_of("car"))}
        assert values["start"] == "0.0"
        assert values["fps"] == "\N{EN DASH}"
        assert {s.name: s.value for s in settings_of(settings().tune)}["official_checkpointing"] == "no"


class TestLossCurve:
    def test_points(self, tmp_path):
        file = tmp_path / "loss.csv"
        file.write_text("step,loss\n1,4\n2,2\n3,0\n")
        curve = loss_curve(file)
        width, height = report.CHART
        assert curve["raw"] == f"0.0,0.0 {width / 2:.1f},{height / 2:.1f} {width:.1f},{height:.1f}"
        assert curve["data"] == [[1, 4.0, 4.0], [2, 2.0, 2.0], [3, 0.0, 0.0]]

    def test_the_mean_runs_over_a_twentieth(self, tmp_path):
        file = tmp_path / "loss.csv"
        losses = np.random.default_rng(0).random(100).round(4)
        file.write_text("step,loss\n" + "".join(f"{i},{loss}\n" for i, loss in enumerate(losses, 1)))
        data = loss_curve(file)["data"]
        assert data[60][2] == pytest.approx(losses[56:61].mean(), rel=1e-3)
        assert data[1][2] == pytest.approx(losses[:2].mean(), rel=1e-3)

    def test_flat_short_and_missing_curves(self, tmp_path):
        file = tmp_path / "loss.csv"
        assert loss_curve(file) is None
        file.write_text("step,loss\n")
        assert loss_curve(file) is None
        file.write_text("step,loss\n1,0.5\n")
        assert "nan" not in str(loss_curve(file))


class Reader(HTMLParser):
    """What a page has: its tags with their attributes, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += " ".join(data.split()) + " "


class TestPage:
    def test_links_are_relative_and_lead_somewhere(self, page):
        tags = Reader(page.read_text()).tags
        links = [value for _, attrs in tags for name in ("src", "href") if (value := attrs.get(name))]
        ids = {attrs["id"] for _, attrs in tags if "id" in attrs}
        assert len(links) > 8
        for link in links:
            assert link == "data:," or (link[0] == "#" and link[1:] in ids) or (page.parent / link).is_file(), link

    def test_it_names_no_other_place(self, page):
        assert not re.findall(r"""(?:https?:)?//[a-z][\w.]+|@import|url\(""", page.read_text())

    def test_text_is_escaped(self, page):
        reader = Reader(page.read_text())
        assert sum(tag == "script" for tag, _ in reader.tags) == 1
        assert not any(tag == "img" for tag, _ in reader.tags)
        labels = [attrs.get("aria-label") for tag, attrs in reader.tags if tag == "video"]
        assert f"Edited video: {EVIL}" in labels

    def test_every_picture_and_control_has_a_name(self, page):
        for tag, attrs in Reader(page.read_text()).tags:
            if tag in ("video", "input", "select", "svg"):
                assert attrs.get("aria-label"), (tag, attrs)

    def test_source_video_is_the_picked_frames_at_their_cadence(self, page):
        from tav.video import probe

        info = probe(page.parent / "sources/car.mp4")
        assert (info.num_frames, info.fps, info.width, info.height) == (FRAMES, FPS, SIDE, SIDE)

    def test_edits_are_the_videos_as_they_were_made(self, page, project):
        for key in ("car--dog", "car--evil"):
            made = project / artifact("edit", key, "video.mp4")
            assert (page.parent / f"edits/{key}.mp4").read_bytes() == made.read_bytes()

    def test_it_says_what_is_there(self, page):
        text = Reader(page.read_text()).text
        for said in (
            "24.1 dB",
            "27.6 dB",
            "48 s",
            "source 18.25",
            "30.00 (best)",
            "steps 77 own",
            "guidance_scale 4.5",
        ):
            assert said in text, said

    def test_it_says_what_is_missing_and_how_to_make_it(self, page):
        text = Reader(page.read_text()).text
        missing = ("edit@car--missing", "evaluate@car--evil", "extract@later", "caption@later", "tune@later")
        for stage in (*missing, "invert@later", "edit@later--cat"):
            assert f"yet dvc repro {stage}" in text or f"yet: dvc repro {stage}" in text, stage

    def test_it_is_the_same_again(self, project, page):
        before = {file.name: file.read_bytes() for file in page.parent.rglob("*.*")}
        report.run(settings(), "", lambda progress: None)
        assert {file.name: file.read_bytes() for file in page.parent.rglob("*.*")} == before

    def test_nothing_at_all(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        data = params.read_yaml(Path(__file__).parents[2] / "params.yaml")
        report.run(params.check({**data, "videos": {}, "edits": {}}), "", print)
        assert "No videos yet" in (tmp_path / "artifacts/report/index.html").read_text()

    def test_no_torch(self, project):
        code = (
            "import json, sys; from tav import params; from tav.stages import report;"
            "report.run(params.check(json.loads(sys.argv[1])), '', print);"
            "print([m for m in ('torch', 'transformers', 'mlflow', 'prefect') if m in sys.modules])"
        )
        call = [sys.executable, "-c", code, json.dumps(raw_settings())]
        done = subprocess.run(call, cwd=project, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"


class Chromium:
    """A headless Chromium, spoken to through its DevTools protocol."""

    def __init__(self, profile: Path):
        from websockets.sync.client import connect

        self.process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port = self._wait(lambda: (profile / "DevToolsActivePort").read_text().split()[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            tab = next(target for target in json.load(answer) if target["type"] == "page")
        self.socket = connect(tab["webSocketDebuggerUrl"], max_size=None)
        self.events: list[dict[str, Any]] = []
        self.number = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _wait(self, ask: Any, seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                return ask()
            except (OSError, IndexError):
                assert time.monotonic() < end, "Chromium did not start"
                time.sleep(0.05)

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": values}))
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def js(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.js(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def open(self, page: Path, width: int = 1280, height: int = 900, **media: str) -> None:
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        features = [{"name": "prefers-" + name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=page.as_uri())
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def press(self, key: str) -> None:
        code = {"Enter": 13, " ": 32, "ArrowRight": 39, "ArrowLeft": 37, "Tab": 9}[key]
        text = {"Enter": "\r", " ": " "}.get(key, "")
        values: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **values)
        self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def picture(self) -> np.ndarray:
        """uint8 (h w 3): what is on the screen, all of it at one moment."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if not CHROMIUM:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


PLAYING = "[...document.querySelectorAll('video')].every(v => v.currentTime > 0 && !v.paused)"
BOXES = """[...document.querySelectorAll('video')].map(v => v.getBoundingClientRect())
    .map(b => [b.x, b.y, b.width, b.height])"""


def shown(chromium: Chromium, boxes: list[list[float]]) -> list[int]:
    """Which frame each video shows, told by its brightness on one screenshot."""
    picture = chromium.picture()
    levels = np.linspace(40, 220, FRAMES)
    found = []
    for x, y, width, height in boxes:
        part = picture[
            round(y + height / 4) : round(y + height * 3 / 4), round(x + width / 4) : round(x + width * 3 / 4)
        ]
        brightness = part.reshape(-1, 3).mean(0).max()  # of the channel that the colour leaves as it is
        found.append(int(np.abs(levels - brightness).argmin()))
    return found


def apart(a: int, b: int) -> int:
    """Frames between two frames of a loop, where the first follows the last."""
    return min((a - b) % FRAMES, (b - a) % FRAMES)


class TestBrowser:
    def test_videos_play_in_step(self, chromium, page):
        chromium.open(page)
        chromium.until(PLAYING)
        boxes = chromium.js(BOXES)
        assert len(boxes) == 4
        seen = [shown(chromium, boxes) for _ in range(25)]
        assert max(apart(a, b) for frames in seen for a, b in itertools.combinations(frames, 2)) <= 1
        assert {frames[0] for frames in seen} == set(range(FRAMES))  # all of them, and round again

    def test_no_errors_and_no_network(self, chromium, page):
        chromium.open(page)
        chromium.until(PLAYING)
        said = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        assert [event for event in chromium.events if event["method"] in said] == []
        requests = [
            e["params"]["request"]["url"] for e in chromium.events if e["method"] == "Network.requestWillBeSent"
        ]
        assert len(requests) >= 5
        assert {url.split(":")[0] for url in requests} <= {"file", "data"}

    def test_a_hostile_prompt_is_text(self, chromium, page):
        chromium.open(page)
        assert chromium.js("document.title") == "Tune-A-Video: 2 videos, 5 edits"
        assert EVIL.split()[0] in chromium.js("document.body.innerText")

    def test_scrubbing_shows_the_same_frame_of_all(self, chromium, page):
        chromium.open(page)
        chromium.until(PLAYING)
        boxes = chromium.js(BOXES)
        for frame in (5, 0, 7, 3):
            chromium.js(f"(r => {{ r.value = {frame}; r.oninput() }})(document.querySelector('input[type=range]'))")
            chromium.until("[...document.querySelectorAll('video')].every(v => v.paused && !v.seeking)")
            time.sleep(0.1)
            assert shown(chromium, boxes) == [frame] * 4
        assert chromium.js("document.querySelector('.transport output').textContent") == "4 of 8"

    def test_keyboard(self, chromium, page):
        chromium.open(page)
        chromium.until(PLAYING)
        chromium.js("document.querySelector('.transport button').focus()")
        chromium.press("Enter")
        chromium.until("[...document.querySelectorAll('video')].every(v => v.paused)")
        chromium.press("Tab")
        before = int(chromium.js("document.activeElement.value"))
        chromium.press("ArrowLeft" if before else "ArrowRight")
        assert int(chromium.js("document.activeElement.value")) == abs(before - 1)
        chromium.js("document.querySelector('.transport button').focus()")
        chromium.press(" ")
        chromium.until(PLAYING)

    def test_pause_all(self, chromium, page):
        chromium.open(page)
        chromium.until(PLAYING)
        chromium.js("document.querySelector('#all').click()")
        chromium.until("[...document.querySelectorAll('video')].every(v => v.paused)")
        chromium.js("document.querySelector('#all').click()")
        chromium.until(PLAYING)

    def test_nothing_moves_for_who_asked_for_calm(self, chromium, page):
        chromium.open(page, reduced_motion="reduce")
        chromium.until("[...document.querySelectorAll('video')].every(v => v.readyState > 1)")
        time.sleep(0.3)
        assert chromium.js("[...document.querySelectorAll('video')].every(v => v.paused && v.currentTime === 0)")
        chromium.js("document.querySelector('.transport button').click()")
        chromium.until(PLAYING)

    def test_a_damaged_video_does_not_stop_the_others(self, chromium, page, tmp_path):
        copy = shutil.copytree(page.parent, tmp_path / "report")
        (copy / "edits/car--dog.mp4").write_bytes(b"no video")
        chromium.open(copy / "index.html")
        chromium.until(
            "[...document.querySelectorAll('video')].filter(v => !v.paused && v.currentTime > 0).length === 3"
        )

    @pytest.mark.parametrize("width", [390, 768, 1280])
    def test_no_sideways_scrolling_and_no_jump(self, chromium, page, width):
        chromium.open(page, width=width)
        chromium.until(PLAYING)
        assert chromium.js("document.documentElement.scrollWidth") == width
        jumps = """new Promise(done => {
            let sum = 0;
            const add = list => list.getEntries().forEach(entry => sum += entry.value);
            new PerformanceObserver(add).observe({type: 'layout-shift', buffered: true});
            setTimeout(() => done(sum), 300);
        })"""
        assert chromium.js(jumps) < 0.01
        widths = {round(width) for _, _, width, _ in chromium.js(BOXES)}
        assert len(widths) == 1  # source and edits are shown at one size

    def test_small_videos_are_enlarged_without_blur(self, chromium, page):
        chromium.open(page)
        assert chromium.js("getComputedStyle(document.querySelector('video')).imageRendering") == "pixelated"

    def test_dark_and_light(self, chromium, page):
        colours = []
        for scheme in ("light", "dark"):
            chromium.open(page, color_scheme=scheme)
            colours.append(chromium.picture()[5, 5].mean())
        assert colours[0] > 240 > 40 > colours[1]

    def test_the_loss_curve_can_be_read(self, chromium, page):
        chromium.open(page)
        hover = (
            "(() => { const s = document.querySelector('.chart svg'), b = s.getBoundingClientRect();"
            "s.dispatchEvent(new PointerEvent('pointermove', {clientX: b.left + b.width / 2}));"
            "return document.querySelector('.reading').textContent })()"
        )
        assert chromium.js(hover).startswith("step 39: loss 0.02564, mean 0.026")
        chromium.js("document.querySelector('.chart svg').focus()")
        chromium.press("ArrowRight")
        assert chromium.js("document.querySelector('.reading').textContent").startswith("step 40: loss 0.025")


def test_large_videos_are_not_made_of_squares(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(artifact("extract", "car", "frames"), moving_square(2, 32, 48))
    write_json(
        artifact("extract", "car", "source/info.json"), {"width": 480, "height": 320, "fit": "stretch", "fps": 8.0}
    )
    report.run(settings(), "", lambda progress: None)
    assert 'class="player enlarged"' not in Path("artifacts/report/index.html").read_text()
