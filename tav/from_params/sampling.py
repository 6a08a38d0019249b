"""An inversion and an edit, as params.yaml asks for them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from tav.params import Edit, Invert, Window

if TYPE_CHECKING:
    from torch import Tensor

    from tav.model.ddim import AfterStep, OnStep, Room, Trajectory
    from tav.model.denoiser import Attachment, Denoiser
    from tav.model.prompts import Prompts
    from tav.model.reference import Reference
    from tav.model.source_branch import SourceBranch


def invert_video(
    pipe: Any,
    settings: Invert,
    latents: "Tensor",
    source: "Prompts",
    *,
    room: "Room | None" = None,
    on_step: "OnStep | None" = None,
) -> "Trajectory":
    """A video's latents at every noise level, as the settings ask for them.

    Args:
        pipe: from `open_base`, tuned.
        settings: of the inversion.
        latents: of the video, f c h w.
        source: the inversion's prompt.
        room: where the trajectory is kept. None: in memory.
        on_step: see OnStep.
    """
    from tav.model.ddim import Schedule, ddim_invert
    from tav.model.denoiser import Network, prompted
    from tav.model.edit_friendly import edit_friendly_invert

    denoise = in_windows(prompted(Network(pipe.unet), source), settings.window)
    schedule = Schedule.of(pipe.scheduler, settings.num_inference_steps)
    kept = {} if room is None else {"room": room}
    if settings.method == "edit_friendly":
        return edit_friendly_invert(denoise, schedule, latents, seed=settings.seed, on_step=on_step, **kept)
    return ddim_invert(denoise, schedule, latents, refine=settings.refine, on_step=on_step, **kept)


class Words(NamedTuple):
    """What a video shows, and what the edit shall show."""

    caption: str
    prompt: str
    source: "Prompts"
    """The caption, encoded."""


def in_windows(denoise: "Denoiser", window: Window | None) -> "Denoiser":
    from tav.model.windows import windowed

    return denoise if window is None else windowed(denoise, window.frames, window.overlap)


def sample_edit(
    pipe: Any,
    settings: Edit,
    inverted: "Trajectory",
    target: "Prompts",
    negative: "Prompts",
    *,
    words: "Words | None" = None,
    mask: "Tensor | None" = None,
    attachments: "Sequence[Attachment]" = (),
    first_frame: "Tensor | None" = None,
    reference: "Reference | None" = None,
    split_guidance: bool = False,
    on_step: "OnStep | None" = None,
) -> "Tensor":
    """The latents of an edit, as its settings ask for it: float32, f c h w.

    Args:
        pipe: from `open_base`, tuned.
        settings: of the edit.
        inverted: the video's.
        target: the edit's prompt.
        negative: its negative prompt.
        words: what `attention` and plug-and-play go by. Not looked at where neither is asked for.
        mask: f h w, of the frames. Outside of it the source's latents are put back at each step.
        attachments: what stands beside the UNet.
        first_frame: latents of a picture that shows the target already, 1 c h w: frame 0 stays this.
        reference: a picture beside the prompt.
        split_guidance: see `guided`.
        on_step: see OnStep.

    Raises:
        ValueError: words of `attention` that are not in the prompts.
    """
    from tav.from_params.steps import start_of, take_of
    from tav.model.ddim import ddim_sample
    from tav.model.denoiser import Network, guided
    from tav.model.first_frame import first_frame_path, hold_first_frame, with_first_frame
    from tav.model.masks import in_turn, source_outside
    from tav.model.source_branch import SourceBranch

    schedule, inverted, latents, noises = start_of(settings, pipe.scheduler, inverted)
    network, after = Network(pipe.unet, attachments), []
    with ExitStack() as stack:
        if reference is not None:
            stack.enter_context(reference.on(pipe.unet))
            target, negative = reference.shown(target), reference.not_shown(negative)
            words = words and words._replace(source=reference.not_shown(words.source))
        denoise = guided(network, target, negative, settings.guidance_scale, split=split_guidance)
        if words and (settings.attention or settings.method == "plug-and-play"):
            branch = SourceBranch(
                network, inverted, words.source, target, negative, settings.guidance_scale, split_guidance
            )
            denoise, after = branch, [stack.enter_context(_beside_the_source(pipe, branch, words, settings))]
        if mask is not None:
            after.append(source_outside(mask, inverted))
        if first_frame is not None:
            path = first_frame_path(Network(pipe.unet), schedule, first_frame, target)
            latents = with_first_frame(latents, path, len(schedule))
            after.append(hold_first_frame(path))
        start_at, then = latents.to(pipe.device), in_turn(after)
        return ddim_sample(
            in_windows(denoise, settings.window),
            schedule,
            start_at,
            noises=noises,
            take=take_of(settings, schedule, pipe.scheduler),
            after_step=then,
            on_step=on_step,
        )


@contextmanager
def _beside_the_source(pipe: Any, branch: "SourceBranch", words: Words, asked: Edit) -> "Iterator[AfterStep]":
    """Plug-and-Play, or Prompt-to-Prompt as it is asked for, on a pipeline's network."""
    from tav.model.plug_and_play import plug_and_play
    from tav.model.prompt_to_prompt import WordSettings, prompt_to_prompt

    if asked.method == "plug-and-play":
        with plug_and_play(pipe.unet, branch):
            yield lambda latents, step: latents
        return
    assert asked.attention is not None
    settings = WordSettings(**asked.attention.model_dump())
    with prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, (words.caption, words.prompt), settings) as control:
        yield control.after_step
