"""Outputs of the official code (showlab/Tune-A-Video @7d4a89a), recorded in float32 on a CPU. Skipped where absent."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor

from tav.model.inflation import inflate
from tav.model.pretrained import load_pipeline

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"


class Golden:
    """The recorded arrays. Videos come as (b f) c h w."""

    def __init__(self, folder: Path):
        self.folder = folder / "A"
        self.checkpoint = str(self.folder / "checkpoint")
        self.floor = json.loads((folder / "noise_floor.json").read_text())["A"]

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{name}.npz") as file:
            return dict(file)

    def tensors(self, name: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{name}.safetensors")

    @staticmethod
    def folded(array: np.ndarray) -> Tensor:
        return rearrange(torch.from_numpy(array), "... b c f h w -> ... (b f) c h w")

    def set_temporal(self, unet: UNet2DConditionModel, kind: str) -> None:
        """`init`: as the official code makes it; `rand`: random; `off`: init with the output's bias zeroed."""
        tensors = self.tensors("temporal_rand" if kind == "rand" else "temporal_init")
        if kind == "off":
            tensors |= {name: torch.zeros_like(tensors[name]) for name in tensors if name.endswith("to_out.0.bias")}
        result = unet.load_state_dict(tensors, strict=False)
        assert not result.unexpected_keys
        assert len(tensors) == 112


@pytest.fixture(scope="session")
def golden() -> Golden:
    if not GOLDEN.is_dir():
        pytest.skip(f"{GOLDEN} is absent: the official code's recorded outputs are not part of the project")
    return Golden(GOLDEN)


@pytest.fixture(scope="session")
def pipe(golden):
    pipe = load_pipeline(golden.checkpoint)
    inflate(pipe.unet)
    return pipe
