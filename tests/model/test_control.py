"""ControlNets and T2I-Adapters in our loop, against diffusers' own image pipelines, and against each other."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLAdapterPipeline,
    StableDiffusionXLControlNetPipeline,
    T2IAdapter,
)
from tiny import tiny_stable_diffusion
from tiny_bases import tiny_sdxl, tiny_stable_diffusion_2
from tiny_controls import tiny_adapter, tiny_controlnet

from tav.model.control import Control, Controls, pixel_maps
from tav.model.control_files import load_control
from tav.model.ddim import Schedule, ddim_sample
from tav.model.denoiser import DiffusionStep, Network, guided
from tav.model.inflation import inflate
from tav.model.latents import decode_pixels
from tav.model.pretrained import load_pipeline
from tav.model.prompts import encode_prompts

STEPS, SCALE = 3, 5.0
HEIGHT, WIDTH = 32, 40
PIXELS = np.random.default_rng(0).integers(0, 256, (4, HEIGHT, WIDTH, 3), dtype=np.uint8)
PROMPT, NEGATIVE = "a cat running", "a dog"


@pytest.fixture(scope="module", params=["sd1", "sd2", "xl"])
def base(request, tmp_path_factory):
    """A base of each kind, with a ControlNet and a T2I-Adapter for it."""
    folder = tmp_path_factory.mktemp(request.param)
    make = {"sd1": tiny_stable_diffusion, "sd2": tiny_stable_diffusion_2, "xl": tiny_sdxl}[request.param]
    made = SimpleNamespace(kind=request.param, folder=make(folder / "base"))
    made.net = tiny_controlnet(folder / "net", made.folder)
    made.second = tiny_controlnet(folder / "second", made.folder, seed=1)
    if made.kind == "xl":  # its first level has no attention, and takes features after it was halved
        T2IAdapter(3, [16, 32], 1, 8, "full_adapter_xl").save_pretrained(folder / "adapter")
        made.adapter = folder / "adapter"
    else:
        made.adapter = tiny_adapter(folder / "adapter")
    return made


def opened(base, inflated=True):
    pipe = load_pipeline(str(base.folder))
    if inflated:
        inflate(pipe.unet)
    return pipe


def control(pipe, folder, frames, **settings):
    model = load_control(str(folder), pipe.unet, factor=4)
    return Control(model, pixel_maps(PIXELS[:frames]), **settings)


def noise(frames):
    return torch.randn(frames, 4, HEIGHT // 4, WIDTH // 4, generator=torch.Generator().manual_seed(0))


def ours(pipe, controls, frames=1, **settings):
    """Pixels in [0, 1]."""
    negative, target = encode_prompts(pipe, [NEGATIVE, PROMPT], (HEIGHT, WIDTH))
    attachments = [Controls(controls, pipe.unet, (HEIGHT // 4, WIDTH // 4))] if controls is not None else []
    denoise = guided(Network(pipe.unet, attachments), target, negative, SCALE, **settings)
    latents = ddim_sample(denoise, Schedule.of(pipe.scheduler, STEPS), noise(frames))
    return decode_pixels(pipe.vae, latents)


def stock(pipeline_class, pipe, model, maps, frames=1, **settings):
    """The same by diffusers' own pipeline. maps: f 3 h w, or a list of them."""
    absent = ("safety_checker", "feature_extractor", "image_encoder")
    parts = {name: part for name, part in pipe.components.items() if name not in absent}
    name = "adapter" if "Adapter" in pipeline_class.__name__ else "controlnet"
    if "XL" not in pipeline_class.__name__:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    made = pipeline_class(**parts, **{name: model})
    made.set_progress_bar_config(disable=True)
    result = made(
        prompt=[PROMPT] * frames,
        negative_prompt=[NEGATIVE] * frames,
        image=maps,
        latents=noise(frames),
        height=HEIGHT,
        width=WIDTH,
        num_inference_steps=STEPS,
        guidance_scale=SCALE,
        output_type="latent",
        **settings,
    )
    return decode_pixels(pipe.vae, result.images)


def assert_same_picture(ours, theirs):
    assert ours.std() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1 / 255)


CONTROLNET = {"xl": StableDiffusionXLControlNetPipeline}
ADAPTER = {"xl": StableDiffusionXLAdapterPipeline}


def test_a_controlnet_is_diffusers_own(base):
    pipe = opened(base, inflated=False)
    settings = {"scale": 0.7, "end": 0.7}  # off in the last of three steps
    one = control(pipe, base.net, 1, **settings)
    theirs = stock(
        CONTROLNET.get(base.kind, StableDiffusionControlNetPipeline), pipe, one.model, one.maps,
        controlnet_conditioning_scale=0.7, control_guidance_end=0.7,
    )  # fmt: skip
    mine = ours(pipe, [one])
    assert_same_picture(mine, theirs)
    assert (mine - ours(pipe, None)).abs().max() > 10 / 255
    assert_same_picture(ours(inflated_of(pipe), [one]), theirs)  # a video of one frame is a picture


