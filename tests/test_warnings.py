"""Deprecations that our code causes fail the tests: the filters of pyproject.toml bite there, and nowhere else."""

import warnings
from pathlib import Path

import pytest
import torch
from tiny import tiny_stable_diffusion


def warn_in(module: str, category: type[Warning]) -> None:
    """A warning that a line of this module causes."""
    exec("import warnings; warnings.warn('old', category)", {"__name__": module, "category": category})


@pytest.mark.parametrize("module", ["tav.stages.tune", "tav", "flows.dag", "emoji_world.vae", __name__])
@pytest.mark.parametrize("category", [DeprecationWarning, PendingDeprecationWarning, FutureWarning])
def test_a_deprecation_in_our_own_modules_is_an_error(module: str, category: type[Warning]) -> None:
    with pytest.raises(category, match="old"):
        warn_in(module, category)


@pytest.mark.parametrize("module", ["tavern", "flowsheet.dag", "numpy.tav"])
def test_in_others_it_is_none(module: str) -> None:
    with warnings.catch_warnings(record=True) as caught:  # the filters stay as they are
        warn_in(module, DeprecationWarning)
    assert len(caught) == 1


def test_an_argument_that_diffusers_has_renamed_is_an_error(tmp_path: Path) -> None:
    """diffusers puts its warnings on lines of its own, and not on the caller's."""
    from diffusers import StableDiffusionPipeline

    with pytest.raises(FutureWarning, match="`torch_dtype` is deprecated"):
        StableDiffusionPipeline.from_pretrained(tiny_stable_diffusion(tmp_path), torch_dtype=torch.float32)
