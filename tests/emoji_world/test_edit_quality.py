"""The figures of benchmarks/edit_quality.py, on readings whose figures are known."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emoji_world.judge import Reading
from emoji_world.world import COLOURS, NOTHING, PATHS, caption

SCRIPT = Path(__file__).parents[2] / "benchmarks/edit_quality.py"


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location("edit_quality", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reading_of(scenes):
    return Reading(
        nouns=[scene.noun for scene in scenes],
        backgrounds=[scene.background for scene in scenes],
        styles=[scene.style for scene in scenes],
        places=np.array([[scene.x, scene.y, scene.size] for scene in scenes], np.float32),
        hues=np.array([scene.hue for scene in scenes], np.float32),
    )


def test_videos_are_fresh_seeded_and_of_every_path(quality):
    videos = quality.make_videos(10)
    assert [caption(frames[0]) for frames, _ in videos] == [caption(frames[0]) for frames, _ in quality.make_videos(10)]
    assert len({caption(frames[0]) for frames, _ in videos}) > 5
    assert len(PATHS) == 5
    for frames, asked in videos:
        source = frames[0]
        assert asked["object"].noun != source.noun
        assert asked["background"].background != source.background
        assert asked["colour"].colour != source.colour in COLOURS
        assert asked["style"].style != source.style == "plain"


def test_a_perfect_edit_is_perfect(quality):
    frames, asked = quality.make_videos(1)[0]
    edited = [replace(frame, noun=asked["object"].noun) for frame in frames]
    figures = quality.figures_of("object", asked["object"], frames, reading_of(edited))
    assert figures["right"] == 1
    assert figures["nothing"] == 0
    assert figures["motion"] == pytest.approx(1)
    assert figures["distance"] == pytest.approx(0, abs=1e-6)
    assert figures["hue spread"] < 0.1


def test_an_edit_that_runs_backwards_or_loses_its_subject_is_found(quality):
    frames, asked = quality.make_videos(1)[0]
    edited = [replace(frame, noun=asked["object"].noun, x=1 - frame.x, y=1 - frame.y) for frame in frames]
    assert quality.figures_of("object", asked["object"], frames, reading_of(edited))["motion"] < -0.9
    lost = [replace(frame, noun=NOTHING if i < 2 else asked["object"].noun) for i, frame in enumerate(frames)]
    figures = quality.figures_of("object", asked["object"], frames, reading_of(lost))
    assert (figures["nothing"], figures["right"]) == (0.25, 0.75)


def test_colours_are_read_by_the_nearest_word(quality):
    frames, asked = quality.make_videos(1)[0]
    meant = replace(asked["colour"], colour="red")
    hues = [350, 355, 0, 5, 10, 16, 125, 215]
    edited = [replace(frame, hue=float(hue)) for frame, hue in zip(frames, hues, strict=True)]
    assert quality.figures_of("colour", meant, frames, reading_of(edited))["right"] == 0.75


def test_the_spread_of_hues_goes_round_the_circle(quality):
    assert quality.circular_spread(np.array([355.0, 5.0])) == pytest.approx(5, abs=0.1)
    assert quality.circular_spread(np.array([90.0, 90.0])) == pytest.approx(0, abs=1e-3)
    assert quality.circular_spread(np.linspace(0, 315, 8)) > 100
