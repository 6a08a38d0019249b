"""Tuned weights as a LoRA and for the hub: out of a tuning, and in again."""

from pathlib import Path

import pytest
import torch
from project import ignore
from safetensors.torch import load_file

from tav.commands.hub import export_hub
from tav.commands.lora import export_lora, import_lora
from tav.params import Params, UserError, load, read_yaml
from tav.stages import tune

WEIGHTS = Path("artifacts/tune/cat/weights.safetensors")


def test_out_and_in_again(params: Params) -> None:
    with pytest.raises(UserError, match="no video is tuned yet"):
        export_hub(params, None, Path("hub"))
    with pytest.raises(UserError, match="dvc repro tune@cat"):
        export_lora(params, "cat", Path("lora.safetensors"), 4)
    tune.run(params, "cat", ignore)
    (said,) = export_lora(params, "cat--dog", Path("lora.safetensors"), 64)
    assert said == "lora.safetensors: a LoRA of rank 64, without 0.0% of what tuning added"
    import_lora(params, Path("lora.safetensors"), Path("back.safetensors"))
    ours, back = load_file(WEIGHTS), load_file("back.safetensors")
    assert ours.keys() == back.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(back[name], tensor, atol=1e-5, rtol=1e-3)
    assert any((back[name] != tensor).any() for name, tensor in ours.items())  # it went through float16
    (said,) = export_lora(params, "cat", Path("small.safetensors"), 1)
    assert "(a higher --rank keeps more)" in said
    with pytest.raises(UserError, match="is there already"):
        export_lora(params, "cat", Path("small.safetensors"), 1)

    (said,) = export_hub(params, None, Path("hub"))
    assert "huggingface-cli upload OWNER/NAME hub" in said
    names = {"README.md", "weights.safetensors", "lora.safetensors", "params.yaml"}
    assert {path.name for path in Path("hub").iterdir()} == names
    card = Path("hub/README.md").read_text()
    assert card.startswith("---\nlibrary_name: tav\n")
    assert 'learned from one video ("a cat running", 4 frames, 4 steps)' in card
    assert load(Path("hub/params.yaml")).edits.keys() == {"cat--dog"}
    assert read_yaml(Path("hub/params.yaml"))["edits"]["cat--dog"]["prompt"] == "a dog running"
