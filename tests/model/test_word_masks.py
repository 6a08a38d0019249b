"""Maps of words against the network written out, with every map materialised."""

from dataclasses import replace

import naive_video_unet
import pytest
import torch

from tav.model.alignment import chosen
from tav.model.cross_attention import WordMaps
from tav.model.ddim import Schedule, Trajectory
from tav.model.denoiser import Network
from tav.model.prompts import encode_prompts
from tav.model.word_masks import maps_of_words, spread

CAPTION = "a red cat on the beach"


def naive_maps(unet, inverted, schedule, embeds, tokens, monkeypatch):
    """Of the finest layers: what is looked at, summed over tokens, layers and steps, and the mean over heads."""
    layers = [module.attn2 for module in unet.modules() if hasattr(module, "attn2")]
    num_frames, places = inverted.latents.shape[1], inverted.latents.shape[-1] * inverted.latents.shape[-2]
    found, plain = [], naive_video_unet.attend

    def attend(attn, x, context):
        if attn in layers and x.shape[1] == places:
            query, key = (part.unflatten(2, (attn.heads, -1)) for part in (attn.to_q(x), attn.to_k(context)))
            scores = torch.einsum("bnhd,bmhd->bhnm", query, key) * query.shape[-1] ** -0.5
            found.append(scores.softmax(-1)[0, :, :, tokens].sum(-1).mean(0))
        return plain(attn, x, context)

    monkeypatch.setattr(naive_video_unet, "attend", attend)
    for index in range(len(schedule)):
        video = inverted.at(len(schedule) - index).transpose(0, 1)[None]
        naive_video_unet.naive_video_unet(unet, video, schedule.timesteps[index].expand(1), embeds)
    return torch.stack(found).unflatten(0, (-1, num_frames)).sum(0)


def first_two(denoise):
    """A window of its own, which leaves the third frame out."""
    return lambda latents, step: denoise(latents[:2], replace(step, frames=torch.tensor([0, 1])))


@torch.no_grad()
def test_equal_the_naive_ones(pipe, moments, monkeypatch):
    schedule = Schedule.of(pipe.scheduler, 2)
    latents = torch.randn(3, *moments.mean.shape, generator=torch.Generator().manual_seed(0))
    (prompts,), marks = encode_prompts(pipe, [CAPTION]), chosen(pipe.tokenizer, [CAPTION], ["red cat"])
    inverted = Trajectory(latents)
    maps = maps_of_words(pipe.unet, Network(pipe.unet), schedule, inverted, prompts, marks)
    expected = naive_maps(pipe.unet, inverted, schedule, prompts.embeds, [2, 3], monkeypatch)
    assert maps.shape == (moments.mean.shape[0], *moments.mean.shape[-2:])
    torch.testing.assert_close(maps.flatten(1), expected, rtol=0, atol=1e-5)
    part = Trajectory(latents[:, :2])  # as much as a window sees
    first = maps_of_words(pipe.unet, Network(pipe.unet), schedule, part, prompts, marks)
    windows = maps_of_words(pipe.unet, Network(pipe.unet), schedule, inverted, prompts, marks, around=first_two)
    torch.testing.assert_close(windows[:2], first, rtol=0, atol=1e-5)
    assert (windows[2] == 0).all()


def test_some_steps_stand_for_all():
    assert list(spread(50, 10)) == [2, 7, 12, 17, 22, 27, 32, 37, 42, 47]
    assert list(spread(2, 10)) == [0, 1]


def maps_of(places):
    return torch.full((1, 2, 4, places, 77), 1 / 77)


def test_which_layers_tell():
    """The finest of 24 x 24 places at most, or else the coarsest; a side that is odd is halved upwards."""
    seen = WordMaps(torch.ones(1, 77), 2)
    for places in (64 * 36, 32 * 18, 16 * 9, 8 * 5):
        seen.add(maps_of(places))
    assert seen.read(64, 36).shape == (1, 2, 32, 18)
    torch.testing.assert_close(seen.read(64, 36), torch.ones(1, 2, 32, 18))
    large = WordMaps(torch.ones(1, 77), 2)
    large.add(maps_of(32 * 32))
    assert large.read(128, 128).shape == (1, 2, 32, 32)
    with pytest.raises(ValueError, match="no layer of the network has 1024 places or fewer"):
        WordMaps(torch.ones(1, 77), 2).read(64, 64)
