"""What is expected is what the real step then takes, counted the same way."""

import numpy as np
import pytest
import torch
from counted_once import counted_once
from tiny import tiny_stable_diffusion
from tiny_bases import tiny_sdxl
from tiny_controls import tiny_adapter, tiny_controlnet, tiny_ip_adapter

from tav.budget.expectation import Expectation, expect_sampling, expect_tuning
from tav.budget.meter import Meter, Speed, measure_speed
from tav.model.control import Control, Controls
from tav.model.control_files import load_control
from tav.model.ddim import Trajectory
from tav.model.denoiser import DiffusionStep, Network
from tav.model.inflation import inflate
from tav.model.latents import encode_moments
from tav.model.pretrained import load_pipeline, load_shapes
from tav.model.prompt_to_prompt import WordSettings, prompt_to_prompt
from tav.model.prompts import Prompts, encode_prompts
from tav.model.reference import load_reference
from tav.model.reference_files import ReferenceFiles, adapter_shapes, encoder_of
from tav.model.size import Size
from tav.model.source_branch import SourceBranch
from tav.model.tuning import TuneSettings, tune

SIZE = Size(height=16, width=32)
FLOAT = torch.float32
SLOW = Speed(flops=1e9, bandwidth=1e12, overhead=0.0)
sampling = counted_once(expect_sampling)


@counted_once
def tuning(shapes, num_frames=8, **settings):
    return expect_tuning(shapes, num_frames, SIZE, TuneSettings(**settings), speed=SLOW)


@pytest.fixture(scope="module")
def shapes(sd_folder):
    return load_shapes(str(sd_folder))


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_memory_of_a_tuning_step(sd_folder, frames, prompt_embeds, shapes, gradient_checkpointing):
    pipe = load_pipeline(str(sd_folder))
    inflate(pipe.unet)
    moments = encode_moments(pipe.vae, frames)
    settings = TuneSettings(gradient_checkpointing=gradient_checkpointing)
    steps = tune(pipe.unet, pipe.scheduler, moments, prompt_embeds, settings)
    with Meter(None) as taken:
        next(steps)
    expected = expect_tuning(shapes, len(frames), Size(*frames.shape[1:3]), settings)
    optimizer = 8 * sum(p.numel() for p in pipe.unet.parameters() if p.requires_grad)  # in `weights` of the expected
    assert taken.peak - optimizer < expected.activations < 1.1 * taken.peak


def test_what_saves_memory_is_seen_to(shapes):
    full = tuning(shapes)
    assert tuning(shapes, gradient_checkpointing=True, adam8bit=True).activations < 0.7 * full.activations
    assert tuning(shapes, precision="bf16").activations < 0.8 * full.activations
    assert tuning(shapes, gradient_checkpointing=True, adam8bit=True).weights < full.weights
    assert tuning(shapes, num_frames=4).activations < 0.7 * full.activations
    whole = sampling(shapes, 8, SIZE, FLOAT, guided=True, speed=SLOW)
    split = expect_sampling(shapes, 8, SIZE, FLOAT, guided=True, split_guidance=True)
    assert split.activations < 0.7 * whole.activations
    words = sampling(shapes, 8, SIZE, FLOAT, guided=True, words=True)
    half = expect_sampling(shapes, 8, SIZE, FLOAT, guided=True, split_guidance=True, words=True)
    assert half.activations < 0.95 * words.activations
    assert words.activations > 1.3 * whole.activations  # three videos where there were two, and maps


