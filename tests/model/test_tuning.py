import dataclasses
import math
from importlib.util import find_spec

import pytest
import torch
from tune_tiny import SETTINGS, fresh, same, tuned, weights

from tav.model.ddim import Schedule, ddim_sample
from tav.model.denoiser import Network, prompted
from tav.model.pretrained import load_pipeline
from tav.model.tuned_weights import tuned_parameters
from tav.model.tuning import (
    TuneSettings,
    denoising_loss,
    draw,
    rate_factor,
    start_run,
    trainable_parameters,
    tune,
    update,
    window_of,
)


@torch.no_grad()
def error(unet, scheduler, moments, prompt_embeds):
    noise = torch.randn(moments.mean.shape, generator=torch.Generator().manual_seed(9))
    losses = [
        denoising_loss(unet, scheduler, moments.mean, noise, torch.tensor([timestep]), prompt_embeds)
        for timestep in (100, 400, 800)
    ]
    return sum(losses).item()


def test_learns_the_video_and_nothing_but_the_tuned_tensors(either_folder, moments, prompt_embeds):
    unet, scheduler = fresh(either_folder)
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    at_first = error(unet, scheduler, moments, prompt_embeds)
    settings = dataclasses.replace(SETTINGS, steps=25, learning_rate=3e-3)
    steps = list(tune(unet, scheduler, moments, prompt_embeds, settings))
    assert [step.step for step in steps] == list(range(1, 26))
    assert error(unet, scheduler, moments, prompt_embeds) < 0.97 * at_first
    changed = {name for name, tensor in unet.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == tuned_parameters(unet).keys()


def test_a_step_sees_a_window_of_a_longer_video(sd_folder, moments, prompt_embeds):
    """The first frames, or others in each step; no number is drawn where there is no choice."""

    def starts(**windows):
        settings = dataclasses.replace(SETTINGS, **windows)
        generator = torch.Generator().manual_seed(0)
        seen = [window_of(len(moments.mean), settings, generator) for _ in range(20)]
        untouched = torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())
        return {window.start for window in seen}, {len(window) for window in seen}, untouched

    assert starts() == ({0}, {3}, True)
    assert starts(window_frames=3, windows="all") == ({0}, {3}, True)
    assert starts(window_frames=2) == ({0}, {2}, True)
    assert starts(window_frames=2, windows="all") == ({0, 1}, {2}, False)
    settings = dataclasses.replace(SETTINGS, steps=2, window_frames=2, windows="all")
    unet, scheduler = fresh(sd_folder)
    assert all(math.isfinite(step.loss) for step in tune(unet, scheduler, moments, prompt_embeds, settings))
    assert unet.conv_norm_out.num_frames == 2


def test_same_seed_same_weights(sd_folder, moments, prompt_embeds):
    torch.manual_seed(1)
    first, steps = tuned(sd_folder, moments, prompt_embeds)
    torch.manual_seed(2)
    again, _ = tuned(sd_folder, moments, prompt_embeds)
    other, others = tuned(sd_folder, moments, prompt_embeds, dataclasses.replace(SETTINGS, seed=2))
    assert same(first, again)
    assert not same(first, other)
    assert steps[0].loss != others[0].loss


def test_checkpointing_changes_nothing_but_memory(sd_folder, moments, prompt_embeds):
    plain, _ = tuned(sd_folder, moments, prompt_embeds, steps=2)
    settings = dataclasses.replace(SETTINGS, gradient_checkpointing=True)
    checkpointed, _ = tuned(sd_folder, moments, prompt_embeds, settings, 2)
    for name, tensor in plain.items():
        torch.testing.assert_close(checkpointed[name], tensor, rtol=0, atol=1e-5)


def test_official_checkpointing_leaves_the_down_blocks(sd_folder, moments, prompt_embeds):
    before = weights(fresh(sd_folder)[0])
    after, _ = tuned(sd_folder, moments, prompt_embeds, dataclasses.replace(SETTINGS, official_checkpointing=True))
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert still == {name for name in before if name.startswith("down_blocks.")}


