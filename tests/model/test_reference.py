"""A reference picture by an IP-Adapter, against diffusers' own image pipelines."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import tiny_stable_diffusion
from tiny_bases import tiny_sdxl
from tiny_controls import tiny_ip_adapter

from tav.from_params.sampling import Words, sample_edit
from tav.model.cross_attention import cross_attention_through
from tav.model.ddim import Schedule, Trajectory, ddim_sample
from tav.model.denoiser import DiffusionStep, Network, guided, prompted
from tav.model.inflation import inflate
from tav.model.latents import decode_pixels
from tav.model.pretrained import load_pipeline
from tav.model.prompts import encode_prompts, join
from tav.model.reference import load_reference
from tav.model.reference_files import ReferenceFiles
from tav.params import Edit

STEPS, SCALE = 2, 5.0
HEIGHT, WIDTH = 32, 40
PICTURE = np.random.default_rng(0).integers(0, 256, (30, 44, 3), dtype=np.uint8)
PROMPT, NEGATIVE = "a cat running", "a dog"
FILE = "models/ip-adapter_sd15.safetensors"


@pytest.fixture(scope="module", params=["sd1", "plus", "xl"])
def base(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    made = (tiny_sdxl if request.param == "xl" else tiny_stable_diffusion)(folder / "base")
    return SimpleNamespace(folder=made, adapter=tiny_ip_adapter(folder / "ip", made, plus=request.param == "plus"))


@pytest.fixture(scope="module")
def sd1(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd1")
    made = tiny_stable_diffusion(folder / "base")
    base = SimpleNamespace(folder=made, adapter=tiny_ip_adapter(folder / "ip", made))
    base.pipe = opened(base)  # one for all tests: each leaves it as it was
    return base


def files(folder, file=FILE, encoder="models/image_encoder"):
    return ReferenceFiles(str(folder), file, encoder)


def opened(base, inflated=True):
    pipe = load_pipeline(str(base.folder))
    if inflated:
        inflate(pipe.unet)
    return pipe


def noise(frames):
    return torch.randn(frames, 4, HEIGHT // 4, WIDTH // 4, generator=torch.Generator().manual_seed(0))


def ours(pipe, reference, frames=1, *, scale=SCALE, **settings):
    """Pixels in [0, 1]."""
    negative, target = encode_prompts(pipe, [NEGATIVE, PROMPT], (HEIGHT, WIDTH))
    schedule = Schedule.of(pipe.scheduler, STEPS)
    if reference is None:
        denoise = guided(Network(pipe.unet), target, negative, scale, **settings)
        return decode_pixels(pipe.vae, ddim_sample(denoise, schedule, noise(frames)))
    with reference.on(pipe.unet):
        negative, target = reference.not_shown(negative), reference.shown(target)
        denoise = guided(Network(pipe.unet), target, negative, scale, **settings)
        return decode_pixels(pipe.vae, ddim_sample(denoise, schedule, noise(frames)))


def stock(pipe, folder, scale):
    """By diffusers' own image pipeline."""
    pipe.load_ip_adapter(str(folder), "models", FILE.split("/")[1], local_files_only=True)
    pipe.set_ip_adapter_scale(scale)
    result = pipe(
        PROMPT, negative_prompt=NEGATIVE, ip_adapter_image=Image.fromarray(PICTURE), latents=noise(1), height=HEIGHT,
        width=WIDTH, num_inference_steps=STEPS, guidance_scale=SCALE, output_type="latent",
    )  # fmt: skip
    return decode_pixels(pipe.vae, result.images)


def assert_same_picture(ours, theirs):
    assert ours.std() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1 / 255)


def test_one_frame_is_diffusers_own(base):
    theirs = stock(opened(base, inflated=False), base.adapter, 0.7)
    pipe = opened(base)  # a video of one frame is a picture
    mine = ours(pipe, load_reference(pipe, files(base.adapter), PICTURE, scale=0.7))
    assert_same_picture(mine, theirs)
    assert (mine - ours(pipe, None)).abs().max() > 10 / 255


def test_it_goes_with_every_way_of_guidance_and_all_frames_see_it(sd1):
    pipe = sd1.pipe
    reference = load_reference(pipe, files(sd1.adapter), PICTURE)
    both = ours(pipe, reference, 3)
    torch.testing.assert_close(ours(pipe, reference, 3, split=True), both, rtol=0, atol=1e-4)
    for scale in (1.0, SCALE):  # without guidance there is one half
        changed = (ours(pipe, reference, 3, scale=scale) - ours(pipe, None, 3, scale=scale)).abs()
        assert (changed.flatten(1).mean(1) > 2 / 255).all()


def test_off_changes_no_bit_and_nothing_stays(sd1):
    pipe = sd1.pipe
    before, without = dict(pipe.unet.attn_processors), ours(pipe, None, 2)
    weights = {name: tensor.clone() for name, tensor in pipe.unet.state_dict().items()}
    assert torch.equal(ours(pipe, load_reference(pipe, files(sd1.adapter), PICTURE, scale=0.0), 2), without)
    with pytest.raises(RuntimeError), load_reference(pipe, files(sd1.adapter), PICTURE).on(pipe.unet):
        raise RuntimeError
    assert pipe.unet.attn_processors == before
    assert pipe.image_encoder is None
    assert pipe.unet.state_dict().keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in pipe.unet.state_dict().items())
    assert torch.equal(ours(pipe, None, 2), without)


