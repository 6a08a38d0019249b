"""A mask that follows an object: a tiny SAM 2 of transformers' own class, against transformers' image model."""

import numpy as np
import pytest
import torch
from tiny_trackers import tiny_tracker
from torch.nn import functional
from transformers import Sam2Model

from tav.model.tracker import MEAN, STD, box_around, follow, load_tracker

FRAMES = np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
BOX = [(0.125, 0.25), (0.5, 0.75)]
SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_tracker(tmp_path_factory.mktemp("tracker"))


@pytest.fixture(scope="module")
def model(folder):
    return load_tracker(str(folder))


def test_the_first_frame_is_what_the_image_model_sees(folder, model):
    """Prompts and pictures come to the model as transformers' own processor would bring them."""
    image_model = Sam2Model.from_pretrained(folder).eval()
    pixels = torch.from_numpy(FRAMES[:1]).permute(0, 3, 1, 2).float() / 255
    pixels = functional.interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True)
    pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    corners = torch.tensor([[[[8.0, 16.0], [32.0, 48.0]]]])  # in pixels of 64
    with torch.no_grad():
        seen = image_model(
            pixel_values=pixels, input_points=corners, input_labels=torch.tensor([[[2, 3]]]), multimask_output=False
        )
    expected = functional.interpolate(seen.pred_masks[:, 0], (32, 48), mode="bilinear")[0, 0] > 0
    mask = follow(model, FRAMES, BOX)
    assert mask.shape == (4, 32, 48)
    assert 0.05 < mask[0].mean() < 0.95
    assert torch.equal(mask[0], expected.float())


def test_a_mask_to_start_from_stays_what_it_is_and_the_frames_after_it_follow(model):
    start = torch.zeros(32, 48)
    start[8:24, 12:36] = 1
    mask = follow(model, FRAMES, start)
    assert (mask[0] != start).float().mean() < 0.05  # once smaller and back
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(follow(model, FRAMES, start), mask, rtol=0, atol=0)
    other = follow(model, np.concatenate([FRAMES[:1], 255 - FRAMES[1:]]), start)
    assert torch.equal(other[0], mask[0])
    assert not torch.equal(other[1:], mask[1:])  # what is seen there counts
    assert follow(model, FRAMES, [(0.5, 0.5)]).shape == mask.shape  # a point


def test_the_box_around_a_mask():
    mask = torch.zeros(32, 48)
    mask[8:24, 12:36] = 1
    assert box_around(mask) == [(0.25, 0.25), (0.75, 0.75)]
    with pytest.raises(ValueError, match="is empty: there is nothing to follow"):
        box_around(torch.zeros(2, 2))


def test_what_is_no_tracker_is_told(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder with a tracker"):
        load_tracker("nowhere")
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ValueError, match="is no tracker: it is of the type clip; expected sam2_video") as error:
        load_tracker(str(tmp_path))
    assert "\n" not in str(error.value)
