"""One tiny Stable Diffusion folder of each kind for all tests of the model."""

import pytest
from tiny import moving_square, tiny_stable_diffusion

from tav.model.inflation import inflate
from tav.model.latents import encode_moments
from tav.model.pretrained import load_pipeline
from tav.model.prompts import encode_prompts


@pytest.fixture(scope="session", params=["epsilon", "v_prediction"])
def either_folder(request, tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp(request.param), prediction_type=request.param)


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture
def pipe(sd_folder):
    """Fresh and inflated."""
    pipe = load_pipeline(str(sd_folder))
    inflate(pipe.unet)
    return pipe


@pytest.fixture(scope="session")
def frames():
    return moving_square(3, 16, 24)


@pytest.fixture(scope="session")
def moments(sd_folder, frames):
    return encode_moments(load_pipeline(str(sd_folder), components=("vae",)).vae, frames)


@pytest.fixture(scope="session")
def prompt_embeds(sd_folder):
    pipe = load_pipeline(str(sd_folder), components=("text_encoder", "tokenizer"))
    return encode_prompts(pipe, ["a man is skiing"])[0]