def test_half_precision_and_checkpointing(sd1):
    """The picture's keys run as the UNet does, and a tuned UNet gets its gradients."""
    pipe = opened(sd1)
    step, (target,) = DiffusionStep(torch.tensor(500), 0, 4), encode_prompts(pipe, [PROMPT])
    reference = load_reference(pipe, files(sd1.adapter), PICTURE)
    query, gradients = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_q.weight, []
    pipe.unet.train()
    with reference.on(pipe.unet):
        for checkpointing in (False, True):
            if checkpointing:
                pipe.unet.enable_gradient_checkpointing()
            query.grad = None
            prompted(Network(pipe.unet), reference.shown(target))(noise(2), step).square().mean().backward()
            gradients.append(query.grad)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)
    half = opened(sd1)
    half.unet.to(torch.bfloat16)
    assert ours(half, load_reference(half, files(sd1.adapter), PICTURE), 2).isfinite().all()


@pytest.mark.parametrize(
    "settings",
    [
        {"window": {"frames": 2, "overlap": 1}},
        {"attention": {"cross_replace": 0.5, "self_replace": 0.5, "blend": ["cat"]}},
        {"method": "plug-and-play"},
    ],
)
def test_it_goes_with_windows_and_with_the_source_beside(sd1, settings):
    pipe = sd1.pipe
    frames = 4
    caption, target, negative = encode_prompts(pipe, ["a cat", PROMPT, ""])
    path = noise(frames * (STEPS + 1)).unflatten(0, (STEPS + 1, frames))
    said = None if "window" in settings else Words("a cat", PROMPT, caption)

    def edited(scale):
        reference = None if scale is None else load_reference(pipe, files(sd1.adapter), PICTURE, scale=scale)
        asked = Edit(guidance_scale=3.0, **settings)
        return sample_edit(pipe, asked, Trajectory(path), target, negative, words=said, reference=reference)

    without = edited(None)
    assert torch.equal(edited(0.0), without)  # and so the network is as before
    assert ((edited(1.0) - without).abs().flatten(1).mean(1) > 1e-3).all()


def test_maps_that_are_built_count_the_picture_as_the_stock_processor_does(sd1):
    pipe = sd1.pipe
    reference = load_reference(pipe, files(sd1.adapter), PICTURE, scale=0.6)
    step, prompts = DiffusionStep(torch.tensor(500), 0, 4), encode_prompts(pipe, [PROMPT, NEGATIVE])
    network, latents = Network(pipe.unet), noise(4)
    user = SimpleNamespace(rows=lambda: (2, [1]), use=lambda maps: maps)
    both = join([reference.not_shown(prompts[1]), reference.shown(prompts[0])])
    with torch.no_grad(), reference.on(pipe.unet):
        stock = network(latents, step, both)
        with cross_attention_through(user, pipe.unet):
            built = network(latents, step, both)
    torch.testing.assert_close(built, stock, rtol=0, atol=1e-4)


def test_what_does_not_fit_is_told(sd1, tmp_path):
    pipe = sd1.pipe

    def load(folder, **where):
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            load_reference(pipe, files(folder, **where), PICTURE)
        assert "\n" not in str(error.value)
        assert pipe.image_encoder is None
        return str(error.value)

    state = load_file(sd1.adapter / FILE)

    def changed(name, tensors, encoder=sd1.adapter):
        (tmp_path / name / "models").mkdir(parents=True)
        save_file(tensors, tmp_path / name / FILE)
        (tmp_path / name / "models/image_encoder").symlink_to(encoder / "models/image_encoder")
        return tmp_path / name

    said = load("nowhere")
    assert said == f"nowhere/{FILE}: no such file; there are no .safetensors"
    said = load(sd1.adapter, file="models/other.safetensors")
    assert said.endswith(f"no such file; there are models/image_encoder/model.safetensors, {FILE}")
    said = load(sd1.adapter, encoder="models/none")
    assert said.endswith("models/none is not there, or no CLIP: expected a CLIPVisionModelWithProjection")
    wide = tiny_stable_diffusion(tmp_path / "wide", text_width=48)
    said = load(tiny_ip_adapter(tmp_path / "wide-ip", wide))
    assert "is for a base with prompts 48 wide, the base is a base with prompts 32 wide: take one" in said
    deep = tiny_stable_diffusion(tmp_path / "deep", channels=(16, 64))
    assert "is for another base: its" in load(tiny_ip_adapter(tmp_path / "deep-ip", deep))
    narrow = {**state, "image_proj.proj.weight": torch.zeros(4 * 32, 9)}
    said = load(changed("narrow", narrow))
    assert "takes embeddings of 9 numbers, the image encoder" in said
    assert "gives 12: name the one that it was trained with" in said
    faces = {**state, "image_proj.proj.2.weight": torch.zeros(2, 2)}
    assert "takes faces (FaceID)" in load(changed("faces", faces))
    assert "not found on the hub" in load("hub:nobody/none")
    assert "is no IP-Adapter: expected" in load(changed("other", {"weight": torch.zeros(2)}))
