import json
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from emoji_world import render
from emoji_world.world import BACKGROUNDS, COLOURS, NOTHING, NOUNS, STYLES, sample_scene

pytestmark = pytest.mark.skipif(not render.DEBIAN_FONT.is_file(), reason="fonts-noto-color-emoji is not installed")


def scene_of(seed=0, **known):
    return replace(sample_scene(np.random.default_rng(seed), **known), x=0.5, y=0.5, size=0.6, rotation=0.0)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_large_made_small_is_small(background):
    scene = scene_of(background=background, style="plain")
    large = cv2.resize(render.render_scene(scene, 256, 256), (32, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(large.astype(int) - render.render_scene(scene)).mean() < 3


def test_pictures_are_rgb_bytes_of_the_size_asked_for():
    picture = render.render_scene(scene_of(), 48, 80)
    assert picture.shape == (48, 80, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize("colour", ["red", "green", "blue"])
def test_the_subject_has_its_colour(noun, colour):
    scene = scene_of(noun=noun, colour=colour, style="plain")
    hsv = cv2.cvtColor((render.render_scene(scene, 128, 128) / 255).astype(np.float32), cv2.COLOR_RGB2HSV)
    inside = hsv[40:88, 40:88].reshape(-1, 3)
    mean = np.rad2deg(np.angle((inside[:, 1] * np.exp(1j * np.deg2rad(inside[:, 0]))).sum()))
    assert abs((mean - COLOURS[colour] + 180) % 360 - 180) < 30


@pytest.mark.parametrize("style", STYLES)
def test_every_noun_marks_its_place_alike(style):
    frames = [render.render_scene(scene_of(noun=noun, style=style)).astype(float).mean(-1) for noun in NOUNS]
    bare = render.render_scene(scene_of(noun=NOTHING, style=style)).astype(float).mean(-1)
    marks = np.array([(frame - bare).ravel() for frame in frames])
    marks /= np.linalg.norm(marks, axis=1, keepdims=True)
    assert (marks @ marks.T).min() > 0.6


def test_nouns_look_different_and_flip_turns_them():
    scenes = [scene_of(noun=noun, style="plain") for noun in NOUNS]
    assert len({render.render_scene(scene).tobytes() for scene in scenes}) == len(NOUNS)
    chick = scene_of(noun="chick", style="plain")
    turned = replace(chick, flip=not chick.flip)
    assert not np.array_equal(render.render_scene(chick), render.render_scene(turned))


def test_a_missing_font_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(render, "DEBIAN_FONT", tmp_path / "none.ttf")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt install fonts-noto-color-emoji"):
        render.font_path()


def test_the_command_writes_a_video_and_its_truth(tmp_path):
    out, truth = tmp_path / "cat.mp4", tmp_path / "cat.json"
    command = [sys.executable, "-m", "emoji_world.render", "--noun", "cat", "--background", "space"]
    command += ["--style", "plain", "--colour", "red", "--path", "circle", "--frames", "6", "--width", "64"]
    command += ["--height", "48", "--out", str(out), "--truth", str(truth)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said == "a red cat in space\n"
    told = json.loads(truth.read_text())
    assert told["caption"] == "a red cat in space"
    assert len(told["frames"]) == 6
    from tav.video import probe

    info = probe(out)
    assert (info.width, info.height) == (64, 48)