def test_controls_are_counted(sd_folder, shapes, tmp_path):
    """As the real step takes them: the ControlNet's weights and its residuals, the adapter's features."""
    pipe = load_pipeline(str(sd_folder))
    inflate(pipe.unet)
    nets = [
        load_control(str(folder), pipe.unet, factor=4)
        for folder in (tiny_controlnet(tmp_path / "net", sd_folder), tiny_adapter(tmp_path / "adapter"))
    ]
    plain = expect_sampling(shapes, 4, SIZE, FLOAT, guided=True)
    for networks in ([nets[0]], nets):
        expected = expect_sampling(shapes, 4, SIZE, FLOAT, guided=True, networks=networks)
        added = sum(p.nbytes for network in networks for p in network.parameters())
        assert expected.weights - plain.weights == pytest.approx(added)
        latents, step = torch.zeros(8, 4, SIZE[1] // 4, SIZE[0] // 4), DiffusionStep(torch.tensor(500), 0, 1)
        prompts = Prompts(torch.zeros(2, 77, 32))
        with Meter(None) as taken, torch.no_grad():
            controls = [Control(network, torch.zeros(4, 3, SIZE[1], SIZE[0])) for network in networks]
            Network(pipe.unet, [Controls(controls, pipe.unet, latents.shape[-2:])])(latents, step, prompts)
        assert 0.95 * taken.peak < expected.activations < 1.1 * taken.peak
        assert expected.activations > plain.activations


def test_a_tunings_control_is_counted(sd_folder, frames, prompt_embeds, shapes, tmp_path):
    pipe = load_pipeline(str(sd_folder))
    inflate(pipe.unet)
    net, size = load_control(str(tiny_controlnet(tmp_path / "net", sd_folder)), pipe.unet, factor=4), frames.shape[1:3]
    moments, settings = encode_moments(pipe.vae, frames), TuneSettings()
    maps = torch.zeros(len(frames), 3, *size)
    controls = Controls([Control(net, maps)], pipe.unet, moments.mean.shape[-2:])
    with Meter(None) as taken:
        next(tune(pipe.unet, pipe.scheduler, moments, prompt_embeds, settings, controls=controls))
    plain, expected = (expect_tuning(shapes, len(frames), Size(*size), settings, networks=n) for n in ((), (net,)))
    assert expected.weights - plain.weights == sum(p.nbytes for p in net.parameters())
    optimizer = 8 * sum(p.numel() for p in pipe.unet.parameters() if p.requires_grad)
    assert taken.peak - optimizer < expected.activations < 1.15 * taken.peak
    assert expected.activations > plain.activations


def test_an_adapter_is_counted(sd_folder, shapes, tmp_path):
    """The real network with a real adapter takes what is expected."""
    folder = str(tiny_ip_adapter(tmp_path, sd_folder))
    files = ReferenceFiles(folder, "models/ip-adapter_sd15.safetensors", "models/image_encoder")
    pipe = load_pipeline(str(sd_folder))
    inflate(pipe.unet)
    known = adapter_shapes(files, shapes.unet)
    reference = load_reference(pipe, files, np.zeros((32, 32, 3), np.uint8))
    plain = expect_sampling(shapes, 4, SIZE, FLOAT, guided=True)
    expected = expect_sampling(shapes, 4, SIZE, FLOAT, guided=True, adapter=known)
    added = [reference.projection, *reference.processors.values()]
    assert expected.weights - plain.weights == sum(p.nbytes for part in added for p in part.parameters())
    assert known.encoder_parameters == sum(p.numel() for p in encoder_of(files, FLOAT).parameters())
    prompts = reference.shown(Prompts(torch.zeros(2, 77, 32)))
    latents, step = torch.zeros(8, 4, SIZE[1] // 4, SIZE[0] // 4), DiffusionStep(torch.tensor(500), 0, 1)
    with Meter(None) as taken, torch.no_grad(), reference.on(pipe.unet):
        Network(pipe.unet)(latents, step, prompts)
    assert 0.95 * taken.peak < expected.activations < 1.1 * taken.peak
    huge = known._replace(encoder_parameters=10**9)  # which is there before sampling begins
    assert expect_sampling(shapes, 4, SIZE, FLOAT, guided=True, adapter=huge).activations == 4e9
    assert expect_sampling(shapes, 4, SIZE, FLOAT, guided=True, adapter=known, words=True).activations > 0


def test_time_follows_the_work(shapes):
    few, many = tuning(shapes, num_frames=4).step_seconds, tuning(shapes).step_seconds
    assert 1.9 < many / few < 2.1
    single, guided = (sampling(shapes, 8, SIZE, FLOAT, guided=g, speed=SLOW).step_seconds for g in (False, True))
    assert 1.9 < guided / single < 2.1
    assert all(value > 0 for value in measure_speed("cpu", FLOAT))


def test_loaded_models_and_their_shapes_are_alike(sd_folder, shapes):
    loaded = expect_sampling(load_pipeline(str(sd_folder)), 3, SIZE, FLOAT, guided=True)
    assert loaded == expect_sampling(shapes, 3, SIZE, FLOAT, guided=True)


@pytest.mark.parametrize("kind", ["sdxl", "sd2"])
def test_other_kinds(kind, tmp_path):
    make = tiny_sdxl if kind == "sdxl" else tiny_stable_diffusion
    options = {} if kind == "sdxl" else {"linear_projection": True, "heads": (1, 2), "prediction_type": "v_prediction"}
    shapes = load_shapes(str(make(tmp_path, **options)))
    assert expect_tuning(shapes, 2, SIZE, TuneSettings(precision="bf16", gradient_checkpointing=True)).activations > 0
    assert expect_sampling(shapes, 2, SIZE, FLOAT, guided=True).activations > 0


@pytest.mark.parametrize("device", ["cpu", "cuda:1", "mps"])
def test_every_device_needs_more_than_its_tensors(device):
    assert Expectation(weights=6e8, activations=5e8, step_seconds=0, frame_seconds=0).memory(device) > 1.1e9


def test_a_single_file_needs_its_configuration(tmp_path):
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ValueError, match=r"base\.config"):
        load_shapes(str(file))


def test_memory_of_a_step_of_prompt_to_prompt(sd_folder, shapes):
    """What the real one takes, counted the same way."""
    pipe = load_pipeline(str(sd_folder))
    inflate(pipe.unet)
    pipe.unet.requires_grad_(False)
    prompts, negative = ("a cat running", "a dog running"), ""
    source, target, empty = encode_prompts(pipe, [*prompts, negative])
    latents = torch.zeros(8, pipe.unet.config.in_channels, SIZE[1] // 4, SIZE[0] // 4)
    branch = SourceBranch(Network(pipe.unet), Trajectory(latents.expand(3, *latents.shape)), source, target, empty, 3.0)
    step = DiffusionStep(torch.tensor(1), 0, 2)
    with torch.no_grad(), prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, prompts, WordSettings(1, 1)):
        branch(latents, step)  # weights cast for the first time are no activations
        with Meter(None) as taken:
            branch(latents, step)
    expected = sampling(shapes, 8, SIZE, FLOAT, guided=True, words=True).activations
    assert 0.95 * taken.peak < expected < 1.1 * taken.peak
