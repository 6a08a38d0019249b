"""Stage tune on a tiny Stable Diffusion: what it writes, and that a killed run ends as one that was not."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from project import ignore
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tav.artifacts import read_frames
from tav.params import Params, UserError, check
from tav.stages import OnProgress, Progress, edit, invert, tune
from tav.video import write_contact_sheet

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
    settings = json.loads(header["settings"])
    assert (settings["sections"]["tune"]["steps"], settings["num_frames"], settings["stage"]) == (4, 4, "tune")
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


def test_prior_pictures_are_drawn_once(
    data: dict[str, Any], params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    tune.run(params, "cat", ignore)
    plain = load_file(WEIGHTS)
    data["tune"]["prior_pictures"] = {"prompt": "a cat", "number": 3, "steps": 2}
    tune.run(check(data), "cat", ignore)
    assert "tune@cat: the base draws 3 pictures of 'a cat'" in capsys.readouterr().out
    found = load_file(WEIGHTS)
    assert any((plain[name] != found[name]).any() for name in plain)
    assert (SHEETS / "prior-pictures.png").exists()
    tune.forget_checkpoints("cat")

    tune.run(check(data), "cat", ignore)
    assert "draws" not in capsys.readouterr().out
    assert all((tensor == found[name]).all() for name, tensor in load_file(WEIGHTS).items())
    data["tune"]["prior_pictures"]["prompt"] = "a dog"
    tune.run(check(data), "cat", ignore)
    assert "the base draws 3 pictures of 'a dog'" in capsys.readouterr().out


def test_prior_pictures_of_a_folder(data: dict[str, Any], params: Params) -> None:
    """Of any size and aspect, cut to the video's."""
    asked = {"prompt": "a cat", "folder": "models/cats"}
    data["tune"]["prior_pictures"] = asked
    with pytest.raises(UserError, match=r"tune\.prior_pictures\.folder: models/cats is no folder"):
        tune.run(check(data), "cat", ignore)
    Path("models/cats").mkdir(parents=True)
    with pytest.raises(UserError, match="the folder models/cats has no images"):
        tune.run(check(data), "cat", ignore)
    for number, size in enumerate([(90, 40), (33, 120)]):
        Image.new("RGB", size, (200, 100, 30 * number)).save(f"models/cats/{number}.png")
    tune.run(check(data), "cat", ignore)
    with Image.open(SHEETS / "prior-pictures.png") as sheet:
        assert sheet.getpixel((20, 40))[:2] == (200, 100)  # type: ignore[index]
    first = load_file(WEIGHTS)
    Image.new("RGB", (50, 50), (0, 0, 0)).save("models/cats/1.png")
    tune.run(check(data), "cat", ignore)
    assert any((tensor != first[name]).any() for name, tensor in load_file(WEIGHTS).items())


SHEETS = Path("artifacts/tune/cat/samples")


def sheets() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in SHEETS.glob("*.png")}


def killed_at(step: int) -> OnProgress:
    def kill(progress: Progress) -> None:
        if progress.done == step:
            raise Killed

    return kill


def test_samples_are_of_this_run(data: dict[str, Any], params: Params) -> None:
    """Not of one with other settings, that came further, nor of one whose edits asked for other things."""
    data["tune"] |= {"sample_every": 1, "steps": 2}
    whole = {}
    for rate, guidance in ((3e-3, 12.5), (3e-3, 2.0)):
        data["tune"]["learning_rate"], data["edit"]["guidance_scale"] = rate, guidance
        tune.run(check(data), "cat", ignore)
        whole[guidance] = sheets()
        tune.forget_checkpoints("cat")
    assert whole[12.5]["000002.png"] != whole[2.0]["000002.png"]
    data["tune"]["steps"], data["edit"]["guidance_scale"] = 4, 12.5
    with pytest.raises(Killed):
        tune.run(check(data), "cat", killed_at(4))
    data["tune"]["steps"] = 2
    for guidance in (12.5, 2.0):
        data["edit"]["guidance_scale"] = guidance
        tune.run(check(data), "cat", ignore)
        # the second goes on from the first's last checkpoint: the sheets before it can't be drawn any more
        assert sheets() == {name: whole[guidance][name] for name in sheets()}
        assert "000002.png" in sheets()


def test_a_sheet_that_a_kill_prevented_is_drawn(data: dict[str, Any], params: Params) -> None:
    """The checkpoint of the step stands already: the run goes on there."""
    data["tune"]["sample_every"] = 2
    tune.run(check(data), "cat", ignore)
    whole = sheets()
    tune.forget_checkpoints("cat")
    with pytest.raises(Killed):
        tune.run(check(data), "cat", killed_at(2))
    (sheet,) = Path("checkpoints/cat/samples").glob("*/000002.png")
    sheet.unlink()
    tune.run(check(data), "cat", ignore)
    assert sheets() == whole
    shutil.rmtree("artifacts/tune")  # as DVC does when the results did not count
    tune.run(check(data), "cat", ignore)
    assert sheets() == whole


def test_a_sample_is_the_edit_as_it_will_be(data: dict[str, Any], params: Params) -> None:
    """After the last step, with each edit's own settings: the sheet's row is the edited video's."""
    own: list[dict[str, Any]] = [{"guidance_scale": 3.0}, {"negative_prompt": "a dog"}, {"strength": 0.5}]
    own += [{"from": "noise", "seed": 3}, {"from": "noise", "strength": 0.5}]
    asked = {f"cat--{n}": {"video": "cat", "prompt": "a dog running"} | more for n, more in enumerate(own)}
    data["edits"] = asked
    data["tune"] |= {"steps": 2, "sample_every": 2}
    tune.run(check(data), "cat", ignore)
    invert.run(check(data), "cat", ignore)
    rows = []
    for name in asked:
        edit.run(check(data), name, ignore)
        rows.append(read_frames(Path("artifacts/edit") / name / "frames"))
    write_contact_sheet(Path("expected.png"), rows, ["a dog running"] * len(rows))
    with Image.open("expected.png") as expected, Image.open(SHEETS / "000002.png") as sample:
        difference = np.abs(np.asarray(expected, np.int16) - np.asarray(sample, np.int16))
    assert difference.max() <= 2  # the latents of one are rounded to float16 on their way


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
    data["base"]["source"] = str(others / path)
    with pytest.raises(UserError, match=said) as refused:
        tune.run(check(data), "cat", ignore)
    assert "\n" not in str(refused.value)
    assert not Path("artifacts/tune").exists()
