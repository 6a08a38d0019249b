"""What is expected is what the real step then takes, counted the same way."""

import pytest
import torch
from tiny import tiny_stable_diffusion
from tiny_bases import tiny_sdxl

from tav.budget.expectation import Expectation, expect_sampling, expect_tuning
from tav.budget.meter import Meter, Speed, measure_speed
from tav.model.inflation import inflate
from tav.model.latents import encode_moments
from tav.model.pretrained import load_pipeline, load_shapes
from tav.model.tuning import TuneSettings, tune

SIZE = (32, 16)
FLOAT = torch.float32


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
    height, width = frames.shape[1:3]
    expected = expect_tuning(shapes, len(frames), (width, height), settings)
    optimizer = 8 * sum(p.numel() for p in pipe.unet.parameters() if p.requires_grad)  # in `weights` of the expected
    assert taken.peak - optimizer < expected.activations < 1.1 * taken.peak


def test_what_saves_memory_is_seen_to(shapes):
    def tuning(num_frames=8, **settings):
        return expect_tuning(shapes, num_frames, SIZE, TuneSettings(**settings))

    full = tuning()
    assert tuning(gradient_checkpointing=True).activations < 0.7 * full.activations
    assert tuning(precision="bf16").activations < 0.8 * full.activations
    assert tuning(adam8bit=True).weights < full.weights
    assert tuning(num_frames=4).activations < 0.7 * full.activations
    whole = expect_sampling(shapes, 8, SIZE, FLOAT, guided=True)
    split = expect_sampling(shapes, 8, SIZE, FLOAT, guided=True, split_guidance=True)
    assert split.activations < 0.7 * whole.activations


def test_time_follows_the_work(shapes):
    slow = Speed(flops=1e9, bandwidth=1e12, overhead=0.0)
    few, many = (expect_tuning(shapes, f, SIZE, TuneSettings(), speed=slow).step_seconds for f in (4, 8))
    assert 1.9 < many / few < 2.1
    single, guided = (expect_sampling(shapes, 8, SIZE, FLOAT, guided=g, speed=slow).step_seconds for g in (False, True))
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
