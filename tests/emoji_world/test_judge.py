import numpy as np
import pytest
import torch

from emoji_world.clip import UNSAID, partial_captions, truths
from emoji_world.judge import NOUN_CLASSES, Judge, judge_loss, load_judge, read
from emoji_world.render import DEBIAN_FONT, render_scene
from emoji_world.world import NOTHING, sample_scene

pytestmark = pytest.mark.skipif(not DEBIAN_FONT.is_file(), reason="fonts-noto-color-emoji is not installed")


def test_the_loss_ignores_place_and_hue_of_nothing():
    torch.manual_seed(0)
    judge, rng = Judge(), np.random.default_rng(0)
    scenes = [sample_scene(rng, style="plain") for _ in range(8)]
    pixel_values = torch.randn(8, 3, 32, 32)
    seen = judge_loss(judge, pixel_values, scenes)
    from dataclasses import replace

    moved = [replace(scenes[0], noun=NOTHING, x=9.0, hue=5.0), *scenes[1:]]
    same = [replace(scenes[0], noun=NOTHING), *scenes[1:]]
    assert judge_loss(judge, pixel_values, moved) == judge_loss(judge, pixel_values, same) != seen


def test_the_shipped_judge_reads_renders():
    from emoji_world.measure import MODELS

    if not (MODELS / "judge").is_dir():
        pytest.skip("models/emoji-world/judge is not there")
    rng = np.random.default_rng(123)
    scenes = [sample_scene(rng, style="plain") for _ in range(64)]
    seen = read(load_judge(MODELS / "judge"), np.stack([render_scene(scene) for scene in scenes]))
    assert np.mean([a == scene.noun for a, scene in zip(seen.nouns, scenes, strict=True)]) > 0.95
    assert np.abs(seen.places[:, 0] - [scene.x for scene in scenes]).mean() < 0.03
    error = (seen.hues - [scene.hue for scene in scenes] + 180) % 360 - 180
    assert np.abs(error).mean() < 10
    bare = np.stack([render_scene(sample_scene(rng, noun=NOTHING)) for _ in range(16)])
    assert np.mean([noun == NOTHING for noun in read(load_judge(MODELS / "judge"), bare).nouns]) > 0.9
    assert NOTHING in NOUN_CLASSES


def test_captions_are_true_of_what_they_were_written_for():
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng) for _ in range(64)]
    words, said = partial_captions(scenes, rng)
    true = truths(scenes, said)
    assert true.diagonal().min() == 1
    assert true.mean() < 0.3
    for text, facts in zip(words, said, strict=True):
        assert (facts[1] == UNSAID) == (not any(place in text for place in (" in ", " on ", "under", "in ", "on ")))
