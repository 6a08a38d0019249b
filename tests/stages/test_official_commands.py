"""`tav export-official` and `tav import-official`: out of a tuning, and in again."""

from pathlib import Path

import pytest
import torch
from project import ignore
from safetensors.torch import load_file

from tav.commands.official import export_weights, import_weights
from tav.params import Params, UserError
from tav.stages import tune

WEIGHTS = Path("artifacts/tune/cat/weights.safetensors")


def test_out_and_in_again(params: Params) -> None:
    with pytest.raises(UserError, match="dvc repro tune@cat"):
        export_weights(params, "cat", Path("official"))
    tune.run(params, "cat", ignore)
    export_weights(params, "cat", Path("official/unet"))
    import_weights(params, Path("official/unet"), Path("back.safetensors"))
    ours, back = load_file(WEIGHTS), load_file("back.safetensors")
    assert ours.keys() == back.keys()
    assert all(torch.equal(ours[name], back[name]) for name in ours)
    with pytest.raises(UserError, match="is there already"):
        export_weights(params, "cat", Path("official/unet"))
    with pytest.raises(UserError, match="no video 'dog'"):
        export_weights(params, "dog", Path("other"))
    with pytest.raises(UserError, match="nowhere has no diffusion_pytorch_model"):
        import_weights(params, Path("nowhere"), Path("other.safetensors"))