def test_temporal_attention_may_have_its_own_rate(sd_folder, moments, prompt_embeds):
    before = weights(fresh(sd_folder)[0])
    settings = dataclasses.replace(SETTINGS, temporal_learning_rate=1e-9, weight_decay=0.0)
    after, _ = tuned(sd_folder, moments, prompt_embeds, settings)
    for name in before:
        moved = (after[name] - before[name]).abs().max().item()
        assert (moved < 1e-7) == (".attn_temp." in name), name


def test_rates():
    def rates(schedule, **more):
        settings = TuneSettings(steps=10, lr_schedule=schedule, **more)
        return [rate_factor(step, settings) for step in range(1, 11)]

    assert rates("constant") == [1.0] * 10
    assert rates("linear", warmup_steps=2) == pytest.approx([0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    cosine = rates("cosine")
    assert cosine == pytest.approx([0.5 + 0.5 * math.cos(math.pi * step / 10) for step in range(10)])
    assert all(rate > 0 for schedule in ("constant", "linear", "cosine") for rate in rates(schedule))


def test_mixed_precision_keeps_float32_masters(sd_folder, moments, prompt_embeds):
    full, _ = tuned(sd_folder, moments, prompt_embeds, steps=2)
    mixed, steps = tuned(sd_folder, moments, prompt_embeds, dataclasses.replace(SETTINGS, precision="bf16"), 2)
    assert {tensor.dtype for tensor in mixed.values()} == {torch.float32}
    assert all(math.isfinite(step.loss) for step in steps)
    assert 0 < max((mixed[name] - full[name]).abs().max().item() for name in full) < 5e-3


def test_half_precision_base_gets_float32_masters(sd_folder, moments, prompt_embeds):
    unet, scheduler = fresh(sd_folder)
    unet.to(torch.bfloat16)
    next(tune(unet, scheduler, moments, prompt_embeds, dataclasses.replace(SETTINGS, precision="bf16")))
    dtypes = {name: parameter.dtype for name, parameter in unet.named_parameters()}
    assert {dtypes[name] for name in tuned_parameters(unet)} == {torch.float32}
    assert dtypes["conv_in.weight"] == torch.bfloat16
    denoise = prompted(Network(unet), prompt_embeds)
    latents = ddim_sample(denoise, Schedule.of(scheduler, 2), moments.mean)  # straight on
    assert latents.isfinite().all()


@pytest.mark.parametrize(("precision", "close"), [("bf16", 0.02), ("fp16", 0.004)])
def test_losses_in_half_precision_are_near_those_in_float32(either_folder, moments, prompt_embeds, precision, close):
    _, full = tuned(either_folder, moments, prompt_embeds)
    _, half = tuned(either_folder, moments, prompt_embeds, dataclasses.replace(SETTINGS, precision=precision))
    for ours, theirs in zip(half, full, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=close)
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=10 * close)


def test_fp16_scales_its_gradients_and_skips_a_step_that_overflows(sd_folder, moments, prompt_embeds):
    unet, scheduler = fresh(sd_folder)
    settings = dataclasses.replace(SETTINGS, precision="fp16")
    run = start_run(trainable_parameters(unet, settings), settings, unet.device)
    latents, noise, timestep = draw(scheduler, moments, run.generator)
    run.scaler.load_state_dict({**run.scaler.state_dict(), "scale": 1e30})  # no gradient fits into fp16
    before = weights(unet)
    norm = update(run, 1, denoising_loss(unet, scheduler, latents, noise, timestep, prompt_embeds), settings)
    assert not math.isfinite(norm)
    assert run.scaler.get_scale() == pytest.approx(5e29)
    assert same(weights(unet), before)
    run.scaler.update(1024.0)  # overflows halve the scale one at a time
    norm = update(run, 2, denoising_loss(unet, scheduler, latents, noise, timestep, prompt_embeds), settings)
    assert math.isfinite(norm)
    assert not same(weights(unet), before)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_8_bit_adamw_learns_alike_and_resumes(sd_folder, moments, prompt_embeds, tmp_path, precision):
    pytest.importorskip("bitsandbytes")
    plain = dataclasses.replace(SETTINGS, precision=precision)
    settings = dataclasses.replace(plain, adam8bit=True)
    full, _ = tuned(sd_folder, moments, prompt_embeds, plain)
    whole, steps = tuned(sd_folder, moments, prompt_embeds, settings)
    assert not same(whole, full)
    assert max((whole[name] - full[name]).abs().max().item() for name in full) < 6 * 2 * SETTINGS.learning_rate
    tuned(sd_folder, moments, prompt_embeds, settings, 5, checkpoint_dir=tmp_path)
    resumed, told = tuned(sd_folder, moments, prompt_embeds, settings, checkpoint_dir=tmp_path)
    assert [step.replayed for step in told] == [True] * 4 + [False] * 2
    assert [step.loss for step in told] == [step.loss for step in steps]
    assert same(resumed, whole)


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_8_bit_adamw_says_what_it_needs(sd_folder, moments, prompt_embeds):
    with pytest.raises(ValueError, match="bitsandbytes"):
        tuned(sd_folder, moments, prompt_embeds, dataclasses.replace(SETTINGS, adam8bit=True))


def test_nan_stops_the_run_and_is_named(sd_folder, moments, prompt_embeds):
    unet, scheduler = fresh(sd_folder)
    steps = tune(unet, scheduler, moments, prompt_embeds, SETTINGS)
    next(steps)
    next(steps)
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    with torch.no_grad():
        unet.get_parameter(name)[0, 0] = math.nan
    with pytest.raises(FloatingPointError, match=rf"step 3: .*{name}"):
        next(steps)


def test_a_tensor_that_is_not_reached_is_named(sd_folder, moments, prompt_embeds):
    unet, scheduler = fresh(sd_folder)
    block = unet.mid_block.attentions[0].transformer_blocks[0]
    block.attn2.forward = lambda hidden_states, **_: hidden_states.detach()
    with pytest.raises(ValueError, match=r"mid_block.*attn2\.to_q\.weight gets no gradient"):
        next(tune(unet, scheduler, moments, prompt_embeds, SETTINGS))


def test_a_tensor_that_never_moves_is_named(sd_folder, moments, prompt_embeds):
    unet, scheduler = fresh(sd_folder)
    attn_temp = unet.mid_block.attentions[0].transformer_blocks[0].attn_temp
    attn_temp.to_v.forward = lambda tokens: tokens * 0 + attn_temp.to_v.weight.sum() * 0
    with pytest.raises(ValueError, match=r"after 5 steps .* mid_block.*attn_temp"):
        list(tune(unet, scheduler, moments, prompt_embeds, SETTINGS))


def test_one_frame_tunes(sd_folder, moments, prompt_embeds):
    """Attention to one frame alone has no gradient in its queries and keys, and that is no error."""
    one = type(moments)(*(part[:1] for part in moments))
    _, steps = tuned(sd_folder, one, prompt_embeds)
    assert len(steps) == 6


def test_an_image_unet_is_refused(sd_folder, moments, prompt_embeds):
    pipe = load_pipeline(str(sd_folder), components=("unet", "scheduler"))
    with pytest.raises(ValueError, match="image UNet"):
        next(tune(pipe.unet, pipe.scheduler, moments, prompt_embeds, SETTINGS))


def test_other_prediction_types_are_refused(sd_folder, moments, prompt_embeds):
    unet, scheduler = fresh(sd_folder)
    scheduler.register_to_config(prediction_type="sample")
    with pytest.raises(ValueError, match="prediction_type is sample"):
        denoising_loss(unet, scheduler, moments.mean, moments.mean, torch.tensor([3]), prompt_embeds)
