"""Train the text encoder and the UNet of Emoji World's Stable Diffusion.

`python -m emoji_world.text_to_image models/emoji-world` runs for the minutes that params.yaml
there says, on a GPU if there is one and else in processes of one thread whose gradients are
averaged. It goes on from its last checkpoint, and prints progress and time left. The learning
rate follows the time that has passed, so a slow machine learns less but ends as well.

At the end some steps norm several unrelated pictures together. A video UNet's group norms run over
all frames, and a network as small as this one, which knew one picture at a time, then lost the
subject in some of them. (Stable Diffusion's norms have 40 times the values, and don't.)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.distributed as dist
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor
from torch.multiprocessing.spawn import start_processes
from transformers import CLIPTextModel

from emoji_world.architecture import new_scheduler, new_text_encoder, new_unet, save_half
from emoji_world.features import patch_features
from emoji_world.samples import captioned_batches, token_ids, tokenizer_of
from emoji_world.settings import Diffusion, TextToImage, load_settings
from emoji_world.tokenizer import save_tokenizer
from tav.model.inflation import VideoGroupNorm, set_num_frames

CHECKPOINT = Path(".checkpoints/text_to_image.pt")
TOGETHER = (1, 1, 1, 2, 4, 8)
"""Pictures that a norm runs over, drawn for each step."""


@dataclass
class Training:
    """All that changes while training, and so all that a checkpoint holds."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    optimizer: torch.optim.Optimizer
    averages: list[Tensor]
    step: int = 0
    seconds: float = 0.0

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        return [*self.unet.parameters(), *self.text_encoder.parameters()]

    def save(self, path: Path) -> None:
        state = {
            "unet": self.unet.state_dict(),
            "text_encoder": self.text_encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averages": self.averages,
            "step": self.step,
            "seconds": self.seconds,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path, device: str) -> None:
        state = torch.load(path, map_location=device, weights_only=True)
        self.unet.load_state_dict(state["unet"])
        self.text_encoder.load_state_dict(state["text_encoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averages = state["averages"]
        self.step, self.seconds = state["step"], state["seconds"]


def start(
    settings: Diffusion, vocabulary: int, device: str, make_unet: Callable[[], UNet2DConditionModel] = new_unet
) -> Training:
    torch.manual_seed(settings.seed)
    unet, text_encoder = make_unet().to(device), new_text_encoder(vocabulary).to(device)
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            module.norm1.__class__ = module.norm2.__class__ = VideoGroupNorm
    unet.conv_norm_out.__class__ = VideoGroupNorm
    if device == "cpu":  # SDPA's backward is slow there at small heads
        unet.set_attn_processor(AttnProcessor())
    parameters = [*unet.parameters(), *text_encoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, fused=True)
    averages = [parameter.detach().clone() for parameter in parameters]
    return Training(unet, text_encoder, optimizer, averages)


def velocity_loss(
    state: Training, scheduler: DDIMScheduler, features: Tensor, ids: Tensor, rng: torch.Generator, together: int = 1
) -> Tensor:
    """Mean squared error of the predicted velocity, timesteps spread evenly over the batch.

    together: pictures that the norms run over. They have one timestep, as the frames of a video have.
    """
    device, draws = features.device, len(features) // together
    set_num_frames(state.unet, together)
    strata = torch.arange(draws) + torch.rand(draws, generator=rng)
    timesteps = (strata / draws * scheduler.config.num_train_timesteps).long().repeat_interleave(together).to(device)
    noise = torch.randn(features.shape, generator=rng).to(device)
    noisy = scheduler.add_noise(features, noise, timesteps)
    with torch.autocast(device.type, torch.bfloat16, enabled=_has_bf16(device.type)):
        prompt_embeds = state.text_encoder(ids.to(device)).last_hidden_state
        predicted = state.unet(noisy, timesteps, prompt_embeds).sample
    return torch.nn.functional.mse_loss(predicted.float(), scheduler.get_velocity(features, noise, timesteps))


def _has_bf16(device: str) -> bool:
    return device == "cuda" or torch.cpu._is_avx512_bf16_supported()


def average_gradients(parameters: list[torch.nn.Parameter], progress: float) -> float:
    """Average gradients in place over all processes, and give the average progress."""
    if not dist.is_initialized():
        return progress
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([*(g.flatten() for g in gradients), torch.tensor([progress])])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = torch.split(flat[:-1], [g.numel() for g in gradients])
    torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])
    return float(flat[-1])


