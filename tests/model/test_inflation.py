import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel
from einops import rearrange, repeat
from naive_video_unet import naive_video_unet
from tiny import tiny_unet

from tav.model.denoiser import predict_noise
from tav.model.inflation import inflate, is_inflated, set_num_frames

SD1 = {"attention_head_dim": 2, "use_linear_projection": False}
SD2 = {"attention_head_dim": (2, 4), "use_linear_projection": True, "upcast_attention": True}
SDXL = {
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
    "transformer_layers_per_block": (1, 2),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 12,
}


def image_unet(seed=0, **layout) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    return tiny_unet(**{**SD1, **layout}).eval()


def trained(unet):
    """Random weights in temporal attention, whose output is zero at first."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "_temp." in name:
                parameter.normal_(std=0.3, generator=generator)
    return unet


def inputs(b, f, size=(8, 8), seed=1):
    generator = torch.Generator().manual_seed(seed)
    video = torch.randn(b, 4, f, *size, generator=generator)
    return video, torch.randint(1000, (b,), generator=generator), torch.randn(b, 7, 24, generator=generator)


@torch.no_grad()
def run(unet, video, timestep, text, condition=None):
    output = predict_noise(unet, rearrange(video, "b c f h w -> (b f) c h w"), timestep, text, condition)
    return rearrange(output, "(b f) c h w -> b c f h w", b=len(video))


@pytest.mark.parametrize("layout", [SD1, SD2, SDXL], ids=["SD1", "SD2", "SDXL"])
@pytest.mark.parametrize(("b", "f", "size"), [(1, 4, (8, 8)), (2, 3, (6, 10)), (1, 1, (8, 8)), (1, 2, (5, 7))])
def test_equals_the_naive_video_unet(layout, b, f, size):
    unet = trained(inflate(image_unet(**layout)))
    video, timestep, text = inputs(b, f, size)
    condition = {"text_embeds": torch.randn(b, 12), "time_ids": torch.full((b, 6), 64.0)} if layout is SDXL else None
    with torch.no_grad():
        expected = naive_video_unet(unet, video, timestep, text, condition)
    torch.testing.assert_close(run(unet, video, timestep, text, condition), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("layout", [SD1, SD2], ids=["SD1", "SD2"])
def test_starts_as_the_image_unet(layout):
    """One frame, or frames that are all equal: what a frame sees in the others is itself."""
    unet = image_unet(**layout)
    video, timestep, text = inputs(1, 1)
    expected = run(unet, video, timestep, text)
    inflate(unet)
    torch.testing.assert_close(run(unet, video, timestep, text), expected, rtol=0, atol=2e-6)
    still = repeat(video, "b c 1 h w -> b c f h w", f=3)
    torch.testing.assert_close(run(unet, still, timestep, text), expected.expand_as(still), rtol=0, atol=2e-6)


def test_equal_frames_stay_equal():
    unet = trained(inflate(image_unet()))
    video, timestep, text = inputs(1, 1)
    output = run(unet, repeat(video, "b c 1 h w -> b c f h w", f=4), timestep, text)
    torch.testing.assert_close(output, output[:, :, :1].expand_as(output), rtol=0, atol=2e-6)


def test_videos_of_a_batch_do_not_mix():
    unet = trained(inflate(image_unet()))
    video, timestep, text = inputs(2, 3)
    both = run(unet, video, timestep, text)
    for i in range(2):
        alone = run(unet, video[i : i + 1], timestep[i : i + 1], text[i : i + 1])
        torch.testing.assert_close(both[i : i + 1], alone, rtol=0, atol=2e-6)


def test_a_frame_sees_frame_0_and_the_frame_before():
    """Attention alone: norms over the video and temporal attention let every frame see all others."""
    attn1 = inflate(image_unet(), num_frames=4).mid_block.attentions[0].transformer_blocks[0].attn1
    frames = torch.randn(4, 6, 32)
    before = attn1(frames)
    for changed, seen_by in [(0, [0, 1, 2, 3]), (1, [1, 2]), (2, [2, 3]), (3, [3])]:
        other = frames.clone()
        other[changed] += 1
        differs = (attn1(other) - before).abs().amax((1, 2)) > 1e-6
        assert differs.nonzero().flatten().tolist() == seen_by


def test_adds_no_other_parameters_and_renames_none():
    unet = image_unet()
    names = set(unet.state_dict())
    inflate(unet)
    added = set(unet.state_dict()) - names
    assert names < set(unet.state_dict())
    assert {name.split(".")[-3 if "to_out" in name else -2] for name in added} <= {"to_q", "to_k", "to_v", "to_out"} | {
        "norm_temp",
        "attn_temp",
    }
    assert len(added) == 7 * 4  # to_q, to_k, to_v, to_out's two, norm_temp's two; four transformer blocks


def test_seed_decides_and_global_random_state_does_not():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    unets = [inflate(image_unet(), seed=seed).state_dict() for seed in (3, 3, 4)]
    name = next(name for name in unets[0] if name.endswith("attn_temp.to_q.weight"))
    assert torch.equal(unets[0][name], unets[1][name])
    assert not torch.equal(unets[0][name], unets[2][name])
    image_unet(1)
    torch.set_rng_state(state)
    unet = image_unet(0)
    state = torch.get_rng_state()
    inflate(unet)
    assert torch.equal(torch.get_rng_state(), state)


def test_keeps_dtype():
    unet = inflate(image_unet().to(torch.bfloat16))
    assert {parameter.dtype for parameter in unet.parameters()} == {torch.bfloat16}


def test_processors_change_nothing():
    """Replacing them, slicing or fusing must not take sparse-causal attention away without a word."""
    from diffusers.models.attention_processor import AttnProcessor

    video, timestep, text = inputs(1, 3)
    expected = run(trained(inflate(image_unet())), video, timestep, text)
    for change in (
        lambda unet: unet.set_attn_processor(AttnProcessor()),
        lambda unet: unet.set_attention_slice("max"),
        lambda unet: unet.fuse_qkv_projections(),
    ):
        unet = trained(inflate(image_unet()))
        change(unet)
        torch.testing.assert_close(run(unet, video, timestep, text), expected, rtol=0, atol=1e-5)


def test_refuses_other_models():
    with pytest.raises(TypeError, match="AutoencoderKL"):
        inflate(AutoencoderKL(block_out_channels=(8,), norm_num_groups=4))
    with pytest.raises(TypeError, match="UNet2DModel"):
        inflate(UNet2DModel(block_out_channels=(8, 8), down_block_types=("DownBlock2D",) * 2, norm_num_groups=4,
                            up_block_types=("UpBlock2D",) * 2))  # fmt: skip
    odd = UNet2DConditionModel(
        block_out_channels=(16, 16),
        down_block_types=("SimpleCrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "SimpleCrossAttnUpBlock2D"),
        cross_attention_dim=16,
        norm_num_groups=8,
    )
    with pytest.raises(TypeError, match="SimpleCrossAttnDownBlock2D"):
        inflate(odd)
    assert not is_inflated(odd)


def test_refuses_to_inflate_twice():
    unet = inflate(image_unet())
    with pytest.raises(ValueError, match="inflated already"):
        inflate(unet)


def test_refuses_frames_that_do_not_fit():
    unet = inflate(image_unet())
    with pytest.raises(ValueError, match="num_frames is 0"):
        set_num_frames(unet, 0)
    with pytest.raises(ValueError, match="5 latents for 2 prompts"):
        predict_noise(unet, torch.zeros(5, 4, 8, 8), torch.tensor(1), torch.zeros(2, 7, 24))
