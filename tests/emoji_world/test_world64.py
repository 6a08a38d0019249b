"""The world at 64 pixels: its words, its scenes, its pictures and their truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emoji_world import world, world64
from emoji_world.backgrounds64 import PAINTERS
from emoji_world.features64 import patch_features, unpatch_features
from emoji_world.render import DEBIAN_FONT
from emoji_world.render64 import render_scene, truths
from emoji_world.samples64 import captioned_batches
from emoji_world.world64 import HIDDEN, SIZES, caption, most_hidden, move, sample_scene

needs_font = pytest.mark.skipif(not DEBIAN_FONT.is_file(), reason="needs Noto Color Emoji")


def scenes(number: int, **known: int) -> list[world64.Scene]:
    rng = np.random.default_rng(3)
    return [sample_scene(rng, **known) for _ in range(number)]


def test_it_holds_the_first_world():
    assert len(world64.NOUNS) >= 20
    assert (len(world64.BACKGROUNDS), len(world64.STYLES)) == (8, 4)
    assert world.NOUNS.items() <= world64.NOUNS.items()
    assert world.BACKGROUNDS.items() <= world64.BACKGROUNDS.items()
    assert world.STYLES.items() <= world64.STYLES.items()
    assert set(PAINTERS) == set(world64.BACKGROUNDS)
    assert sum(world64.STYLE_ODDS.values()) == pytest.approx(1)
    assert set(world64.STYLE_ODDS) == set(world64.STYLES)


def test_a_third_has_two_subjects_of_two_nouns():
    drawn = scenes(3000)
    two = [scene for scene in drawn if len(scene.subjects) == 2]
    assert len(two) / len(drawn) == pytest.approx(1 / 3, abs=0.03)
    assert all(scene.subjects[0].noun != scene.subjects[1].noun for scene in two)
    assert {len(scene.subjects) for scene in drawn} == {1, 2}


def test_captions_name_both_in_either_order():
    scene = scenes(1, num_subjects=2)[0]
    first, second = (replace(subject, colour=None) for subject in scene.subjects)
    scene = replace(
        scene, style="plain", subjects=(replace(first, noun="owl"), replace(second, noun="car", colour="red"))
    )
    place = world64.BACKGROUNDS[scene.background]
    assert caption(scene) == f"an owl and a red car {place}"
    assert caption(scene, 3) == f"there are an owl and a red car {place}"
    rng = np.random.default_rng(0)
    words = [caption(scene, rng) for _ in range(40)]
    assert any("an owl and a red car" in each for each in words)
    assert any("a red car and an owl" in each for each in words)


def test_every_word_of_a_caption_is_known():
    rng = np.random.default_rng(0)
    said = {word for scene in scenes(2000) for word in caption(scene, rng).replace(",", " ").split()}
    assert said == set(world64.words())


@needs_font
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_truth_says_where_each_can_be_seen(height: int, width: int):
    for scene in scenes(60, num_subjects=2):
        pair = truths(scene, height, width)
        for truth, subject in zip(pair, scene.subjects, strict=True):
            alone = truths(replace(scene, subjects=(subject,)), height, width)[0].mask
            assert truth.mask.sum() >= (1 - HIDDEN - 0.03) * alone.sum()
            assert (truth.noun, truth.hue, truth.x, truth.y) == (subject.noun, subject.hue, subject.x, subject.y)
        assert not (pair[0].mask & pair[1].mask).any()


@needs_font
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_picture_differs_from_its_background_inside_the_masks_alone(height: int, width: int):
    for scene in scenes(20):
        scene = replace(scene, style="plain")
        picture, bare = (render_scene(each, height, width) for each in (scene, replace(scene, subjects=())))
        differs = (picture != bare).any(axis=-1)
        mask = np.logical_or.reduce([truth.mask for truth in truths(scene, height, width)])
        assert picture.shape == (height, width, 3)
        assert differs[mask].mean() > 0.95
        near = np.pad(mask, 1)
        near = near[2:, 1:-1] | near[:-2, 1:-1] | near[1:-1, 2:] | near[1:-1, :-2]
        assert not differs[~(near | mask)].any()


@needs_font
def test_the_same_scene_gives_the_same_pixels():
    for scene in scenes(5):
        assert np.array_equal(render_scene(scene), render_scene(scene))


@needs_font
def test_styles_and_backgrounds_look_different():
    scene = scenes(1)[0]
    for field, known in (("style", world64.STYLES), ("background", world64.BACKGROUNDS)):
        pictures = [render_scene(replace(scene, **{"style": "plain", field: name})) for name in known]
        for i, one in enumerate(pictures):
            assert all(np.abs(one - other.astype(float)).mean() > 5 for other in pictures[:i])


@pytest.mark.parametrize("first", world.PATHS)
@pytest.mark.parametrize("second", world.PATHS)
def test_two_subjects_move_on_paths_of_their_own(first: str, second: str):
    moved = 0
    for scene in scenes(20, num_subjects=2):
        frames = move(scene, (first, second), 12)
        assert len(frames) == 12
        assert all(most_hidden(frame.subjects) <= HIDDEN for frame in frames)
        moved += len({(frame.subjects[0].x, frame.subjects[0].size) for frame in frames}) > 3
    assert moved >= 15


def test_a_lone_subject_crosses_the_picture():
    for scene in scenes(20, num_subjects=1):
        frames = move(scene, ("straight",), 9)
        assert abs(frames[-1].subjects[0].x - frames[0].subjects[0].x) == pytest.approx(0.46)


def test_a_wrong_path_is_told():
    scene = scenes(1, num_subjects=2)[0]
    for paths in (("straight",), ("straight", "zigzag")):
        with pytest.raises(ValueError, match="expected one a subject"):
            move(scene, paths, 4)


@needs_font
def test_features_are_scaled_and_can_be_undone():
    batches = captioned_batches(np.random.default_rng(2), 64)
    while (pixel_values := next(batches)[0]).shape[2:] != (64, 96):
        pass
    features = patch_features(pixel_values)
    assert features.shape == (64, 8, 16, 24)
    wanted = torch.tensor([1.2, 0.6, 0.6, 0.4, 0.4, 0.4, 0.6, 0.6])
    assert torch.allclose(features.std(dim=(0, 2, 3)), wanted, rtol=0.2)
    error = ((unpatch_features(features) - pixel_values) / 2).square().mean()
    assert -10 * error.log10() > 25
    flat = torch.full((1, 3, 8, 8), 0.25)
    assert torch.allclose(unpatch_features(patch_features(flat)), flat, atol=1e-5)
