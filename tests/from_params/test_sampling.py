"""An edit is made as its settings ask for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from project import tiny_params
from tiny import tiny_stable_diffusion

from tav.from_params.base import open_base
from tav.from_params.sampling import Words, sample_edit
from tav.model.ddim import Trajectory
from tav.model.prompts import encode_prompts
from tav.params import Attention, check


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    models: Path = tmp_path_factory.mktemp("models")
    tiny_stable_diffusion(models / "stable-diffusion")
    return tiny_params(models)


def test_words_count_where_they_are_asked_for(data: dict[str, Any]) -> None:
    params = check(data)
    pipe, settings = open_base(params), params.edit.model_copy(update={"strength": 1.0})
    latents = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    source, target, negative = encode_prompts(pipe, ["a cat", "a dog", ""])

    def sampled(words: Words | None, **update: Any) -> torch.Tensor:
        asked = settings.model_copy(update=update)
        return sample_edit(pipe, asked, Trajectory(latents), target, negative, words=words)

    words = Words("a cat", "a dog", source)
    plain = sampled(None)
    assert torch.equal(sampled(words), plain)
    assert not torch.equal(sampled(words, attention=Attention(cross_replace=1.0)), plain)
    assert not torch.equal(sampled(words, method="plug-and-play"), plain)
