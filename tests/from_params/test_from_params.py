"""The base model as `compute` of params.yaml asks for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from project import tiny_params
from tiny import tiny_stable_diffusion

from tav.budget.plan import machine
from tav.from_params.base import NOT_OF_THE_MODEL, open_base, precision_of, tuning_settings
from tav.model.inflation import SparseCausalAttention
from tav.model.options.token_merging import MergingAttention
from tav.model.tune_settings import TuneSettings
from tav.params import Params, Tune, UserError, check


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_stable_diffusion(folder / "stable-diffusion")
    return folder


def params(models: Path, **compute: Any) -> Params:
    data = tiny_params(models)
    data["compute"] |= compute
    return check(data)


def attention_of(pipe: Any) -> set[type]:
    return {type(module) for module in pipe.unet.modules() if isinstance(module, SparseCausalAttention)}


def test_as_shipped(models: Path) -> None:
    pipe = open_base(params(models))
    assert attention_of(pipe) == {SparseCausalAttention}
    assert (pipe.unet.dtype, precision_of(params(models).compute, "cpu")) == (torch.float32, "fp32")


def test_precision_is_of_unet_and_text_encoder_only(models: Path) -> None:
    pipe = open_base(params(models, precision="bf16"))
    assert [part.dtype for part in (pipe.unet, pipe.text_encoder, pipe.vae)] == [torch.bfloat16] * 2 + [torch.float32]


def test_tokens_are_merged(models: Path) -> None:
    pytest.importorskip("tomesd")
    assert MergingAttention in attention_of(open_base(params(models, token_merging=0.5)))


def test_xformers_that_does_not_run_is_told(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("it may run here")
    open_base(params(models, attention="xformers"))
    assert capsys.readouterr().out.startswith("xformers is left out, and attention stays with SDPA: ")


@pytest.mark.parametrize(("asked", "why"), [("gpu", "Expected one of cpu, cuda"), ("cuda:99", "")])
def test_a_device_that_is_not_there(models: Path, monkeypatch: pytest.MonkeyPatch, asked: str, why: str) -> None:
    """Named by TAV_DEVICE; whatever reads it says so in a line."""
    monkeypatch.setenv("TAV_DEVICE", asked)
    for work in (lambda: open_base(params(models)), machine):
        with pytest.raises(UserError, match=f"^TAV_DEVICE is '{asked}'; expected a device that torch has here.*{why}"):
            work()


def test_every_knob_of_tuning_reaches_it_or_is_the_stages_own(models: Path) -> None:
    """A knob that the model does not know is an error, and no default in its place."""
    data = tiny_params(models)
    data["tune"] |= {"steps": 7, "weight_decay": 0.5}
    (key,) = list(data["videos"])[:1]
    settings = tuning_settings(check(data), key, "cpu", gradient_checkpointing=True, adam8bit=False)
    assert (settings.steps, settings.weight_decay, settings.gradient_checkpointing) == (7, 0.5, True)
    assert set(Tune.model_fields) - NOT_OF_THE_MODEL <= set(TuneSettings.__dataclass_fields__)
