"""Stage tune on a tiny Stable Diffusion: what it writes, and that a killed run ends as one that was not."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from project import ignore
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tav.params import Params, UserError, check
from tav.stages import Progress, tune

WEIGHTS = Path("artifacts/tune/cat/weights.safetensors")


def test_writes_weights_losses_and_facts(data: dict[str, Any], params: Params, models: Path) -> None:
    data["compute"]["precision"], data["tune"]["gradient_checkpointing"] = "bf16", True
    seen: list[Progress] = []
    tune.run(check(data), "cat", seen.append)
    assert [(p.done, p.total) for p in seen] == [(n, 4) for n in (1, 2, 3, 4)]
    with Path("artifacts/tune/cat/loss.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert [float(row["loss"]) for row in rows] == pytest.approx([p.values["loss"] for p in seen], rel=1e-5)
    facts = json.loads(Path("artifacts/tune/cat/tuning.json").read_text())
    assert facts["seconds"] > 0
    assert 0.1 < facts["peak_memory_gb"] < 24
    how = {"precision": "bf16", "gradient_checkpointing": True, "adam8bit": False}
    assert how.items() <= facts.items()
    with safe_open(WEIGHTS, "pt") as file:
        header = file.metadata()
    assert header["prompt"] == "a cat running"
    assert header["base_name"] == str(models / "stable-diffusion")
    assert json.loads(Path("artifacts/tune/cat/samples/prompts.json").read_text()) == []
    assert list(Path("checkpoints/cat").glob("*.safetensors"))  # until the guard has said that the results count
    tune.forget_checkpoints("cat")
    assert not Path("checkpoints/cat").exists()


def losses_of() -> list[float]:
    with Path("artifacts/tune/cat/loss.csv").open() as lines:
        return [float(row["loss"]) for row in csv.DictReader(lines)]


class Killed(BaseException):
    pass


def test_goes_on_where_it_was_killed(data: dict[str, Any], params: Params) -> None:
    tune.run(params, "cat", ignore)
    whole, losses = load_file(WEIGHTS), losses_of()
    shutil.rmtree("artifacts/tune")

    def kill(progress: Progress) -> None:
        if progress.done == 3:
            raise Killed

    with pytest.raises(Killed):
        tune.run(params, "cat", kill)
    assert not Path("artifacts/tune").exists()
    seen: list[Progress] = []
    tune.run(params, "cat", seen.append)
    assert [p.done for p in seen] == [1, 2, 3, 4]  # the first two told again from the checkpoint
    again, losses_again = load_file(WEIGHTS), losses_of()
    assert whole.keys() == again.keys()
    assert all((whole[name] == again[name]).all() for name in whole)
    assert losses == losses_again


def test_checkpoint_of_other_settings_is_not_used(data: dict[str, Any], params: Params) -> None:
    data["tune"]["learning_rate"] = 2e-4
    tune.run(check(data), "cat", ignore)
    whole = load_file(WEIGHTS)

    def kill(progress: Progress) -> None:
        if progress.done == 3:
            raise Killed

    with pytest.raises(Killed):
        tune.run(params, "cat", kill)
    assert list(Path("checkpoints/cat").glob("*.safetensors"))
    tune.run(check(data), "cat", ignore)
    assert all((whole[name] == tensor).all() for name, tensor in load_file(WEIGHTS).items())


def test_samples_of_each_edit(data: dict[str, Any], params: Params) -> None:
    data["tune"] |= {"steps": 3, "sample_every": 2}
    tune.run(check(data), "cat", ignore)
    made = sorted(file.name for file in Path("artifacts/tune/cat/samples").iterdir())
    assert made == ["000000.png", "000002.png", "000003.png", "prompts.json"]


def test_samples_change_no_weight(data: dict[str, Any], params: Params) -> None:
    tune.run(params, "cat", ignore)
    plain = load_file(WEIGHTS)
    data["tune"]["sample_every"] = 1
    tune.run(check(data), "cat", ignore)
    assert all((plain[name] == tensor).all() for name, tensor in load_file(WEIGHTS).items())


@pytest.fixture(scope="module")
def others(models: Path) -> Path:
    """Models that can't be tuned: of other pipelines, and a single file of an inpainting UNet."""
    for kind in ("FluxPipeline", "StableDiffusionInpaintPipeline"):
        (models / kind).mkdir()
        (models / kind / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    first_layer = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(16, 9, 3, 3)}
    save_file(first_layer, models / "inpainting.safetensors")
    return models


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", "nowhere: no such folder"),
        ("clip", "holds a CLIPModel; expected Stable Diffusion 1, 2 or XL"),
        ("blip2", "holds a Blip2ForConditionalGeneration; expected Stable Diffusion 1, 2 or XL"),
        ("FluxPipeline", "is a FluxPipeline; expected Stable Diffusion 1, 2 or XL"),
        ("StableDiffusionInpaintPipeline", "is a StableDiffusionInpaintPipeline; expected Stable Diffusion 1, 2 or XL"),
        ("inpainting.safetensors", "is of the kind inpainting; expected Stable Diffusion 1, 2 or XL"),
    ],
)
def test_base_is_missing_or_of_another_kind(
    data: dict[str, Any], params: Params, others: Path, path: str, said: str
) -> None:
    data["base"]["path"] = str(others / path)
    with pytest.raises(UserError, match=said) as refused:
        tune.run(check(data), "cat", ignore)
    assert "\n" not in str(refused.value)
    assert not Path("artifacts/tune").exists()
