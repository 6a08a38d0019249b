import numpy as np
import pytest
import torch

from emoji_world.features import NUM_FEATURES, patch_features, unpatch_features, worn
from emoji_world.render import DEBIAN_FONT
from emoji_world.samples import draw, training_scenes


def test_grey_pictures_come_back_exactly():
    grey = torch.rand(2, 1, 8, 12).expand(-1, 3, -1, -1) * 2 - 1
    features = patch_features(grey)
    assert features.shape == (2, NUM_FEATURES, 4, 6)
    torch.testing.assert_close(unpatch_features(features), grey, atol=1e-5, rtol=0)


@pytest.mark.skipif(not DEBIAN_FONT.is_file(), reason="fonts-noto-color-emoji is not installed")
def test_features_of_renders_have_the_size_that_is_said():
    features = patch_features(draw(training_scenes(np.random.default_rng(0), 200)))
    assert features.mean((0, 2, 3)).abs().max() < 0.15
    torch.testing.assert_close(features.std((0, 2, 3)), torch.tensor([1.2, 0.5, 0.5, 0.5, 0.6, 0.6]), atol=0.12, rtol=0)


def test_worn_pictures_stay_alike():
    torch.manual_seed(0)
    picture = torch.nn.functional.interpolate(torch.rand(16, 3, 4, 4), size=32, mode="bilinear") * 2 - 1
    changed = (worn(picture) - picture).abs().amax((1, 2, 3))
    assert 0 < (changed == 0).sum() < 16
    assert (worn(picture) - picture).square().mean() < 0.02
