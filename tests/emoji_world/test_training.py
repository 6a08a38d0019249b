"""The real trainings, for seconds: they end, resume, and write folders that the stock classes read."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from emoji_world.render import DEBIAN_FONT
from emoji_world.settings import Training, load_settings

needs_font = pytest.mark.skipif(not DEBIAN_FONT.is_file(), reason="fonts-noto-color-emoji is not installed")
SECTION = "{seed: 0, steps: 2, batch_size: 4, learning_rate: 0.001, bf16: false}"
PARAMS = f"""
text_to_image:
  {{seed: 0, minutes: 0.03, shared_norms: {{minutes: 0.02, learning_rate: 0.0004}}, processes: 1, batch_size: 4,
   learning_rate: 0.001,
   warmup_steps: 1, ema_decay: 0.9, caption_dropout: 0.1}}
vae: {SECTION}
judge: {SECTION}
clip: {SECTION}
blip2: {SECTION}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models trained for two steps each."""
    from emoji_world import blip2, clip, judge, text_to_image, vae

    folder = tmp_path_factory.mktemp("emoji-world")
    (folder / "params.yaml").write_text(PARAMS)
    text_to_image.main(folder)
    for stage in (vae, judge, clip, blip2):
        stage.main(folder)
    return folder


@needs_font
def test_stable_diffusion_loads_with_the_stock_pipeline(folder):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder / "stable-diffusion")
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    pictures = pipe(["a cat in space"], num_inference_steps=2, output_type="np").images
    assert pictures.shape == (1, 32, 32, 3)
    assert not (folder / ".checkpoints").exists() or not list((folder / ".checkpoints").iterdir())


@needs_font
def test_every_model_can_be_measured(folder):
    from emoji_world.measure import BARS, measure

    figures = measure(folder, number=4)
    assert figures.keys() == BARS.keys()
    assert all(np.isfinite(figure) for figure in figures.values())


@needs_font
def test_weights_are_half_precision(folder):
    from safetensors import safe_open

    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} <= {"F16", "I64"}, path  # noqa: SIM118


def settings_of(steps):
    return Training(seed=0, steps=steps, batch_size=1, learning_rate=0.1, bf16=False)


@dataclass
class Regression:
    """Fits a line, and stops by an error after a number of steps."""

    stops_after: int
    done: int = 0

    def __post_init__(self):
        torch.manual_seed(0)
        self.model = nn.Linear(1, 1)

    def __call__(self):
        if self.done == self.stops_after:
            raise KeyboardInterrupt
        self.done += 1
        return (self.model(torch.ones(1, 1)) - 3).square().mean()


def test_a_training_that_was_stopped_goes_on(tmp_path, monkeypatch):
    from emoji_world import loop

    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)
    whole, first, rest = Regression(99), Regression(25), Regression(99)
    loop.fit(whole.model, whole, settings_of(60), tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        loop.fit(first.model, first, settings_of(60), tmp_path / "parts.pt")
    loop.fit(rest.model, rest, settings_of(60), tmp_path / "parts.pt")
    assert rest.done == 35
    torch.testing.assert_close(rest.model.weight, whole.model.weight)
    assert abs(whole.model(torch.ones(1, 1)).item() - 3) < 0.1
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_text_to_image_holds_everything(tmp_path):
    from emoji_world import text_to_image

    (tmp_path / "params.yaml").write_text(PARAMS)
    settings = load_settings(tmp_path).text_to_image
    state, other = (text_to_image.start(settings, 50, "cpu") for _ in range(2))
    for parameter in state.parameters:
        parameter.grad = torch.ones_like(parameter)
    text_to_image.update(state, settings)
    state.seconds = 7.0
    state.save(tmp_path / "state.pt")
    other.load(tmp_path / "state.pt", "cpu")
    assert (other.step, other.seconds) == (1, 7.0)
    for a, b in zip([*state.parameters, *state.averages], [*other.parameters, *other.averages], strict=True):
        assert torch.equal(a, b)


def test_the_rate_falls_twice(tmp_path):
    from emoji_world import text_to_image

    (tmp_path / "params.yaml").write_text(PARAMS)
    settings = load_settings(tmp_path).text_to_image
    rates = [text_to_image.learning_rate(settings, 9, 60 * minutes) for minutes in (0, 0.015, 0.0299, 0.03, 0.05)]
    assert rates == pytest.approx([0.001, 0.0005, 0, 0.0004, 0], abs=1e-5)


def test_unknown_settings_are_refused(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS.replace("ema_decay: 0.9", "ema_decay: 0.9, ema: 1"))
    with pytest.raises(ValueError, match="ema"):
        load_settings(tmp_path)
