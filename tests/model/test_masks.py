"""Masks are what one would draw by hand, and exact where they are 0 and 1."""

import numpy as np
import pytest
import torch

from tav.model.masks import blend, blend_frames, box_mask, mask_of_latents, mask_of_maps, shape_mask, smooth_over_time


def dot(height=9, width=9, at=(4, 4)):
    mask = torch.zeros(1, height, width)
    mask[0, *at] = 1
    return mask


def test_a_box():
    mask = box_mask((0.25, 0.5, 0.75, 1.0), 4, 8)
    assert mask.tolist() == [[0] * 8] * 2 + [[0, 0, 1, 1, 1, 1, 0, 0]] * 2
    assert box_mask((0, 0, 1, 1), 3, 5).all()


def test_grown_and_narrower():
    grown = shape_mask(dot(), grow=2)
    assert grown.sum() == 25
    assert grown[0, 2:7, 2:7].all()
    assert torch.equal(shape_mask(grown, grow=-2), dot())
    assert torch.equal(shape_mask(dot(), grow=-1), torch.zeros(1, 9, 9))
    assert shape_mask(torch.ones(1, 5, 5), grow=-1).all()  # what is beyond the picture's edge is not outside


def test_feathered():
    half = torch.zeros(1, 6, 12)
    half[..., 6:] = 1
    soft = shape_mask(half, feather=2)
    torch.testing.assert_close(soft[0, 3], torch.tensor([0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1]))
    assert (soft[..., :4] == 0).all()  # exactly
    assert (soft[..., 8:] == 1).all()
    for value in (0.0, 1.0):
        assert (shape_mask(torch.full((1, 7, 5), value), feather=4) == value).all()


def test_inverted_before_it_grows():
    assert torch.equal(shape_mask(dot(), invert=True), 1 - dot())
    assert shape_mask(dot(), invert=True, grow=1).all()


def test_latents_are_open_where_any_of_their_pixels_is():
    mask = mask_of_latents(dot(12, 16, at=(5, 9)), 6, 8)
    assert mask.shape == (1, 1, 6, 8)
    opened = {tuple(place) for place in mask[0, 0].nonzero().tolist()}
    assert opened == {(y, x) for y in (1, 2, 3) for x in (3, 4, 5)}  # the pixel's own is (2, 4)
    assert mask_of_latents(torch.ones(2, 12, 16), 6, 8).all()
    assert not mask_of_latents(torch.zeros(2, 12, 16), 6, 8).any()


def test_maps_of_words():
    maps = torch.zeros(2, 8, 8)
    maps[0, 2, 2], maps[0, 6, 6], maps[1, 5, 5] = 1.0, 0.2, 0.01  # each frame by its own highest
    mask = mask_of_maps(maps, 16, 16, 0.3)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask[0, 2:8, 2:8].all()
    assert not mask[0, 10:].any()
    assert mask[1, 8:14, 8:14].all()
    assert not mask_of_maps(torch.zeros(1, 8, 8), 16, 16, 0.3).any()


def test_smoothed_over_time():
    frames = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]], [[0.0, 50.0]]])  # the last was seen more often
    assert smooth_over_time(frames).flatten(1).tolist() == [[1.5, 0.5], [0.5, 1.5], [0.0, 2.0]]
    assert torch.equal(smooth_over_time(torch.zeros(3, 2, 2)), torch.zeros(3, 2, 2))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_blend_is_exact_at_both_ends(value):
    source, edited = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 1e3
    expected = edited if value else source
    assert torch.equal(blend(source, edited, torch.full((3, 1, 5, 6), value)), expected)
    a, b = np.random.default_rng(0).integers(256, size=(2, 2, 5, 6, 3), dtype=np.uint8)
    assert (blend_frames(a, b, torch.full((2, 5, 6), value)) == (b if value else a)).all()


def test_a_blend_between():
    a, b = (np.full((1, 2, 2, 3), value, np.uint8) for value in (100, 201))
    assert (blend_frames(a, b, torch.full((1, 2, 2), 0.25)) == 125).all()
