"""A training loop that goes on from its last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import cos, pi
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from emoji_world.settings import Training

M = TypeVar("M")

SECONDS_BETWEEN_CHECKPOINTS = 60


def fit(model: nn.Module, next_loss: Callable[[], Tensor], settings: Training, checkpoint: Path) -> None:
    """Train `model` in place with AdamW for the steps in `settings`.

    The learning rate rises over the first 3 % of the steps and falls to zero along a cosine.
    `next_loss` draws a batch and gives the loss on it.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, fused=True)
    began = saved = time.time()
    first, mean = _resume(model, optimizer, checkpoint), 0.0
    for step in range(first, settings.steps):
        progress = step / settings.steps
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, progress / 0.03 + 0.01) * (0.5 + 0.5 * cos(pi * progress))
        # a context for each step: autocast remembers the weights it has cast until it ends
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16 and torch.cpu._is_avx512_bf16_supported()):
            loss = next_loss()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        mean = mean + 0.03 * (loss.item() - mean) if mean else loss.item()
        if (step + 1) % 50 == 0:
            left = (time.time() - began) / (step + 1 - first) * (settings.steps - step - 1) / 60
            print(f"step {step + 1} of {settings.steps}, loss {mean:.4f}, {left:.1f} min left", flush=True)
        if time.time() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            _save(model, optimizer, checkpoint, step + 1)
            saved = time.time()
    checkpoint.unlink(missing_ok=True)


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> int:
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _save(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path, step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def last_of(training: Iterable[tuple[M, float]], steps: int) -> M | None:
    """What a training has made when it is over. It gives that and the loss at each step, whose mean is printed."""
    mean, made = 0.0, None
    for step, (trained, loss) in enumerate(training, 1):
        made = trained
        mean += (loss - mean) / min(step, 50)
        if step % 50 == 0 or step == steps:
            print(f"step {step} of {steps}, loss {mean:.4f}", flush=True)
    return made
