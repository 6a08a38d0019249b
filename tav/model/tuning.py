"""One-shot tuning (paper, section 4.2; official train_tuneavideo.py): a generator of steps.

Whoever runs it draws the bar, writes loss.csv and logs. What does not change from step to step is computed before:
the posterior of the latents and the text embeddings are arguments.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tav.model.checkpoints import Run, fingerprint, resume, save_checkpoint
from tav.model.checkpoints import Step as Step
from tav.model.denoiser import Attachment, DiffusionStep, Network
from tav.model.inflation import is_inflated, set_self_attention, set_temporal_after
from tav.model.latents import Moments, sample_latents
from tav.model.master_weights import keep_masters
from tav.model.options import mark_of
from tav.model.pretrained import ddim_scheduler
from tav.model.prior import ImagePrior
from tav.model.prior_pictures import PriorPictures
from tav.model.prompts import Prompts
from tav.model.tune_settings import TuneSettings as TuneSettings
from tav.model.tuned_weights import TEMPORAL, temporal_and_query_groups, tuned_parameters

if TYPE_CHECKING:
    from tav.model.control import Controls

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
STEPS_TO_MOVE = 5
"""Temporal attention's inner projections get a gradient only when its output has left zero, so not in step 1."""

OnWeights = Callable[[str, int], None]
"""Called with the run's mark (what makes it: settings, data, base) and the steps that the weights have had."""


def tune(
    unet: Any,
    scheduler: Any,
    moments: Moments,
    prompts: Prompts,
    settings: TuneSettings,
    *,
    pictures: PriorPictures | None = None,
    controls: "Controls | None" = None,
    checkpoint_dir: Path | None = None,
    on_weights: OnWeights = lambda mark, done: None,
) -> Iterator[Step]:
    """Tune an inflated UNet on one video, in place: a step each time the next item is asked for.

    Each step draws a sample of the latents' posterior, noise and one timestep, from a generator of its own. With a
    `checkpoint_dir`, a run that was stopped goes on from its last checkpoint, tells the steps before it again, and
    ends with the very weights of a run that was not stopped. Checkpoints of other settings (but for gradient
    checkpointing, which changes no gradient), data or options are not used.

    Args:
        unet: inflated. Its tuned parameters become float32, all others are frozen, in the settings' precision.
        scheduler: the model's, of any class: its noise levels and prediction_type count.
        moments: posterior of the video's latents, f c h w, from `encode_moments`.
        prompts: one, the source prompt.
        settings: see TuneSettings.
        pictures: what `settings.pictures_weight` is the weight of.
        controls: that stand beside the UNet in each step, with maps of all frames. They are not tuned.
        checkpoint_dir: None writes and reads no checkpoints.
        on_weights: called before the first step, where the run goes on, and after each step, saved or not; so what was
            lost to a kill at a step whose checkpoint stands can be made again.

    Raises:
        ValueError: the UNet is not inflated; pictures without their weight, or the other way round; a tuned tensor gets
            no gradient; `adam8bit` without bitsandbytes.
        FloatingPointError: a loss or gradient is not finite; names step and tensor.
    """
    if bool(settings.pictures_weight) != (pictures is not None):
        given = "no pictures" if pictures is None else "pictures"
        raise ValueError(f"pictures_weight is {settings.pictures_weight}, and there are {given}: give both or neither")
    parameters = trainable_parameters(unet, settings)
    scheduler, device = ddim_scheduler(scheduler), unet.device
    moments = Moments(*(part.to(device) for part in moments))
    pictures = pictures and pictures._replace(moments=Moments(*(part.to(device) for part in pictures.moments)))
    run = start_run(parameters, settings, device)
    starts_from = [*parameters.values(), *moments, prompts.embeds, *prompts.condition.values(), mark_of(unet)]
    starts_from += pictures.tensors() if pictures else ()
    starts_from += _base_marks(unet, scheduler)
    starts_from += controls.marks() if controls else ()
    mark, beside = fingerprint(settings, starts_from), [controls] if controls else []
    seen = min(len(moments.mean), settings.window_frames or len(moments.mean))
    if seen == 1:  # attention to one frame gives its queries and keys no gradient: nothing to check
        run.moved.update(parameters)
    prior = ImagePrior(unet, parameters, settings.prior_weight) if settings.prior_weight else None
    on_weights(mark, 0)
    if checkpoint_dir:
        resume(run, checkpoint_dir, mark)
    if run.history:
        on_weights(mark, len(run.history))
    yield from (replace(step, replayed=True) for step in run.history)
    for number in range(len(run.history) + 1, settings.steps + 1):
        began = time.perf_counter()
        frames = window_of(len(moments.mean), settings, run.generator)
        window = Moments(*(part[frames.start : frames.stop] for part in moments))
        latents, noise, timestep = draw(scheduler, window, run.generator)
        loss = denoising_loss(
            unet, scheduler, latents, noise, timestep, prompts, prior, beside, torch.arange(frames.start, frames.stop)
        )
        if pictures:
            drawn = draw(scheduler, pictures.one(run.generator), run.generator)
            loss = loss + settings.pictures_weight * denoising_loss(unet, scheduler, *drawn, pictures.prompts)
        grad_norm = update(run, number, loss, settings)
        lr = run.optimizer.param_groups[0]["lr"]
        run.history.append(Step(number, loss.item(), grad_norm, lr, time.perf_counter() - began))
        if checkpoint_dir and number % settings.checkpoint_every == 0:
            save_checkpoint(run, checkpoint_dir, mark, keep=settings.keep_checkpoints)
        on_weights(mark, number)
        yield run.history[-1]


