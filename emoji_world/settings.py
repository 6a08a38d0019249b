"""params.yaml of Emoji World, typed."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Training(Section):
    seed: int
    steps: int = Field(gt=0)
    batch_size: int = Field(ge=1)
    """Pictures a step."""
    learning_rate: float = Field(gt=0)
    bf16: bool
    """Where the CPU can: twice as fast for large products, no gain for small ones."""


class SharedNorms(Section):
    minutes: float = Field(ge=0)
    learning_rate: float = Field(gt=0)


class Diffusion(Section):
    """What every training of a text encoder and a UNet has."""

    seed: int
    batch_size: int = Field(ge=1)
    """Pictures a process and step."""
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=1)
    ema_decay: float = Field(gt=0, lt=1)
    caption_dropout: float = Field(ge=0, le=1)


class TextToImage(Diffusion):
    minutes: float = Field(gt=0)
    """Wall clock."""
    shared_norms: SharedNorms
    """After these minutes: of the UNet alone, some steps of which norm several pictures together."""
    processes: int = Field(ge=1)


class TextToImage64(Diffusion):
    pictures: int = Field(gt=0)
    """To see in all, over as many sessions as it takes; the learning rate falls to zero over them."""
    widths: tuple[int, int, int]
    """Channels of the UNet's levels."""
    checkpoint_minutes: float = Field(gt=0)
    """Between two checkpoints."""


class Settings64(Section):
    text_to_image: TextToImage64


class Settings(Section):
    text_to_image: TextToImage
    vae: Training
    judge: Training
    clip: Training
    blip2: Training


def load_settings(folder: Path) -> Settings:
    """Settings in folder/params.yaml."""
    return Settings.model_validate(YAML(typ="safe").load(folder / "params.yaml"))


def load_settings64(folder: Path) -> Settings64:
    """Settings in folder/params.yaml of the world at 64 pixels."""
    return Settings64.model_validate(YAML(typ="safe").load(folder / "params.yaml"))
