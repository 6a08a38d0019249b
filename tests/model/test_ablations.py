"""The method without a part of it: what a frame sees, no temporal attention, no step."""

import pytest
import torch
from safetensors import safe_open

from tav.model.denoiser import predict_noise
from tav.model.inflation import (
    SELF_ATTENTION,
    inflate,
    self_attention_of,
    set_self_attention,
    set_temporal_after,
    temporal_after_of,
)
from tav.model.pretrained import BaseIdentity, load_pipeline
from tav.model.tuned_weights import load_tuned_weights, save_tuned_weights
from tav.model.tuning import TuneSettings, tune

BASE = BaseIdentity("tiny", None, "0" * 64)


def naive(query, key, value, heads, seen):
    """One frame, one head and one video at a time. seen: of each frame, those that it sees."""
    b, f, _, d = query.shape
    width = d // heads
    output = torch.zeros_like(query)
    for i in range(b):
        for frame in range(f):
            keys, values = (torch.cat([tokens[i, j] for j in seen[frame]]) for tokens in (key, value))
            for head in range(heads):
                part = slice(head * width, (head + 1) * width)
                scores = query[i, frame, :, part] @ keys[:, part].T * width**-0.5
                output[i, frame, :, part] = scores.softmax(-1) @ values[:, part]
    return output


@pytest.mark.parametrize(
    ("sees", "seen"),
    [
        ("sparse-causal", [[0, 0], [0, 0], [0, 1], [0, 2]]),
        ("frame", [[0], [1], [2], [3]]),
        ("full", [[0, 1, 2, 3]] * 4),
    ],
)
def test_what_a_frame_sees(sees, seen):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 4, 3, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    torch.testing.assert_close(SELF_ATTENTION[sees](query, key, value, 2), naive(query, key, value, 2, seen))


def test_a_frame_that_sees_itself_is_the_image_models(sd_folder, moments, prompt_embeds):
    """With group norms and temporal attention out of the way, for which one frame is enough."""
    image = load_pipeline(str(sd_folder), components=("unet",)).unet
    video = inflate(load_pipeline(str(sd_folder), components=("unet",)).unet)
    set_self_attention(video, "frame")
    latents, timestep = moments.mean[:1], torch.tensor(501)
    with torch.no_grad():
        expected = predict_noise(image, latents, timestep, *prompt_embeds)
        torch.testing.assert_close(predict_noise(video, latents, timestep, *prompt_embeds), expected)


def test_an_unknown_one_is_refused(pipe):
    with pytest.raises(ValueError, match="sees 'all'; expected one of sparse-causal, frame, full"):
        set_self_attention(pipe.unet, "all")


def test_weights_bring_along_what_they_were_tuned_with(sd_folder, moments, prompt_embeds, tmp_path):
    pipe = load_pipeline(str(sd_folder), components=("unet", "scheduler"))
    inflate(pipe.unet)
    settings = TuneSettings(steps=1, self_attention="full")
    steps = list(tune(pipe.unet, pipe.scheduler, moments, prompt_embeds, settings))
    assert len(steps) == 1
    save_tuned_weights(pipe.unet, tmp_path / "full.safetensors", base=BASE)
    fresh = inflate(load_pipeline(str(sd_folder), components=("unet",)).unet)
    load_tuned_weights(fresh, tmp_path / "full.safetensors", base=BASE)
    assert self_attention_of(fresh) == "full"
    save_tuned_weights(inflate(load_pipeline(str(sd_folder)).unet), tmp_path / "default.safetensors", base=BASE)
    with safe_open(tmp_path / "default.safetensors", "pt") as file:
        assert "self_attention" not in file.metadata()  # the method's own is not named: files are as they were
    load_tuned_weights(fresh, tmp_path / "default.safetensors", base=BASE)
    assert self_attention_of(fresh) == "sparse-causal"


@pytest.mark.parametrize("part", ["self-attention", "cross-attention"])
def test_temporal_attention_elsewhere(part, pipe, moments, prompt_embeds, tmp_path):
    """Against the parts of each block, one by one; with its output still zero, it is the default bit for bit."""
    unet, latents, timestep = pipe.unet, moments.mean, torch.tensor(501)
    with torch.no_grad():
        default = predict_noise(unet, latents, timestep, *prompt_embeds)
        set_temporal_after(unet, part)
        assert torch.equal(predict_noise(unet, latents, timestep, *prompt_embeds), default)
        block = unet.mid_block.attentions[0].transformer_blocks[0]
        for parameter in block.attn_temp.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
        states = torch.randn(3, 6, block.norm1.normalized_shape[0], generator=torch.Generator().manual_seed(1))
        text = prompt_embeds.embeds.expand(3, -1, -1)
        order = ["self-attention", "cross-attention"]
        order.insert(order.index(part) + 1, "temporal")
        parts = {
            "self-attention": lambda x: block.attn1(block.norm1(x)),
            "cross-attention": lambda x: block.attn2(block.norm2(x), encoder_hidden_states=text),
            "temporal": lambda x: block.attn_temp(block.norm_temp(x)),
            "feed-forward": lambda x: block.ff(block.norm3(x)),
        }
        expected = states
        for name in [*order, "feed-forward"]:
            expected = expected + parts[name](expected)
        torch.testing.assert_close(block(states, encoder_hidden_states=text), expected)
        assert not torch.allclose(predict_noise(unet, latents, timestep, *prompt_embeds), default, atol=1e-3)
    save_tuned_weights(unet, tmp_path / "moved.safetensors", base=BASE)
    set_temporal_after(unet, "feed-forward")
    load_tuned_weights(unet, tmp_path / "moved.safetensors", base=BASE)
    assert temporal_after_of(unet) == part


def test_temporal_attention_nowhere_is_refused(pipe):
    with pytest.raises(ValueError, match="after 'norm'; expected one of feed-forward, cross-attention, self-attention"):
        set_temporal_after(pipe.unet, "norm")


def test_without_temporal_attention_it_stays_zero_and_the_queries_are_tuned(pipe, moments, prompt_embeds):
    before = {name: tensor.clone() for name, tensor in pipe.unet.named_parameters()}
    settings = TuneSettings(steps=6, learning_rate=1e-3, temporal=False)
    assert len(list(tune(pipe.unet, pipe.scheduler, moments, prompt_embeds, settings))) == 6
    changed = {name for name, tensor in pipe.unet.named_parameters() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.endswith(("attn1.to_q.weight", "attn2.to_q.weight")) for name in changed)


def test_no_steps_change_nothing(pipe, moments, prompt_embeds):
    before = {name: tensor.clone() for name, tensor in pipe.unet.named_parameters()}
    assert list(tune(pipe.unet, pipe.scheduler, moments, prompt_embeds, TuneSettings(steps=0))) == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in pipe.unet.named_parameters())
