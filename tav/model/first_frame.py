"""A first frame that somebody has edited already: the others follow it.

Frame 0 is what all frames attend to (paper, equation 4), so what stands in it goes on into them. Its latents are led
to noise by themselves, and put back after each step of sampling.
"""

from torch import Tensor

from tav.model.ddim import AfterStep, Schedule, Trajectory, ddim_invert
from tav.model.denoiser import DiffusionStep, Network, prompted
from tav.model.prompts import Prompts


def first_frame_path(network: Network, schedule: Schedule, latents: Tensor, prompts: Prompts) -> Trajectory:
    """An edited picture's latents at every noise level of a schedule, inverted as a video of one frame.

    Args:
        network: without attachments.
        schedule: that sampling will walk.
        latents: of the picture, 1 c h w.
        prompts: one, what it shows.
    """
    return ddim_invert(prompted(network, prompts), schedule, latents)


def with_first_frame(latents: Tensor, path: Trajectory, steps_left: int) -> Tensor:
    """A video's latents, f c h w, whose frame 0 is the picture with so many steps left."""
    held = latents.clone()
    held[:1] = path.at(steps_left).to(latents)
    return held


def hold_first_frame(path: Trajectory) -> AfterStep:
    """After each step, the picture's latents in frame 0."""

    def after_step(latents: Tensor, step: DiffusionStep) -> Tensor:
        return with_first_frame(latents, path, step.steps_left - 1)

    return after_step
