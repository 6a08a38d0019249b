"""`tav add`: all of it or nothing, and not a comment of params.yaml lost."""

import subprocess
import sys
from pathlib import Path

import pytest
from project import write_params
from tiny import tiny_video

from tav.commands.add import add_video
from tav.params import UserError, load, read_yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, check=True)
    text = (ROOT / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return tiny_video(tmp_path / "My Cat.mp4")


def comments(text: str) -> list[str]:
    return [line.split("#", 1)[1].strip() for line in text.splitlines() if "#" in line]


def test_adds_video_and_edits_and_keeps_comments(project: Path, video: Path) -> None:
    before = (project / "params.yaml").read_text()
    said = add_video(video, ["a dog; rm -rf /", "a dog in Zürich", "一只狗"], "a cat", None)
    params = load()
    assert params.videos["my-cat"].path == "videos/my-cat.mp4"
    assert params.videos["my-cat"].caption == "a cat"
    edits = {k: e.prompt for k, e in params.edits.items() if e.video == "my-cat"}
    assert edits == {
        "my-cat--a-dog-rm-rf": "a dog; rm -rf /",
        "my-cat--a-dog-in-z-rich": "a dog in Zürich",
        "my-cat--edit": "一只狗",
    }
    assert (project / "videos/my-cat.mp4").read_bytes() == video.read_bytes()
    assert (project / "videos/my-cat.mp4.dvc").exists()
    assert "/my-cat.mp4" in (project / "videos/.gitignore").read_text()
    assert comments(before) == comments((project / "params.yaml").read_text())
    assert "64x48" in said[0]
    assert "dvc repro" in said[-1]


def test_a_video_that_is_there_gets_new_edits_only(project: Path, video: Path) -> None:
    add_video(video, ["a dog"], None, "cat")
    for again in (video, project / "videos/cat.mp4"):
        add_video(again, ["a dog", f"a fox {again.stem}"], None, "cat")
    params = load()
    assert params.videos["cat"].caption is None
    assert [e.prompt for e in params.edits.values() if e.video == "cat"] == ["a dog", "a fox My Cat", "a fox cat"]


def test_same_name_for_another_video(project: Path, video: Path, tmp_path: Path) -> None:
    add_video(video, [], None, "cat")
    other = tiny_video(tmp_path / "other.mp4", seed=1)
    with pytest.raises(UserError, match="another --name"):
        add_video(other, [], None, "cat")


@pytest.mark.parametrize(
    ("name", "prompt", "said"),
    [
        ("../x", "a dog", "can't be a name"),
        ("a b", "a dog", "can't be a name"),
        (None, "  ", "prompt"),
    ],
)
def test_nothing_is_left_of_a_refused_video(
    project: Path, video: Path, name: str | None, prompt: str, said: str
) -> None:
    before = (project / "params.yaml").read_text()
    with pytest.raises(UserError, match=said):
        add_video(video, [prompt], None, name)
    assert (project / "params.yaml").read_text() == before
    assert not (project / "videos").exists()


@pytest.mark.parametrize("content", [b"", b"hello, I am a text"])
def test_not_a_video(project: Path, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.mp4"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.mp4"):
        add_video(file, ["a dog"], None, None)
    assert not (project / "videos").exists()


def test_no_such_file(project: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        add_video(Path("nowhere.mp4"), [], None, None)


def test_folder_of_images(project: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "walk"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (32, 24), (i, 0, 0)).save(folder / f"{i}.png")
    add_video(folder, [], "a walk", None)
    assert read_yaml(project / "params.yaml")["videos"]["walk"]["path"] == "videos/walk"
    assert len(list((project / "videos/walk").iterdir())) == 3


def test_own_params_are_checked_first(project: Path, video: Path) -> None:
    data = read_yaml(project / "params.yaml")
    data["tune"]["steps"] = -1
    write_params(project, data)
    with pytest.raises(UserError, match=r"tune\.steps"):
        add_video(video, [], "a cat", None)
    assert not (project / "videos").exists()
