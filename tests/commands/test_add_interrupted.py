"""`tav add` that is disturbed at its work: all of it or nothing."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from project import ROOT, edits_of, state

from tav.commands import tracking
from tav.commands.add import add_video
from tav.params import UserError, load


def after_tracking(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """Let something happen while `tav add` is at its slow work."""
    track = tracking.track

    def tracked(*places: Path) -> None:
        track(*places)
        then()

    monkeypatch.setattr(tracking, "track", tracked)


def test_an_editors_save_between_is_kept(project: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = project / "params.yaml"
    after_tracking(
        monkeypatch, lambda: params.write_text(params.read_text().replace("steps: 50", "steps: 123")) and None
    )
    add_video(video, ["a dog"], None, "cat")
    assert load().tune.steps == 123
    assert edits_of("cat") == {"cat--a-dog": "a dog"}


@pytest.mark.parametrize("text", ["[", "videos: null\n"])
def test_a_broken_save_between_takes_all_back(
    project: Path, video: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    before = state(project)
    after_tracking(monkeypatch, lambda: (project / "params.yaml").write_text(text) and None)
    with pytest.raises(UserError, match=r"params\.yaml"):
        add_video(video, ["a dog"], None, None)
    assert state(project) == before | {"params.yaml": text.encode()}


def test_a_refused_write_leaves_what_was_there(project: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "videos").mkdir()
    (project / "videos/.gitignore").write_text("/old.mp4")
    shutil.copy(video, project / "videos/mine.mp4")
    before = state(project)

    def full() -> None:
        raise OSError(28, "No space left on device")

    after_tracking(monkeypatch, full)
    for source in (video, Path("videos/mine.mp4")):
        with pytest.raises(OSError, match="No space"):
            add_video(source, ["a dog"], None, None)
        assert state(project) == before


SIGNALLED = """
import os, sys
from pathlib import Path
from tav.commands import tracking
from tav.commands.add import add_video
track = tracking.track
def tracked(*places):
    track(*places)
    os.kill(os.getpid(), int(sys.argv[2]))
tracking.track = tracked
add_video(Path(sys.argv[1]), ["a dog"], None, None)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_leaves_nothing_that_is_in_the_way(project: Path, video: Path, number: signal.Signals) -> None:
    before = state(project)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SIGNALLED, str(video), str(int(number))], env=env, capture_output=True)
    if number == signal.SIGKILL:
        assert done.returncode == -signal.SIGKILL
    else:
        assert (done.returncode, done.stderr) == (128 + number, b"")
        assert state(project) == before
    add_video(video, ["a dog"], None, None)
    assert edits_of("my-cat") == {"my-cat--a-dog": "a dog"}
    assert not list((project / "videos").glob(".tmp-*"))


def test_two_at_once(project: Path, video: Path, walk: Path) -> None:
    command, env = [sys.executable, "-m", "tav", "add"], os.environ | {"PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.Popen([*command, str(source), "--edit", prompt], env=env, stdout=subprocess.PIPE)
        for source, prompt in ((video, "a dog"), (walk, "a run"), (video, "a fox"))
    ]
    assert [run.wait(300) for run in runs] == [0, 0, 0]
    assert set(edits_of("my-cat").values()) == {"a dog", "a fox"}
    assert set(edits_of("walk").values()) == {"a run"}
