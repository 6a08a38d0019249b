"""Stages tune, invert and edit on every kind of base, each with a LoRA, against diffusers' own pipeline."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from project import ignore, make_project
from safetensors.torch import load_file
from tiny import tiny_stable_diffusion
from tiny_bases import LORA, tiny_lora, tiny_sdxl, tiny_single_file, tiny_stable_diffusion_2

from tav.artifacts import read_frames
from tav.from_params.base import open_base
from tav.model.inflation import set_num_frames
from tav.model.pretrained import load_pipeline
from tav.model.tuned_weights import load_tuned_weights
from tav.params import Lora, check, read_yaml
from tav.stages import caption, edit, extract, invert, tune

SCALE = 0.5
"""Of the LoRA."""


def xl(models: Path) -> tuple[dict[str, str], Path]:
    folder = tiny_sdxl(models / "xl")
    return {"source": str(folder)}, folder


def sd2(models: Path) -> tuple[dict[str, str], Path]:
    folder = tiny_stable_diffusion_2(models / "sd2")
    return {"source": str(folder)}, folder


def single_file(models: Path) -> tuple[dict[str, str], Path]:
    folder = tiny_stable_diffusion(models / "sd")
    return {"source": str(tiny_single_file(models / "sd.safetensors", folder)), "config": str(folder)}, folder


@pytest.fixture(scope="module", params=[xl, sd2, single_file], ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A project, the current folder, with all three stages run. Its base has the same weights as models/folder."""
    models = tmp_path_factory.mktemp("models")
    base, folder = request.param(models)
    added = tiny_lora(models / "lora.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        data = make_project(models / "project", models)
        patch.chdir(models / "project")
        data["base"] |= base | {"loras": [{"source": str(models / "lora.safetensors"), "scale": SCALE}]}
        data["tune"]["steps"] = 3
        data["invert"] |= {"num_inference_steps": 6, "prompt": ""}
        data["edit"] |= {"guidance_scale": 4.0, "strength": 1.0, "negative_prompt": ""}
        params = check(data)
        for stage, key in [(extract, "cat"), (caption, "cat"), (tune, "cat"), (invert, "cat"), (edit, "cat--dog")]:
            stage.run(params, key, ignore)
        yield {"folder": folder, "lora": added, "base": data["base"]}


@pytest.fixture(scope="module")
def reference(made: dict[str, Any]) -> Any:
    """diffusers' own pipeline from the folder, with the LoRA added by hand and the tuned weights."""
    pipe = load_pipeline(str(made["folder"]))
    with torch.no_grad():
        pipe.unet.get_parameter(f"{LORA}.weight").add_(SCALE * made["lora"])
    load_tuned_weights(pipe.unet, Path("artifacts/tune/cat/weights.safetensors"))
    set_num_frames(pipe.unet, 4)
    return pipe


def test_every_part_is_tuned(made: dict[str, Any]) -> None:
    tuned = load_file("artifacts/tune/cat/weights.safetensors")
    assert all(tensor.isfinite().all() for tensor in tuned.values())
    outputs = [tensor for name, tensor in tuned.items() if name.endswith("attn_temp.to_out.0.weight")]
    assert len(outputs) >= 3
    assert all(tensor.any() for tensor in outputs)  # they start at zero
    from_folder = load_pipeline(str(made["folder"]), components=("unet", "scheduler")).unet.get_parameter
    queries = [name for name in tuned if name.endswith("to_q.weight") and "attn_temp" not in name and LORA not in name]
    assert all(0 < (tuned[name] - from_folder(name)).abs().max() < 1e-2 for name in queries)
    with_lora = from_folder(f"{LORA}.weight") + SCALE * made["lora"]
    assert 0 < (tuned[f"{LORA}.weight"] - with_lora).abs().max() < 1e-2


def test_inversion_comes_back(made: dict[str, Any]) -> None:
    assert load_file("artifacts/invert/cat/latents.safetensors")["latents"].shape == (7, 4, 4, 8, 10)
    facts = json.loads(Path("artifacts/invert/cat/inversion.json").read_text())
    assert abs(facts["psnr_from_half"] - facts["vae_psnr"]) < 0.5


def test_edit_is_what_diffusers_pipeline_makes(made: dict[str, Any], reference: Any) -> None:
    """From the same latents, prompt and guidance; SDXL's conditions are the pipeline's own."""
    frames = read_frames(Path("artifacts/edit/cat--dog/frames"))
    latents = load_file("artifacts/invert/cat/latents.safetensors")["latents"][-1]
    theirs = reference(
        prompt="a dog running",
        num_images_per_prompt=4,
        height=32,
        width=40,
        latents=latents,
        num_inference_steps=6,
        guidance_scale=4.0,
        output_type="np",
    ).images
    assert frames.shape == (4, 32, 40, 3)
    assert frames.std() > 5
    assert np.abs(frames - (theirs * 255).round()).max() <= 1


def test_inversion_is_along_the_model(made: dict[str, Any], reference: Any) -> None:
    """The stage's first step, by the formula of DDIM (Song et al. 2021, equation 12) and the pipeline's own prompt."""
    latents = load_file("artifacts/invert/cat/latents.safetensors")["latents"]
    scheduler = reference.scheduler
    scheduler.set_timesteps(6)
    last = int(scheduler.timesteps[-1])
    alphas = scheduler.alphas_cumprod
    text = reference.encode_prompt("a dog", device="cpu", num_images_per_prompt=4, do_classifier_free_guidance=True)
    condition = {}
    if len(text) == 4:
        size = reference._get_add_time_ids((32, 40), (0, 0), (32, 40), torch.float32, 12)
        condition = {"text_embeds": text[3], "time_ids": size.expand(4, -1)}
    with torch.no_grad():
        output = reference.unet(latents[0], last, text[1], added_cond_kwargs=condition).sample
    level = scheduler.final_alpha_cumprod
    if scheduler.config.prediction_type == "v_prediction":
        noise = level.sqrt() * output + (1 - level).sqrt() * latents[0]
        clean = level.sqrt() * latents[0] - (1 - level).sqrt() * output
    else:
        noise = output
        clean = (latents[0] - (1 - level).sqrt() * output) / level.sqrt()
    expected = alphas[last].sqrt() * clean + (1 - alphas[last]).sqrt() * noise
    torch.testing.assert_close(latents[1], expected, rtol=0, atol=1e-4)


def test_a_lora_of_the_edit_lies_on_top_of_what_was_tuned(made: dict[str, Any], tmp_path: Path) -> None:
    """Also on a layer that tuning replaces, as a query is."""
    data = read_yaml(Path("params.yaml"))
    data["base"] |= made["base"]
    params, weights = check(data), Path("artifacts/tune/cat/weights.safetensors")
    tuned = open_base(params, tuned=weights).unet.state_dict()
    lora = Lora(source=str(params.base.loras[0].source), scale=2.0)
    edited = open_base(params, tuned=weights, loras=[lora]).unet.state_dict()
    assert LORA.endswith("to_q")
    torch.testing.assert_close(edited.pop(f"{LORA}.weight"), tuned.pop(f"{LORA}.weight") + 2 * made["lora"])
    assert all(torch.equal(tensor, tuned[name]) for name, tensor in edited.items())
