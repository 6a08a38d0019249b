"""The bridge from an edit's settings to its steps: the LoRAs that make few do, and how a scheduler takes one."""

from typing import TYPE_CHECKING, Any

from tav.from_params.loaded_base import loaded
from tav.params import Base, Edit

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from tav.model.ddim import Schedule, TakeStep, Trajectory


def added_to_tuned(unet: "nn.Module", base: Base, dtype: "torch.dtype") -> "dict[str, Tensor]":
    """What an edit's LoRAs add to those tensors of a base that tuning replaces, by name. Loads the base without them.

    unet: of the base with the edit's LoRAs in it.
    """
    from tav.model.tuned_weights import tuned_parameters

    plain = dict(loaded(base, dtype, "cpu").unet.named_parameters())
    return {
        name: parameter.detach() - plain[name].detach().to(parameter.device)
        for name, parameter in tuned_parameters(unet).items()
        if name in plain
    }


def add(unet: "nn.Module", added: "dict[str, Tensor]") -> None:
    """Add to parameters, in place, by name."""
    import torch

    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name in added:
                parameter.add_(added[name])


def start_of(
    asked: Edit, scheduler: Any, inverted: "Trajectory"
) -> "tuple[Schedule, Trajectory, Tensor, Tensor | None]":
    """The steps of an edit, the inversion at their levels, the latents to begin with, and what each step has to add.

    The last is of an inversion that has noise maps. scheduler: the pipeline's.
    """
    from tav.model.ddim import Schedule, Trajectory, first_step, start_from_noise
    from tav.model.few_steps import fewer

    schedule = Schedule.of(scheduler, inverted.steps).from_step(first_step(asked.strength, inverted.steps))
    latents, noises = inverted.at(len(schedule)), inverted.noises
    if asked.start_from == "noise":
        pure = len(schedule) == inverted.steps
        latents, noises = start_from_noise(inverted.at(0), schedule, pure=pure, seed=asked.seed), None
    if asked.steps is not None:
        schedule, inverted = fewer(schedule, Trajectory(inverted.latents, noises), asked.steps)
    return schedule, inverted, latents, noises


def take_of(settings: Edit, schedule: "Schedule", scheduler: Any) -> "TakeStep | None":
    """How an edit's scheduler takes a step. None: as DDIM does. scheduler: the pipeline's."""
    from tav.model.few_steps import lcm, tcd

    if settings.scheduler == "lcm":
        return lcm(schedule, settings.seed)
    if settings.scheduler == "tcd":
        return tcd(schedule, scheduler.alphas_cumprod, settings.eta, settings.seed)
    return None
