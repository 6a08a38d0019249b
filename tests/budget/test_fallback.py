"""Where memory runs out, a stage goes on in the way that takes less. The error is raised by hand: there is no GPU."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from project import ignore, make_models, make_project
from safetensors.torch import load_file

from tav.budget.fallback import with_less_memory
from tav.budget.plan import Savings, Work
from tav.model import tuning
from tav.model.size import Size
from tav.params import Params, check
from tav.stages import caption, extract, tune

PLAIN, CHECKPOINTED = Savings(), Savings(gradient_checkpointing=True)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    data = make_project(tmp_path / "project", make_models(tmp_path / "models"))
    monkeypatch.chdir(tmp_path / "project")
    data["tune"] |= {"steps": 3, "checkpoint_every": 1}
    return check(data)


def test_the_next_way_is_tried(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    work, tried = Work("tune", "cat", 8, Size(64, 64)), []

    def attempt(savings: Savings, fits: Savings | None = CHECKPOINTED) -> str:
        tried.append(savings)
        if savings != fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "made"

    assert with_less_memory(params, work, PLAIN, attempt) == "made"
    assert tried == [PLAIN, CHECKPOINTED]
    said = "tune@cat: out of memory (nothing saved). It goes on with gradient checkpointing"
    assert capsys.readouterr().out.strip() == said
    with pytest.raises(torch.OutOfMemoryError):
        with_less_memory(params, work, PLAIN, lambda savings: attempt(savings, None))
    edit = replace(work, stage="edit", key="cat--dog", guided=True)
    split = Savings(split_guidance=True)
    assert with_less_memory(params, edit, PLAIN, lambda savings: attempt(savings, split)) == "made"


def test_a_tuning_goes_on_from_its_checkpoint(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends with the weights of one that had memory enough: checkpointing changes no gradient."""
    extract.run(params, "cat", ignore)
    caption.run(params, "cat", ignore)
    weights = Path("artifacts/tune/cat/weights.safetensors")
    tune.run(params, "cat", ignore)
    whole = load_file(weights)
    tune.forget_checkpoints("cat")
    loss, steps = tuning.denoising_loss, []

    def full_at_the_third(unet: Any, *args: Any) -> Any:
        steps.append(unet.is_gradient_checkpointing)
        if len(steps) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(unet, *args)

    monkeypatch.setattr(tuning, "denoising_loss", full_at_the_third)
    tune.run(params, "cat", ignore)
    assert steps == [False, False, False, True]
    again = load_file(weights)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
