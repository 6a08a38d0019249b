"""The page, driven in a real headless Chromium."""

import itertools
import shutil
import time

import numpy as np
import pytest
from chromium import Chromium
from report_project import EVIL, FRAMES

PLAYING = "[...document.querySelectorAll('video')].every(v => v.currentTime > 0 && !v.paused)"
BOXES = """[...document.querySelectorAll('video')].map(v => v.getBoundingClientRect())
    .filter(b => b.bottom <= window.innerHeight).map(b => [b.x, b.y, b.width, b.height])"""


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
        while len({frames[0] for frames in seen}) < FRAMES and len(seen) < 200:  # a busy machine takes few pictures
            seen.append(shown(chromium, boxes))
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
            end = time.monotonic() + 60  # a frame that was sought is painted some time after
            while shown(chromium, boxes) != [frame] * 4 and time.monotonic() < end:
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
            "[...document.querySelectorAll('video')].filter(v => !v.paused && v.currentTime > 0).length === 5"
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
