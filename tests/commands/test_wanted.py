"""`tav add --from`: a list or a folder of videos, all of it or nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_video

from tav.commands.add import add_many
from tav.commands.wanted import wanted_from
from tav.params import UserError, load


@pytest.fixture
def footage(tmp_path: Path, walk: Path) -> Path:
    """A folder with two videos, a folder of images and something else."""
    folder = tmp_path / "footage"
    folder.mkdir()
    for i, name in enumerate(("Cat.mp4", "dog.MP4")):
        tiny_video(folder / f"{i}.mp4", seed=i).rename(folder / name)
    walk.rename(folder / "walk")
    (folder / "readme.txt").write_text("hello")
    return folder


def a_list(folder: Path, *lines: str) -> Path:
    file = folder / "list.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_a_list_adds_videos_captions_prompts_and_names(project: Path, footage: Path) -> None:
    file = a_list(
        footage,
        "\ufeffvideo,caption,prompt,name",
        'Cat.mp4,a cat,"a dog, running",',
        "Cat.mp4,,a fox,",
        "",
        "walk,,a run,stroll",
        "dog.MP4,,,",
    )
    before = load()
    said = add_many(file, ["in the rain"])
    after = load()
    assert [key for key in after.videos if key not in before.videos] == ["cat", "stroll", "dog"]
    assert (after.videos["cat"].caption, after.videos["stroll"].caption) == ("a cat", None)
    assert {name: edit.prompt for name, edit in after.edits.items() if name not in before.edits} == {
        "cat--a-dog-running": "a dog, running",
        "cat--a-fox": "a fox",
        "cat--in-the-rain": "in the rain",
        "stroll--a-run": "a run",
        "stroll--in-the-rain": "in the rain",
        "dog--in-the-rain": "in the rain",
    }
    assert all((project / f"{video.path}.dvc").exists() for key, video in after.videos.items() if key in ("cat", "dog"))
    assert said[-1] == "now run: dvc repro"
    text = (project / "params.yaml").read_text()
    assert add_many(file, [])[0].startswith("there already: video cat")
    assert (project / "params.yaml").read_text() == text


def test_what_is_wrong_is_told_with_its_line_and_nothing_is_added(project: Path, footage: Path) -> None:
    (footage / "broken.mp4").write_bytes(b"no video at all")
    before = (project / "params.yaml").read_bytes()
    file = a_list(
        footage,
        "video;prompt;name",
        "Cat.mp4;a dog;",
        "broken.mp4;a dog;",
        'dog.MP4;"a dog\nthat runs";red-car',
        "none.mp4;a dog;",
    )
    with pytest.raises(UserError) as error:
        add_many(file, [])
    said = str(error.value)
    assert f"line 3: {footage}/broken.mp4 is not a video" in said
    assert "line 4: params.yaml has a video 'red-car' already" in said
    assert "line 6: can't open the video" in said
    assert said.endswith("Nothing was added")
    assert (project / "params.yaml").read_bytes() == before
    assert not (project / "videos").exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["video,promt", "a.mp4,x"], "line 1: no column is called 'promt'; did you mean 'prompt'"),
        (["prompt", "x"], "line 1: expected a column `video`"),
        (["video,prompt", "a.mp4,a cat, a dog"], "line 2: 3 values for 2 columns"),
        (["video,prompt", 'a.mp4,"a cat'], "line 2: is not CSV"),
        (["video,prompt", "", ",a cat"], "line 3: names no video"),
        (["video,caption", "a.mp4,a", "a.mp4,b"], "line 3: the caption of a.mp4 is 'a' in line 2, here 'b'"),
        (["video,name", "a.mp4,../x"], "line 2: '../x' can't be a name"),
        (["video,prompt", "a.mp4,a", "a.mp4,\x1b[31mred"], "line 3: prompt: "),
        (["video,prompt"], "names no videos"),
    ],
)
def test_lists_that_are_no_lists(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(UserError) as error:
        wanted_from(a_list(tmp_path, *lines))
    assert said in str(error.value)


def test_a_folder_of_videos(project: Path, footage: Path) -> None:
    said = add_many(footage, ["a fox"])
    added = list(load().videos)[-3:]
    assert added == ["cat", "dog", "walk"]
    assert {f"{name}--a-fox" for name in added} < set(load().edits)
    assert said[0] == "left out, as no video: 'readme.txt'"


def test_the_same_video_twice_is_told(project: Path, footage: Path) -> None:
    (footage / "copy.mp4").write_bytes((footage / "Cat.mp4").read_bytes())
    with pytest.raises(UserError, match=r"copy\.mp4: .* is the same video as .*Cat\.mp4: give it once"):
        add_many(footage, [])


def test_one_video_or_many(project: Path, video: Path) -> None:
    for words in ([str(video), "--from", "x.csv"], ["--from", "x.csv", "--name", "x"]):
        done = subprocess.run([sys.executable, "-m", "tav", "add", *words], capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
