"""Stage invert on a tiny Stable Diffusion: all latents are kept, and sampling leads back."""

import json
from pathlib import Path
from typing import Any

import pytest
from project import ignore
from safetensors.torch import load_file

from tav.artifacts import read_frames
from tav.metrics.formulas import psnr
from tav.params import Params, UserError, check
from tav.stages import Progress, edit, invert, tune


@pytest.fixture
def tuned(params: Params) -> Params:
    tune.run(params, "cat", ignore)
    return params


def test_keeps_every_step_and_comes_back(data: dict[str, Any], tuned: Params) -> None:
    data["invert"] |= {"num_inference_steps": 10}
    seen: list[Progress] = []
    invert.run(check(data), "cat", seen.append)
    latents = load_file("artifacts/invert/cat/latents.safetensors")["latents"]
    assert latents.shape == (11, 4, 4, 8, 10)
    facts = json.loads(Path("artifacts/invert/cat/inversion.json").read_text())
    assert abs(facts["psnr"] - facts["vae_psnr"]) < 1.0
    assert abs(facts["psnr_from_half"] - facts["vae_psnr"]) < 0.5
    assert [p.done for p in seen] == list(range(1, 21))


@pytest.mark.parametrize(
    "method", [{"method": "edit_friendly", "seed": 5}, {"refine": 3, "window": {"frames": 3, "overlap": 2}}]
)
def test_other_inversions_come_back_and_are_edited_from(
    data: dict[str, Any], tuned: Params, method: dict[str, Any]
) -> None:
    """An edit that asks for the source, unguided, shows the source: the noises of the inversion reach it."""
    data["invert"] |= {"num_inference_steps": 4, "prompt": "a cat", **method}
    data["edit"] |= {"guidance_scale": 1.0, "strength": 0.75, "window": method.get("window")}
    key = next(iter(data["edits"]))
    data["edits"][key] |= {"prompt": "a cat"}
    invert.run(check(data), "cat", ignore)
    facts = json.loads(Path("artifacts/invert/cat/inversion.json").read_text())
    edit.run(check(data), key, ignore)
    back = psnr(read_frames(Path(f"artifacts/edit/{key}/frames")), read_frames(Path("artifacts/extract/cat/frames")))
    assert abs(back - facts["vae_psnr"]) < 0.5


def test_weights_of_another_base_are_refused(data: dict[str, Any], tuned: Params, tmp_path: Path) -> None:
    from tiny import tiny_stable_diffusion

    data["base"]["source"] = str(tiny_stable_diffusion(tmp_path / "other", seed=1))
    with pytest.raises(UserError, match="tune again"):
        invert.run(check(data), "cat", ignore)
    assert not Path("artifacts/invert").exists()


def test_damaged_weights(tuned: Params) -> None:
    file = Path("artifacts/tune/cat/weights.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged"):
        invert.run(tuned, "cat", ignore)
