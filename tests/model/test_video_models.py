"""Edits by CogVideoX and Wan are diffusers' own, for any number of frames; flow editing is its equation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_video_models import tiny_cogvideox, tiny_wan

from tav.model.baselines import Asked
from tav.model.video_models import VIDEO_MODELS, edit_by_video_model, load_video_model
from tav.video.condition_maps import scribble

ASKED = Asked("a dog running", "bad", "", 3, strength=0.7, guidance_scale=5.0, seed=1, caption="a man is skiing")
FRAMES = np.random.default_rng(0).integers(0, 256, (6, 32, 48, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    at = tmp_path_factory.mktemp("video-models")
    wan = tiny_wan(at / "wan")
    folders = {"wan": wan, "wan-flow-edit": wan, "wan-vace": tiny_wan(at / "vace", vace=True)}
    folders["cogvideox"] = tiny_cogvideox(at / "cogvideox")
    return {method: load_video_model(method, str(folders[method])) for method in VIDEO_MODELS}


def edited(pipes: dict[str, Any], method: str, asked: Asked = ASKED, frames: np.ndarray = FRAMES) -> np.ndarray:
    return edit_by_video_model(method, pipes[method], frames, asked, scribble(frames))


@pytest.mark.parametrize("method", VIDEO_MODELS)
def test_gives_a_video_of_the_sources_shape(pipes: dict[str, Any], method: str) -> None:
    steps: list[tuple[int, int]] = []
    made = edit_by_video_model(method, pipes[method], FRAMES, ASKED, scribble(FRAMES), lambda *step: steps.append(step))
    assert (made.shape, made.dtype) == (FRAMES.shape, np.uint8)
    assert steps[-1][0] == steps[-1][1] == len(steps)
    assert (edited(pipes, method) == made).all()
    assert (edited(pipes, method, replace(ASKED, seed=2)) != made).any()
    assert (edited(pipes, method, replace(ASKED, prompt="a cat")) != made).any()


@pytest.mark.parametrize("method", ["cogvideox", "wan"])
def test_is_diffusers_own_video_to_video(pipes: dict[str, Any], method: str) -> None:
    nine = FRAMES[[0, 1, 2, 3, 4, 5, 5, 5, 5]]  # 4n + 1
    stock = pipes[method](
        video=[Image.fromarray(frame) for frame in nine],
        prompt=ASKED.prompt,
        negative_prompt=ASKED.negative_prompt,
        height=32,
        width=48,
        num_inference_steps=3,
        strength=0.7,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(1),
        output_type="np",
    ).frames[0]
    assert (edited(pipes, method) == (stock[:6] * 255).round().astype(np.uint8)).all()


def test_wan_vace_sees_the_lines_alone(pipes: dict[str, Any]) -> None:
    other = 255 - FRAMES  # another video with the same lines
    made = edit_by_video_model("wan-vace", pipes["wan-vace"], other, ASKED, scribble(FRAMES))
    assert (made == edited(pipes, "wan-vace")).all()
    without = edit_by_video_model("wan-vace", pipes["wan-vace"], FRAMES, ASKED, np.zeros_like(FRAMES))
    assert (without != made).any()


def test_flow_editing_moves_by_the_difference_of_two_velocities(pipes: dict[str, Any]) -> None:
    """The same text, unguided: nothing moves. Another one: the equation, written out for one step."""
    pipe, plain = pipes["wan-flow-edit"], replace(ASKED, guidance_scale=1.0, strength=0.3)
    same = edited(pipes, "wan-flow-edit", replace(plain, prompt=plain.caption))
    five = [Image.fromarray(frame) for frame in FRAMES[:5]]
    clean = pipe.vae.encode(pipe.video_processor.preprocess_video(five, height=32, width=48)).latent_dist.mode()
    back = pipe.video_processor.postprocess_video(pipe.vae.decode(clean).sample.detach(), output_type="np")[0]
    assert np.abs(same[:5].astype(int) - (back * 255).round()).max() <= 1
    mean, std = (
        torch.tensor(v).view(1, -1, 1, 1, 1) for v in (pipe.vae.config.latents_mean, pipe.vae.config.latents_std)
    )
    start = (clean - mean) / std
    pipe.scheduler.set_timesteps(3)
    sigma, after = pipe.scheduler.sigmas[-2:]
    noisy = (1 - sigma) * start + sigma * torch.randn(start.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        to_prompt, to_caption = (
            pipe.transformer(noisy, pipe.scheduler.timesteps[-1:], pipe.encode_prompt(text)[0]).sample
            for text in (plain.prompt, plain.caption)
        )
    moved = pipe.vae.decode((start + (after - sigma) * (to_prompt - to_caption)) * std + mean).sample.detach()
    expected = pipe.video_processor.postprocess_video(moved, output_type="np")[0]
    made = edited(pipes, "wan-flow-edit", plain, FRAMES[:5])
    assert np.abs(made.astype(int) - (expected * 255).round()).max() <= 1
    assert (made != edited(pipes, "wan-flow-edit", replace(plain, prompt=plain.caption), FRAMES[:5])).any()


def test_what_does_not_fit_is_told(pipes: dict[str, Any], tmp_path: Path, sd_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"got frames of 40x32; sides must be multiples of 16: extract\.size"):
        edited(pipes, "wan", frames=FRAMES[:, :, :40])
    with pytest.raises(ValueError, match=r"got 3 steps at strength 0\.1, which is none"):
        edited(pipes, "cogvideox", replace(ASKED, strength=0.1))
    with pytest.raises(FileNotFoundError, match="no such folder with a video model"):
        load_video_model("wan", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="method wan needs a pipeline with a WanTransformer3DModel"):
        load_video_model("wan", str(sd_folder))
    with pytest.raises(ValueError, match=r"WanTransformer3DModel; method wan-vace needs .* WanVACETransformer3DModel"):
        load_video_model("wan-vace", str(tiny_wan(tmp_path / "wan")))
