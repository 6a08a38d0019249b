"""`tav add --like`: an edited video brings its settings along."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from project import ROOT

from tav.commands.add import add_video
from tav.params import UserError, check, load, parse_settings, read_yaml, settings_text
from tav.video import write_gif, write_mp4

FRAMES = np.zeros((2, 16, 16, 3), np.uint8)


def made(path: Path, **edit: object) -> Path:
    """An edit of this project's car, as another project made it, with other settings."""
    data = read_yaml(Path("params.yaml"))
    data["extract"] |= {"num_frames": 6, "size": [32, 48], "fps": None, "stride": 2}
    data["tune"] |= {"steps": 77, "learning_rate": 1e-4}
    data["invert"] |= {"num_inference_steps": 9}
    data["edit"] |= {"guidance_scale": 7.5}
    data["edits"] = {"red-car--fox": {"video": "red-car", "prompt": "a fox, running: {fast}", **edit}}
    text = settings_text(check(data), "red-car--fox", "a red car on a road")
    (write_gif if path.suffix == ".gif" else write_mp4)(path, FRAMES, 8, text=text)
    return path


@pytest.mark.parametrize("name", ["made.mp4", "made.gif"])
def test_another_video_like_it(project: Path, video: Path, name: str, tmp_path: Path) -> None:
    said = add_video(video, [], None, None, made(tmp_path / name, seed=5))
    params = load()
    (edit,) = (edit for edit, asked in params.edits.items() if asked.video == "my-cat")
    assert params.edits[edit].prompt == "a fox, running: {fast}"
    assert params.videos["my-cat"].caption is None  # it is another video
    assert params.videos["my-cat"].extract == {"num_frames": 6, "size": [32, 48], "stride": 2}
    assert params.videos["my-cat"].tune == {"steps": 77, "learning_rate": 1e-4}
    assert (params.edit_of(edit).guidance_scale, params.edit_of(edit).seed) == (7.5, 5)
    assert params.extract_of("my-cat").size == (32, 48)
    assert "note: invert.num_inference_steps was 9 there, it is 20 here" in said
    assert len([line for line in said if " there, it is " in line]) == 1


def test_the_same_video_again(project: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "videos", project / "videos", ignore=shutil.ignore_patterns(".*"))
    like = made(tmp_path / "made.mp4")
    said = add_video(None, [], None, None, like)
    params = load()
    (edit,) = (edit for edit, asked in params.edits.items() if asked.prompt.startswith("a fox"))
    assert params.edits[edit].video == "red-car"
    assert params.edit_of(edit).guidance_scale == 7.5
    assert "note: videos.red-car.tune.steps was 77 there, it is 50 here" in said
    add_video(None, [], None, None, like)
    assert len(load().edits) == len(params.edits)  # it is there already
    add_video(None, ["a blue car on a road"], None, None, like)  # as one that is there, but with other settings
    assert len(load().edits) == len(params.edits) + 1


def test_what_is_refused(project: Path, video: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no VIDEO was given"):
        add_video(None, ["a dog"], None, None)
    with pytest.raises(UserError, match=r"nowhere\.mp4"):
        add_video(video, [], None, None, tmp_path / "nowhere.mp4")
    with pytest.raises(UserError, match="has no settings in it: tav writes them"):
        add_video(video, [], None, None, video)
    for text, reason in (("{}", "don't fit this version"), ("no JSON", "no settings of tav"), ("[" * 9999, "no sett")):
        write_mp4(tmp_path / "odd.mp4", FRAMES, 8, text=text)
        with pytest.raises(UserError, match=reason):
            add_video(video, [], None, None, tmp_path / "odd.mp4")
    with pytest.raises(UserError, match=r"was made of videos/red-car\.mp4, which is not here"):
        add_video(None, [], None, None, made(tmp_path / "made.mp4"))


def test_no_folder_of_this_machine_goes_along(project: Path) -> None:
    data = read_yaml(Path("params.yaml"))
    data["base"]["source"] = "/home/me/models/sd"
    data["edits"] = {"red-car--fox": {"video": "red-car", "prompt": "/a fox"}}
    text = settings_text(check(data), "red-car--fox", None)
    assert "/home/me" not in text
    assert parse_settings(text).prompt == "/a fox"
