"""`tav add`: what it adds, and nothing of params.yaml but what is new."""

import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, edits_of, state, write_params
from tiny import tiny_video

from tav.commands.add import add_video
from tav.commands.init import template
from tav.params import UserError, load, read_yaml


def test_adds_video_and_edits(project: Path, video: Path) -> None:
    before = (project / "params.yaml").read_text().splitlines()
    said = add_video(video, ["a dog; rm -rf /", "a dog in Zürich", " 一只狗 "], " a cat", None)
    added = load().videos["my-cat"]
    assert (added.path, added.caption) == ("videos/my-cat.mp4", "a cat")
    assert edits_of("my-cat") == {
        "my-cat--a-dog-rm-rf": "a dog; rm -rf /",
        "my-cat--a-dog-in-zürich": "a dog in Zürich",
        "my-cat--一只狗": "一只狗",
    }
    assert (project / "videos/my-cat.mp4").read_bytes() == video.read_bytes()
    assert (project / "videos/my-cat.mp4.dvc").exists()
    assert "/my-cat.mp4" in (project / "videos/.gitignore").read_text()
    after = (project / "params.yaml").read_text().splitlines()
    assert {line[0] for line in difflib.ndiff(before, after)} == {" ", "+"}
    assert "64x48" in said[0]
    assert "dvc repro" in said[-1]


def test_no_edit_is_lost_where_names_come_out_the_same(project: Path, video: Path) -> None:
    long = "a cat that walks along the beach with a friend, "
    prompts = ["🚗", "🍄", "A Dog", "a dog", f"{long}slowly", f"{long}quickly", "a dog"]
    said = add_video(video, prompts, None, "cat")
    assert list(edits_of("cat").values()) == prompts[:-1]
    assert len([line for line in said if line.startswith("added edit")]) == 6
    assert {"cat--edit", "cat--edit-2", "cat--a-dog", "cat--a-dog-2"} < set(edits_of("cat"))


@pytest.mark.parametrize(
    ("file", "name", "suffix"),
    [("视频.mp4", "视频", ".mp4"), ("été .MP4 ", "été", ".mp4"), ("🙂.mp4", "video", ".mp4"), ("123", "123", "")],
)
def test_names_of_files(project: Path, video: Path, file: str, name: str, suffix: str) -> None:
    add_video(video.rename(video.with_name(file)), ["a dog"], None, None)
    assert load().videos[name].path == f"videos/{name}{suffix}"
    assert (project / f"videos/{name}{suffix}.dvc").exists()
    assert edits_of(name) == {f"{name}--a-dog": "a dog"}


def test_dvc_has_stages_of_such_names(project: Path, video: Path) -> None:
    for name in ("dvc.yaml", "recipe.yaml"):
        shutil.copy(ROOT / name, project)
    names = ("视频", "किताब", "été", "123", "null", "true", "1e5")
    for name in names:
        add_video(video, ["собака"], None, name)
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only", "--all"]
    stages = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert {f"extract@{name}" for name in names} | {f"edit@{name}--собака" for name in names} < set(stages)


def test_a_name_that_is_no_utf8(project: Path, video: Path) -> None:
    add_video(video.rename(os.fsdecode(os.fsencode(video.parent) + b"/my\xff.mp4")), [], None, None)
    assert load().videos["my"].path == "videos/my.mp4"
    with pytest.raises(UserError, match="not UTF-8"):
        add_video(video, ["\udcff"], None, None)


def test_a_video_that_is_there_gets_new_edits_only(project: Path, video: Path) -> None:
    add_video(video, ["a dog"], None, "cat")
    lines = len((project / "params.yaml").read_text().splitlines())
    for again, name in ((video, "cat"), (project / "videos/cat.mp4", "cat"), (video, None)):
        said = add_video(again, ["a dog", f"a fox {again.stem}"], None, name)
        assert said[0].startswith("there already: video cat")
    assert list(edits_of("cat").values()) == ["a dog", "a fox My Cat", "a fox cat"]
    assert len((project / "params.yaml").read_text().splitlines()) == lines + 6
    add_video(video, [], "a cat: mine", None)
    assert load().videos["cat"].caption == "a cat: mine"
    assert len((project / "params.yaml").read_text().splitlines()) == lines + 6


@pytest.mark.parametrize("name", ["red-car", "Red-Car", "RED-CAR"])
def test_same_name_for_another_video(project: Path, video: Path, name: str) -> None:
    with pytest.raises(UserError, match="another --name"):
        add_video(video, [], None, name)


def test_another_video_of_the_same_file_name_gets_a_number(project: Path, video: Path) -> None:
    add_video(video, [], None, None)
    video.unlink()
    add_video(tiny_video(video, seed=1), ["a dog"], None, None)
    assert load().videos["my-cat-2"].path == "videos/my-cat-2.mp4"
    assert edits_of("my-cat-2") == {"my-cat-2--a-dog": "a dog"}


@pytest.mark.parametrize(
    ("name", "prompt", "said"),
    [
        ("../x", "a dog", "can't be a name"),
        ("a b", "a dog", "can't be a name"),
        (" ", "a dog", "can't be a name"),
        (None, "  ", "prompt"),
    ],
)
def test_nothing_is_left_of_a_refused_video(
    project: Path, video: Path, name: str | None, prompt: str, said: str
) -> None:
    before = state(project)
    with pytest.raises(UserError, match=said):
        add_video(video, [prompt], None, name)
    assert state(project) == before