def _base_marks(unet: Any, scheduler: Any) -> list[Tensor]:
    """What tells one base from another: a few numbers of each frozen weight (all would take seconds), the schedule."""
    frozen = [parameter.detach().flatten()[:64] for parameter in unet.parameters() if not parameter.requires_grad]
    velocities = torch.tensor([scheduler.config.prediction_type == "v_prediction"])
    return [torch.cat(frozen), scheduler.alphas_cumprod, velocities]


def trainable_parameters(unet: Any, settings: TuneSettings) -> dict[str, nn.Parameter]:
    """Freeze a UNet in the settings' precision but for its tuned parameters, which become float32; in place.

    Sets its checkpointing and its self-attention, too.
    """
    if not is_inflated(unet):
        raise ValueError("tune got an image UNet; expected an inflated one: call inflate(unet) first")
    parameters = {
        name: parameter
        for name, parameter in tuned_parameters(unet).items()
        if not (settings.official_checkpointing and name.startswith("down_blocks."))
        and (settings.temporal or not TEMPORAL.search(name))
    }
    set_self_attention(unet, settings.self_attention)
    set_temporal_after(unet, settings.temporal_after)
    keep_masters(unet, parameters.keys(), DTYPES[settings.precision])
    if settings.gradient_checkpointing:
        unet.enable_gradient_checkpointing()  # diffusers' own is non-reentrant
    else:
        unet.disable_gradient_checkpointing()
    return parameters


def start_run(parameters: dict[str, nn.Parameter], settings: TuneSettings, device: torch.device) -> Run:
    groups = temporal_and_query_groups(parameters, settings.learning_rate, settings.temporal_learning_rate)
    for group in groups:
        group["initial_lr"] = group["lr"]
    adamw = _adamw_8bit() if settings.adam8bit else partial(torch.optim.AdamW, fused=True)
    optimizer = adamw(groups, betas=settings.betas, eps=settings.epsilon, weight_decay=settings.weight_decay)
    scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")
    return Run(parameters, optimizer, scaler, torch.Generator().manual_seed(settings.seed))


def _adamw_8bit() -> Any:
    if find_spec("bitsandbytes") is None:
        raise ValueError("adam8bit needs bitsandbytes, which is not installed: pip install -e '.[adam8bit]'")
    from bitsandbytes.optim import AdamW8bit

    return AdamW8bit


def window_of(num_frames: int, settings: TuneSettings, generator: torch.Generator) -> range:
    """The frames that a step sees of a video."""
    length, start = settings.window_frames, 0
    if length is None or length >= num_frames:
        return range(num_frames)
    if settings.windows == "all":
        start = int(torch.randint(num_frames - length + 1, (1,), generator=generator))
    return range(start, start + length)


