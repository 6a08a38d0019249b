import sys

import pytest
import torch
from einops import rearrange
from torch.nn import functional

from tav.model.inflation import SparseCausalAttention, TemporalAttention, set_num_frames
from tav.model.options.token_merging import MergingAttention, merge_tokens
from tav.model.tuned_weights import tuned_parameters

tomesd = pytest.importorskip("tomesd")


@pytest.fixture
def unet(pipe):
    """Temporal attention adds something, as after tuning."""
    for module in pipe.unet.modules():
        if isinstance(module, TemporalAttention):
            torch.nn.init.eye_(module.to_out[0].weight)
    return pipe.unet


def smooth(num_frames=3, height=16, width=12):
    """Latents without detail."""
    generator = torch.Generator().manual_seed(0)
    small = torch.randn(num_frames, 4, height // 4, width // 4, generator=generator)
    return functional.interpolate(small, (height, width), mode="bilinear")


def run(unet, latents, videos=1):
    set_num_frames(unet, len(latents) // videos)
    text = torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(1)).expand(len(latents), -1, -1)
    return unet(latents, 501, text).sample


def merging(unet, frames, size, ratio=0.5):
    """The finest level's first attention with and without merging: outputs, (b f) n d, for 3 frames a video."""
    set_num_frames(unet, 3)
    merge_tokens(unet, ratio)
    attn1 = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    attn1.size = size
    return attn1(frames), SparseCausalAttention.forward(attn1, frames)


def test_merges_at_the_finest_level_only(unet):
    merge_tokens(unet, 0.5)
    names = {name for name, module in unet.named_modules() if isinstance(module, MergingAttention)}
    assert {name.split(".attentions")[0] for name in names} == {"down_blocks.0", "up_blocks.1"}
    assert len(names) == 3  # one layer down, two up


@torch.no_grad()
def test_fewer_tokens_are_attended_to(unet):
    merge_tokens(unet, 0.5)
    seen = []

    def watch(_, inputs, __):
        seen.append(inputs[0].shape[1])

    for module in unet.modules():
        if isinstance(module, SparseCausalAttention):
            module.to_q.register_forward_hook(watch)
    run(unet, smooth())
    assert seen == [96, 48, 48, 48, 48, 96, 96]  # of 192 and of 48 tokens


@torch.no_grad()
def test_merging_equal_tokens_loses_nothing(unet):
    """Where a frame is of 4x4 squares, half of the tokens are copies that another stands for."""
    tokens = rearrange(torch.randn(3, 16, 4, 3), "f d h w -> f (h w) d")
    frames = rearrange(tokens, "f (h w) d -> f d h w", h=4).repeat_interleave(4, -1).repeat_interleave(4, -2)
    merged, whole = merging(unet, rearrange(frames, "f d h w -> f (h w) d"), (16, 12), ratio=0.75)
    torch.testing.assert_close(merged, whole, rtol=0, atol=1e-5)


@torch.no_grad()
def test_output_is_near_on_smooth_input(unet):
    expected, off = run(unet, smooth()), []
    for ratio in (0.25, 0.5, 0.75):
        merge_tokens(unet, ratio)
        off.append(((run(unet, smooth()) - expected).std() / expected.std()).item())
    assert 0 < off[0] < off[1] < off[2]
    assert off[1] < 0.05


@torch.no_grad()
def test_the_same_tokens_are_merged_in_all_frames(unet):
    """Tokens that are merged have one output, and no others."""
    merged, _ = merging(unet, torch.randn(6, 30, 16), (5, 6))  # two videos, and a side that 2 does not divide
    for video in merged.split(3):
        alike = [[torch.equal(a, b) for a in frame for b in frame] for frame in video]
        assert alike[0] == alike[1] == alike[2]
        assert sum(alike[0]) > 30


@torch.no_grad()
def test_is_deterministic_without_global_random_state(unet):
    merge_tokens(unet, 0.5)
    latents = torch.randn(3, 4, 16, 12)
    state = torch.get_rng_state()
    first = run(unet, latents)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(8)
    assert torch.equal(run(unet, latents), first)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_trains_every_tuned_tensor(unet, checkpointing):
    if checkpointing:
        unet.train().enable_gradient_checkpointing()
    merge_tokens(unet, 0.5)
    unet.requires_grad_(False)
    parameters = tuned_parameters(unet)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    run(unet, torch.randn(3, 4, 16, 12)).square().mean().backward()
    assert [name for name, parameter in parameters.items() if not parameter.grad.any()] == []


@torch.no_grad()
def test_temporal_attention_is_still_there(unet):
    merge_tokens(unet, 0.5)
    with_it = run(unet, smooth())
    for module in unet.modules():
        if isinstance(module, TemporalAttention):
            torch.nn.init.zeros_(module.to_out[0].weight)
    assert (run(unet, smooth()) - with_it).abs().max() > 0.01


@torch.no_grad()
def test_videos_of_a_batch_do_not_mix(unet):
    merge_tokens(unet, 0.5)
    latents = torch.randn(6, 4, 16, 12)
    alone = torch.cat([run(unet, video) for video in latents.split(3)])
    torch.testing.assert_close(run(unet, latents, videos=2), alone, rtol=0, atol=1e-5)


@torch.no_grad()
def test_ratio_0_changes_nothing_and_takes_merging_back(unet):
    latents = torch.randn(3, 4, 16, 12)
    expected = run(unet, latents)
    for ratio in (0, 0.5, 0):
        merge_tokens(unet, ratio)
        assert torch.equal(run(unet, latents), expected) is (ratio == 0)


@pytest.mark.parametrize("ratio", [-0.1, 0.8, float("nan")])
def test_refuses_other_ratios(unet, ratio):
    with pytest.raises(ValueError, match=r"expected 0 to 0\.75"):
        merge_tokens(unet, ratio)


def test_says_what_to_install(unet, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tomesd"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    sys.path_importer_cache.clear()
    with pytest.raises(ValueError, match=r"pip install -e '.\[tomesd\]'"):
        merge_tokens(unet, 0.5)
    merge_tokens(unet, 0)