def inflated_of(pipe):
    inflate(pipe.unet)
    return pipe


def test_two_controlnets_are_diffusers_own(base):
    pipe = opened(base, inflated=False)
    first, second = control(pipe, base.net, 1), control(pipe, base.second, 1, scale=0.5)
    theirs = stock(
        CONTROLNET.get(base.kind, StableDiffusionControlNetPipeline), pipe, [first.model, second.model],
        [first.maps, second.maps], controlnet_conditioning_scale=[1.0, 0.5],
    )  # fmt: skip
    assert_same_picture(ours(pipe, [first, second]), theirs)


def test_an_adapter_is_diffusers_own(base):
    pipe = opened(base, inflated=False)
    one = control(pipe, base.adapter, 1, scale=0.8)
    settings = {"adapter_conditioning_scale": 0.8}
    if base.kind == "xl":
        settings["adapter_conditioning_factor"] = 0.7
        one = control(pipe, base.adapter, 1, scale=0.8, end=0.7)
    theirs = stock(ADAPTER.get(base.kind, StableDiffusionAdapterPipeline), pipe, one.model, one.maps, **settings)
    mine = ours(pipe, [one])
    assert_same_picture(mine, theirs)
    assert (mine - ours(pipe, None)).abs().max() > 10 / 255


def test_both_at_once_give_the_unet_what_each_gives(base):
    """No pipeline of diffusers has both: the UNet is called by hand."""
    pipe = opened(base)
    net, adapter = control(pipe, base.net, 2), control(pipe, base.adapter, 2, scale=0.5)
    step = DiffusionStep(torch.tensor(500), 0, 4)
    (target,) = encode_prompts(pipe, [PROMPT], (HEIGHT, WIDTH))
    size = (HEIGHT // 4, WIDTH // 4)
    with torch.no_grad():
        got = Network(pipe.unet, [Controls([net, adapter], pipe.unet, size)])(noise(2), step, target)
        twice = Network(pipe.unet, [Controls([net], pipe.unet, size), Controls([adapter], pipe.unet, size)])
        context = target.embeds.repeat(2, 1, 1)
        added = {name: value.repeat(2, 1) for name, value in target.condition.items()} or None
        call = (noise(2), torch.tensor([500, 500]), context)
        down, mid = net.model(*call, net.maps, added_cond_kwargs=added, return_dict=False)
        naive = pipe.unet(
            *call,
            added_cond_kwargs=added,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            down_intrablock_additional_residuals=[0.5 * feature for feature in adapter.model(adapter.maps)],
        ).sample
        torch.testing.assert_close(got, naive, rtol=0, atol=1e-5)
        assert torch.equal(twice(noise(2), step, target), got)


def test_a_video_follows_each_frames_own_map(base):
    """diffusers' pipelines take the folded UNet too, where prompts and maps are lists as long as the video."""
    if base.kind == "xl":
        pytest.skip("one of the three is enough")
    pipe, frames = opened(base), 3
    classes = (StableDiffusionControlNetPipeline, StableDiffusionAdapterPipeline)
    for folder, pipeline_class in zip((base.net, base.adapter), classes, strict=True):
        one = control(pipe, folder, frames)
        mine = ours(pipe, [one], frames)
        assert_same_picture(mine, stock(pipeline_class, pipe, one.model, one.maps, frames))
        torch.testing.assert_close(ours(pipe, [one], frames, split=True), mine, rtol=0, atol=1e-4)
        turned = Control(one.model, one.maps.flip(0))
        assert (ours(pipe, [turned], frames) - mine).abs().max() > 2 / 255


@pytest.fixture(scope="module")
def sd1(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd1")
    made = SimpleNamespace(folder=tiny_stable_diffusion(folder / "base"))
    made.net, made.adapter = tiny_controlnet(folder / "net", made.folder), tiny_adapter(folder / "adapter")
    return made


def test_what_is_off_changes_no_bit(sd1):
    pipe = opened(sd1)
    without = ours(pipe, None, 2)
    assert torch.equal(ours(pipe, [], 2), without)
    for folder in (sd1.net, sd1.adapter):
        assert torch.equal(ours(pipe, [control(pipe, folder, 2, scale=0.0)], 2), without)
        assert not torch.equal(ours(pipe, [control(pipe, folder, 2, end=0.4)], 2), without)


def test_steps_are_counted_as_diffusers_counts_them():
    def on(start, end, count):
        steps = (DiffusionStep(torch.tensor(0), index, count) for index in range(count))
        one = Control(None, None, start=start, end=end)
        return [one.is_on(step) for step in steps]

    assert on(0.0, 1.0, 3) == [True, True, True]
    assert on(0.0, 0.5, 4) == [True, True, False, False]
    assert on(0.25, 0.75, 4) == [False, True, True, False]
    assert on(0.4, 0.7, 3) == [False, False, False]  # no whole step is within


def test_a_window_of_the_video_follows_its_own_maps(sd1):
    pipe = opened(sd1)
    (target,) = encode_prompts(pipe, [PROMPT])
    for folder in (sd1.net, sd1.adapter):
        controls = Controls([control(pipe, folder, 4)], pipe.unet, (HEIGHT // 4, WIDTH // 4))
        part = Controls([Control(controls_model(controls), pixel_maps(PIXELS[[0, 2]]))], pipe.unet, (8, 10))
        window = DiffusionStep(torch.tensor(500), 0, 4, frames=torch.tensor([0, 2]))
        whole = DiffusionStep(torch.tensor(500), 0, 4)
        with torch.no_grad():
            seen = Network(pipe.unet, [controls])(noise(2), window, target)
            assert torch.equal(seen, Network(pipe.unet, [part])(noise(2), whole, target))


def controls_model(controls):
    return (controls.nets or [control for control, _ in controls.adapters])[0].model


def test_half_precision_and_checkpointing(sd1):
    """The network runs as the UNet does, and a tuned UNet gets its gradients."""
    pipe = opened(sd1)
    half = load_control(str(sd1.net), pipe.unet, factor=4, dtype=torch.bfloat16)
    pipe.unet.to(torch.bfloat16)
    one = Control(half, pixel_maps(PIXELS[:2]))
    assert ours(pipe, [one], 2).isfinite().all()
    pipe = opened(sd1)
    step, (target,) = DiffusionStep(torch.tensor(500), 0, 4), encode_prompts(pipe, [PROMPT])
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            pipe.unet.enable_gradient_checkpointing()
        pipe.unet.train()
        for folder in (sd1.net, sd1.adapter):
            controls = Controls([control(pipe, folder, 2)], pipe.unet, (8, 10))
            query = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight
            query.grad = None
            Network(pipe.unet, [controls])(noise(2), step, target).square().mean().backward()
            gradients.append(query.grad)
    torch.testing.assert_close(gradients[2:], gradients[:2], rtol=1e-3, atol=1e-6)


def test_a_grey_adapter_takes_maps_of_three_channels(sd1, tmp_path):
    pipe = opened(sd1)
    folder = tiny_adapter(tmp_path / "grey", in_channels=1)
    assert ours(pipe, [control(pipe, folder, 1)]).isfinite().all()


def test_what_does_not_fit_is_told(sd1, tmp_path):
    unet = opened(sd1).unet
    wider = tiny_stable_diffusion(tmp_path / "wider", channels=(16, 64))
    other = tiny_stable_diffusion(tmp_path / "other", text_width=48)
    size = (HEIGHT // 4, WIDTH // 4)
    said = r"wide-net is for another base: its block_out_channels is \[16, 64\], this base's \[16, 32\]"
    with pytest.raises(ValueError, match=said):
        load_control(str(tiny_controlnet(tmp_path / "wide-net", wider)), unet, factor=4)
    said = "is for a base with prompts 48 wide, the base is a base with prompts 32 wide: take one"
    with pytest.raises(ValueError, match=said):
        load_control(str(tiny_controlnet(tmp_path / "other-net", other)), unet, factor=4)
    with pytest.raises(ValueError, match="makes maps 8 times smaller, this base's VAE makes frames 4 times so"):
        load_control(str(tiny_controlnet(tmp_path / "eight", sd1.folder, factor=8)), unet, factor=4)
    adapter = load_control(str(tiny_adapter(tmp_path / "a", channels=(16, 64))), unet, factor=4)
    with pytest.raises(ValueError, match=r"features of 16x8x10, 64x4x5, this base takes 16x8x10, 32x4x5: take one"):
        Controls([Control(adapter, pixel_maps(PIXELS))], unet, size)
    for folder, said in (
        (sd1.folder, "is no ControlNet and no T2I-Adapter"),
        (sd1.folder / "unet", "unet is a UNet2DConditionModel; expected a ControlNetModel or a T2IAdapter"),
    ):
        with pytest.raises(ValueError, match=said):
            load_control(str(folder), unet, factor=4)
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder with a ControlNet or a T2I-Adapter"):
        load_control("nowhere", unet, factor=4)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text('{"_class_name": "ControlNetModel"}')
    with pytest.raises(ValueError, match="empty can't be loaded"):
        load_control(str(tmp_path / "empty"), unet, factor=4)