def draw(scheduler: Any, moments: Moments, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """What a step is about: latents of the video (f c h w), noise of their shape, and one timestep (1)."""
    latents = sample_latents(moments, generator)
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    timestep = torch.randint(scheduler.config.num_train_timesteps, (1,), generator=generator)
    return latents, noise, timestep.to(latents.device)


def denoising_loss(
    unet: Any,
    scheduler: Any,
    latents: Tensor,
    noise: Tensor,
    timestep: Tensor,
    prompts: Prompts,
    prior: ImagePrior | None = None,
    attachments: Sequence[Attachment] = (),
    frames: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the predicted noise, or v (paper, equation 3). latents, noise (b f) c h w; timestep b.

    prior: adds its loss. b is 1 then. attachments: what stands beside the UNet. frames: see DiffusionStep.
    """
    per_frame = timestep.repeat_interleave(len(latents) // len(timestep))
    noisy = scheduler.add_noise(latents, noise, per_frame)
    prediction_type = scheduler.config.prediction_type
    if prediction_type not in {"epsilon", "v_prediction"}:
        raise ValueError(f"the model's prediction_type is {prediction_type}; expected epsilon or v_prediction")
    target = noise if prediction_type == "epsilon" else scheduler.get_velocity(latents, noise, per_frame)
    count = scheduler.config.num_train_timesteps  # where sampling would stand that takes all of them
    index = count - 1 - int(timestep[0]) if attachments else 0  # they alone ask, and a GPU must be waited for
    step = DiffusionStep(timestep, index, count, frames)
    expected = None if prior is None else prior.predict(noisy, step, prompts, attachments)
    prediction = Network(unet, attachments)(noisy, step, prompts)
    loss = functional.mse_loss(prediction, target)
    return loss if prior is None or expected is None else loss + prior.loss(prediction, expected)


def update(run: Run, number: int, loss: Tensor, settings: TuneSettings) -> float:
    """One step of the optimizer, in place. Returns the gradients' norm before clipping."""
    for group in run.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * rate_factor(number, settings)
    run.scaler.scale(loss).backward()
    run.scaler.unscale_(run.optimizer)
    if number <= STEPS_TO_MOVE:
        _check_moving(run, number)
    grad_norm = nn.utils.clip_grad_norm_(run.parameters.values(), settings.max_grad_norm)
    _check_finite(run, number, loss, grad_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.optimizer.zero_grad()
    return grad_norm.item()


def rate_factor(number: int, settings: TuneSettings) -> float:
    """Share of the learning rate that step `number` (from 1) is taken with."""
    if number <= settings.warmup_steps:
        return number / settings.warmup_steps
    left = (settings.steps + 1 - number) / (settings.steps - settings.warmup_steps)  # of the last step: not 0
    return {"constant": 1.0, "linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}[settings.lr_schedule]


def _check_moving(run: Run, number: int) -> None:
    """No tuned tensor is without a gradient, and in a few steps each gets one that is not zero."""
    for name, parameter in run.parameters.items():
        if parameter.grad is None:
            raise ValueError(f"step {number}: {name} gets no gradient, so it would not be tuned; is it in the graph?")
        if parameter.grad.any():
            run.moved.add(name)
    still = [name for name in run.parameters if name not in run.moved]
    if still and number == STEPS_TO_MOVE:
        raise ValueError(f"after {number} steps {len(still)} tuned tensors have had no gradient, the first {still[0]}")


def _check_finite(run: Run, number: int, loss: Tensor, grad_norm: Tensor) -> None:
    """fp16 may overflow now and then, which the scaler answers with a smaller scale, but not for ever."""
    if loss.isfinite() and (grad_norm.isfinite() or (run.scaler.is_enabled() and run.scaler.get_scale() > 1)):
        return
    gradients = [(name, parameter.grad) for name, parameter in run.parameters.items() if parameter.grad is not None]
    tensors = [*run.parameters.items(), *gradients]
    name = next((name for name, tensor in tensors if not tensor.isfinite().all()), "none of the tuned tensors")
    raise FloatingPointError(
        f"step {number}: loss {loss.item()}, gradient norm {grad_norm.item()}; the first tensor that is not finite "
        f"is {name}. A lower learning rate or precision fp32 may help"
    )
