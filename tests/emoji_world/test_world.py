import numpy as np
import pytest

from emoji_world.world import BACKGROUNDS, COLOURS, NOUNS, PATHS, STYLES, caption, move, sample_scene


def test_the_same_seed_gives_the_same_scene():
    first, second, other = (sample_scene(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == second != other


def test_what_is_given_stays():
    scene = sample_scene(np.random.default_rng(0), noun="cat", background="sea", style="neon", colour="blue")
    assert (scene.noun, scene.background, scene.style, scene.colour) == ("cat", "sea", "neon", "blue")
    assert abs(scene.hue - COLOURS["blue"]) <= 8
    assert caption(scene) == "a neon picture of a blue cat under water"


def test_half_of_the_captions_name_the_colour():
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng) for _ in range(2000)]
    assert 0.46 < np.mean([scene.colour is not None for scene in scenes]) < 0.54
    free = [scene.hue for scene in scenes if scene.colour is None]
    assert np.histogram(free, 6, (0, 360))[0].min() > 0.7 * len(free) / 6


@pytest.mark.parametrize("template", range(4))
def test_captions_say_what_there_is(template):
    rng = np.random.default_rng(template)
    for _ in range(50):
        scene = sample_scene(rng)
        words = caption(scene, template)
        assert scene.noun in words
        assert BACKGROUNDS[scene.background] in words
        assert STYLES[scene.style] in words
        assert (scene.colour or scene.noun) in words
        assert "a apple" not in words


@pytest.mark.parametrize("path", PATHS)
def test_subjects_move_and_stay_inside(path):
    for seed in range(20):
        scene = sample_scene(np.random.default_rng(seed))
        frames = move(scene, path, 8)
        places = np.array([[frame.x, frame.y] for frame in frames])
        assert len(frames) == 8
        assert 0.2 < places.min() < places.max() < 0.8
        assert np.ptp(places[:, 0]) > 0.15
        assert {(f.noun, f.background, f.hue, f.shades, f.flip) for f in frames} == {
            (scene.noun, scene.background, scene.hue, scene.shades, scene.flip)
        }


def test_zoom_grows_and_pause_pauses():
    scene = sample_scene(np.random.default_rng(1))
    sizes = [frame.size for frame in move(scene, "zoom", 5)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 1.5 * sizes[0]
    places = [frame.x for frame in move(scene, "pause", 21)]
    assert places[8] == pytest.approx(places[12])
    assert places[0] != pytest.approx(places[8])


def test_an_unknown_path_is_named():
    with pytest.raises(ValueError, match=r"got path 'fly', expected one of straight, bounce"):
        move(sample_scene(np.random.default_rng(0)), "fly", 8)


def test_every_noun_is_one_emoji():
    assert len(set(NOUNS.values())) == len(NOUNS)
    assert all(len(emoji) == 1 for emoji in NOUNS.values())