def learning_rate(settings: TextToImage, step: int, seconds: float) -> float:
    """Falls to zero over each of the two parts of the training."""
    first, then = 60 * settings.minutes, settings.shared_norms
    peak = settings.learning_rate * min(1.0, (step + 1) / settings.warmup_steps)
    if seconds >= first:
        peak, seconds, first = then.learning_rate, seconds - first, 60 * then.minutes
    return peak * (0.5 + 0.5 * cos(pi * min(1.0, seconds / first))) + 1e-6 if first else 1e-6


def update(state: Training, settings: TextToImage) -> None:
    """One step at the learning rate of the time that has passed."""
    take_step(state, learning_rate(settings, state.step, state.seconds), settings.ema_decay)


def take_step(state: Training, rate: float, ema_decay: float) -> None:
    """One AdamW step at this learning rate, and the moving averages."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    torch.nn.utils.clip_grad_norm_(state.parameters, 1.0)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1
    renewed = 1 - min(ema_decay, (1 + state.step) / (10 + state.step))
    torch._foreach_lerp_(state.averages, [p.detach() for p in state.parameters], renewed)


def train(folder: Path, rank: int) -> Training:
    """Train until the time is up, from the last checkpoint if there is one."""
    settings = load_settings(folder).text_to_image
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = folder / "stable-diffusion" / "tokenizer"
    checkpoint = folder / CHECKPOINT
    state = start(settings, len(tokenizer_of(str(tokenizer))), device)
    if checkpoint.is_file():
        state.load(checkpoint, device)
    seed = [settings.seed, rank, state.step]
    rng = np.random.default_rng(seed)
    noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
    batches = captioned_batches(rng, settings.batch_size, settings.caption_dropout)
    groups = [number for number in TOGETHER if settings.batch_size % number == 0]
    scheduler, began, saved, losses = new_scheduler(), time.time() - state.seconds, time.time(), 0.0
    while state.seconds < 60 * (settings.minutes + settings.shared_norms.minutes):
        shared = state.seconds >= 60 * settings.minutes
        state.text_encoder.requires_grad_(not shared)
        pixel_values, words = next(batches)
        features, ids = patch_features(pixel_values.to(device)), token_ids(str(tokenizer), words)
        loss = velocity_loss(state, scheduler, features, ids, noise, int(rng.choice(groups)) if shared else 1)
        torch.autograd.backward(loss)
        state.seconds = average_gradients(state.parameters, time.time() - began)
        update(state, settings)
        losses += 0.01 * (loss.item() - losses) if losses else loss.item()
        if rank == 0 and state.step % 50 == 0:
            _report(state, settings, losses)
        if rank == 0 and time.time() - saved > 90:
            state.save(checkpoint)
            saved = time.time()
    if rank == 0:
        state.save(checkpoint)
    return state


def _report(state: Training, settings: TextToImage, loss: float) -> None:
    pictures = state.step * settings.batch_size * settings.processes
    left = settings.minutes + settings.shared_norms.minutes - state.seconds / 60
    print(
        f"step {state.step}, {pictures} pictures, {pictures / state.seconds:.0f}/s, "
        f"loss {loss:.4f}, {left:.1f} min left",
        flush=True,
    )


def export(state: Training, folder: Path) -> None:
    """Write the averaged weights in float16, as Stable Diffusion's folders."""
    for parameter, average in zip(state.parameters, state.averages, strict=True):
        parameter.data.copy_(average)
    save_half(state.unet, state.text_encoder, folder)


def _process(rank: int, folder: Path, processes: int, meeting: str) -> None:
    torch.set_num_threads(1 if processes > 1 else torch.get_num_threads())
    if processes > 1:
        dist.init_process_group("gloo", meeting, rank=rank, world_size=processes)
    state = train(folder, rank)
    if rank == 0:
        export(state, folder / "stable-diffusion")
        (folder / CHECKPOINT).unlink()


def main(folder: Path) -> None:
    """Train and export; on a GPU in one process."""
    save_tokenizer(folder / "stable-diffusion" / "tokenizer")
    settings = load_settings(folder).text_to_image
    processes = 1 if torch.cuda.is_available() else settings.processes
    with TemporaryDirectory() as place:
        arguments = (folder, processes, f"file://{place}/meeting")
        start_processes(_process, arguments, nprocs=processes)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