@pytest.mark.parametrize("content", [b"", b"hello, I am a text"])
def test_not_a_video(project: Path, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.mp4"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.mp4"):
        add_video(file, ["a dog"], None, None)
    assert not (project / "videos").exists()


def test_folder_of_images(project: Path, walk: Path) -> None:
    (walk / "readme.txt").symlink_to("/etc/passwd")
    walk.chmod(0o555)
    said = add_video(walk, [], "a walk", None)
    assert read_yaml(project / "params.yaml")["videos"]["walk"]["path"] == "videos/walk"
    assert sorted(file.name for file in (project / "videos/walk").iterdir()) == ["0.png", "1.png", "2.png"]
    assert os.stat(project / "videos/walk").st_mode & 0o700 == 0o700  # noqa: PTH116
    assert "left out: 'readme.txt' (a link)" in said
    assert add_video(walk, [], None, None)[0].startswith("there already: video walk")


def test_own_params_are_checked_first(project: Path, video: Path) -> None:
    data = read_yaml(project / "params.yaml")
    data["tune"]["steps"] = -1
    write_params(project, data)
    with pytest.raises(UserError, match=r"tune\.steps"):
        add_video(video, [], "a cat", None)
    assert not (project / "videos").exists()


@pytest.mark.parametrize("text", ["", "videos: null\n", "[", "a: b: c", "- a\n", "just words", "\x00", "edits: {}\n"])
def test_malformed_params(project: Path, video: Path, text: str) -> None:
    (project / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        add_video(video, ["a dog"], "a cat", None)
    assert not (project / "videos").exists()


def test_a_file_that_lies_there_already_is_tracked_in_place(project: Path, video: Path) -> None:
    (project / "videos/2024").mkdir(parents=True)
    mine = shutil.copy(video, project / "videos/2024/Mine 1.MP4")
    inode = os.stat(mine).st_ino  # noqa: PTH116
    add_video(Path("videos/2024/Mine 1.MP4"), ["a dog"], None, None)
    assert load().videos["mine-1"].path == "videos/2024/Mine 1.MP4"
    assert (project / "videos/2024/Mine 1.MP4.dvc").exists()
    assert os.stat(mine).st_ino == inode  # noqa: PTH116


def test_a_folder_that_lies_there_already_holds_images_alone(project: Path, walk: Path) -> None:
    shutil.copytree(walk, project / "videos/walk")
    (project / "videos/walk/id_rsa").symlink_to("/etc/passwd")
    before = state(project)
    with pytest.raises(UserError, match=r"holds more than images \('id_rsa' \(a link\)\)"):
        add_video(Path("videos/walk"), [], None, None)
    assert state(project) == before


def test_a_name_that_cant_stand_in_params(project: Path, video: Path) -> None:
    (project / "videos").mkdir()
    for name in ("a${x}.mp4", "a.mp4 ", "a\n.mp4", os.fsdecode(b"a\xff.mp4")):
        shutil.copy(video, project / "videos" / name)
        with pytest.raises(UserError, match="rename it first"):
            add_video(Path("videos") / name, [], None, None)


def test_what_git_keeps_needs_no_dvc(project: Path, video: Path) -> None:
    (project / "videos").mkdir()
    shutil.copy(video, project / "videos/mine.mp4")
    subprocess.run(["git", "add", "videos/mine.mp4"], check=True)
    add_video(Path("videos/mine.mp4"), [], None, None)
    assert load().videos["mine"].path == "videos/mine.mp4"
    assert not (project / "videos/mine.mp4.dvc").exists()


def test_a_leftover_is_taken_over_when_it_is_the_same(project: Path, video: Path, walk: Path) -> None:
    (project / "videos").mkdir()
    shutil.copy(walk / "0.png", project / "videos/my-cat.mp4")
    with pytest.raises(UserError, match="is there already"):
        add_video(video, [], None, None)
    assert (project / "videos/my-cat.mp4").read_bytes() == (walk / "0.png").read_bytes()
    shutil.copy(video, project / "videos/my-cat.mp4")
    shutil.copytree(walk, project / "videos/walk")
    for source, name in ((video, "my-cat"), (walk, "walk")):
        add_video(source, [], None, None)
        assert name in load().videos


def test_dvcs_reason_is_told(project: Path, video: Path) -> None:
    shutil.rmtree(project / ".git")
    before = state(project)
    with pytest.raises(UserError, match=r"DVC can't track videos/my-cat\.mp4: .*not a git repository"):
        add_video(video, [], None, None)
    assert state(project) == before


def test_outside_of_a_dvc_project(project: Path, video: Path) -> None:
    shutil.rmtree(project / ".dvc")
    with pytest.raises(UserError, match="`dvc init`"):
        add_video(video, [], None, None)
    assert not (project / ".dvc").exists()


def test_the_toy_is_no_base_for_ones_own_video(project: Path, video: Path) -> None:
    assert any("knows twelve emoji" in line for line in add_video(video, [], None, None))
    assert not any("emoji" in line for line in add_video(template() / "videos/red-car.mp4", ["a dog"], None, "car"))
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("source: models/emoji-world/stable-diffusion", "source: hub:a/b", 1)
    )
    assert not any("emoji" in line for line in add_video(video, ["a dog"], None, None))
