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


class TextToImage(Section):
    seed: int
    minutes: float = Field(gt=0)
    """Wall clock."""
    shared_norms: SharedNorms
    """After these minutes: of the UNet alone, some steps of which norm several pictures together."""
    batch_size: int = Field(ge=1)
    """Pictures a process and step."""
    learning_rate: float = Field(gt=0)
    processes: int = Field(ge=1)
    warmup_steps: int = Field(ge=1)
    ema_decay: float = Field(gt=0, lt=1)
    caption_dropout: float = Field(ge=0, le=1)


class Settings(Section):
    text_to_image: TextToImage
    vae: Training
    judge: Training
    clip: Training
    blip2: Training


def load_settings(folder: Path) -> Settings:
    """Settings in folder/params.yaml."""
    return Settings.model_validate(YAML(typ="safe").load(folder / "params.yaml"))
