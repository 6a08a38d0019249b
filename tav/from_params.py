"""The one bridge from params.yaml to the model's own types: the base as it is asked for, tuning's settings, an edit."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tav.loaded_base import identity_of, loaded
from tav.params import BY_VIDEO_MODEL, Attention, Compute, Edit, Invert, Lora, Params, Window, told

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from tav.model.ddim import AfterStep, OnStep, Room, Trajectory
    from tav.model.denoiser import Attachment, Denoiser
    from tav.model.prompts import Prompts
    from tav.model.reference import Reference
    from tav.model.source_branch import SourceBranch
    from tav.model.tune_settings import TuneSettings
    from tav.params.sections import Precision


def open_base(params: Params, *, tuned: Path | None = None, seed: int = 0, loras: Sequence[Lora] = ()) -> Any:
    """A diffusers pipeline with an inflated UNet. Raises UserError.

    Args:
        params: its `base` and `compute` count.
        tuned: weights to load into the UNet. None: it is as inflated.
        seed: of the inflated UNet's new weights.
        loras: an edit's own, on top of what was tuned.
    """
    from tav.model.inflation import inflate
    from tav.model.options import apply
    from tav.model.tuned_weights import load_tuned_weights
    from tav.steps_from_params import add, added_to_tuned

    compute = params.compute
    pipe, dtype = _open(params, loras)
    with told():
        if tuned is None:
            inflate(pipe.unet, seed=seed)
        else:
            added = added_to_tuned(pipe.unet, params.base, dtype) if loras else {}
            load_tuned_weights(pipe.unet, tuned, base=identity_of(params.base))
            add(pipe.unet, added)
        apply(
            pipe.unet,
            dtype,
            attention=compute.attention,
            token_merging=compute.token_merging,
            compiled=compute.compile,
        )
    return pipe


def open_baseline(params: Params, key: str) -> Any:
    """What a baseline edits with: the base with its own UNet, which sees each frame alone, or a video model.

    Raises UserError.
    """
    settings = params.edit_of(key)
    if settings.method not in BY_VIDEO_MODEL or settings.video_model is None:
        return _open(params)[0]
    from tav.model.device import best_device
    from tav.model.video_models import load_video_model

    model, device = settings.video_model, best_device()
    dtype = dtype_of(params.compute, device)
    with told():
        return load_video_model(settings.method, model.place, revision=model.revision, dtype=dtype, device=device)


def _open(params: Params, loras: Sequence[Lora] = ()) -> "tuple[Any, torch.dtype]":
    """The pipeline as it is loaded, with LoRAs beside the base's own, and the dtype that its UNet runs in."""
    from tav.model.device import best_device

    with told():
        device = best_device()
        dtype = dtype_of(params.compute, device)
        base = params.base.model_copy(update={"loras": (*params.base.loras, *loras)}) if loras else params.base
        return loaded(base, dtype, device), dtype


def edit_by_baseline(
    params: Params,
    key: str,
    pipe: Any,
    frames: "np.ndarray",
    lines: "np.ndarray",
    caption: str,
    on_step: "OnStep | None" = None,
) -> "np.ndarray":
    """An edit by another method than Tune-A-Video: uint8 (f h w 3), as `frames`, the source. Raises UserError.

    pipe: from `open_baseline`. lines: the source's scribbles, as `frames`, which wan-vace follows.
    """
    from tav.model.baselines import Asked, edit_frames

    settings, invert = params.edit_of(key), params.invert
    asked = Asked(
        prompt=params.video_edit(key).prompt,
        negative_prompt=settings.negative_prompt,
        inversion_prompt=caption if invert.prompt is None else invert.prompt,
        num_inference_steps=invert.num_inference_steps,
        strength=settings.strength,
        guidance_scale=settings.guidance_scale,
        seed=settings.seed,
        caption=caption,
    )
    with told():
        if settings.method in BY_VIDEO_MODEL:
            from tav.model.video_models import edit_by_video_model

            return edit_by_video_model(settings.method, pipe, frames, asked, lines, on_step)
        return edit_frames(settings.method, pipe, frames, asked, on_step)


def told_cut(stage: str, pipe: Any, prompt: str) -> str:
    """The end of a prompt that the text encoder has no room for; told on stderr where there is one."""
    from tav.model.prompts import words_cut

    cut = words_cut(pipe, prompt)
    if cut:
        room = pipe.tokenizer.model_max_length
        print(f"{stage}: the prompt is longer than the {room} tokens that count; cut off: {cut[:200]}", file=sys.stderr)
    return cut


def precision_of(compute: Compute, device: str) -> "Precision":
    """fp32, bf16 or fp16: what `auto` comes to on a device."""
    if compute.precision != "auto":
        return compute.precision
    if device.partition(":")[0] != "cuda":
        return "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def dtype_of(compute: Compute, device: str) -> "torch.dtype":
    from tav.model.tuning import DTYPES

    return DTYPES[precision_of(compute, device)]


NOT_OF_THE_MODEL = {"sample_every", "save_precision"}
"""Knobs of `tune` that are the stage's own."""


def tuning_settings(
    params: Params, key: str, device: str, gradient_checkpointing: bool, adam8bit: bool
) -> "TuneSettings":
    """The model's own settings type, which knows nothing of params.yaml, for a video."""
    from tav.model.tune_settings import TuneSettings

    asked = params.tune_of(key).model_dump(exclude=NOT_OF_THE_MODEL | {"gradient_checkpointing"})
    return TuneSettings(
        **asked,
        gradient_checkpointing=gradient_checkpointing,
        adam8bit=adam8bit,
        precision=precision_of(params.compute, device),
    )


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


class Said(NamedTuple):
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
    words: "Said | None" = None,
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
        words: what `attention` and plug-and-play go by. None: both are left out.
        mask: f h w, of the frames. Outside of it the source's latents are put back at each step.
        attachments: what stands beside the UNet.
        first_frame: latents of a picture that shows the target already, 1 c h w: frame 0 stays this.
        reference: a picture beside the prompt.
        split_guidance: see `guided`.
        on_step: see OnStep.

    Raises:
        ValueError: words of `attention` that are not in the prompts.
    """
    from tav.model.ddim import ddim_sample
    from tav.model.denoiser import Network, guided
    from tav.model.first_frame import first_frame_path, hold_first_frame, with_first_frame
    from tav.model.masks import in_turn, source_outside
    from tav.model.source_branch import SourceBranch
    from tav.steps_from_params import start_of, take_of

    schedule, inverted, latents, noises = start_of(settings, pipe.scheduler, inverted)
    network, after = Network(pipe.unet, attachments), []
    with ExitStack() as stack:
        if reference is not None:
            stack.enter_context(reference.on(pipe.unet))
            target, negative = reference.shown(target), reference.not_shown(negative)
            words = words and words._replace(source=reference.not_shown(words.source))
        denoise = guided(network, target, negative, settings.guidance_scale, split=split_guidance)
        if words:
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
def _beside_the_source(pipe: Any, branch: "SourceBranch", words: Said, asked: Edit) -> "Iterator[AfterStep]":
    """Plug-and-Play, or Prompt-to-Prompt as it is asked for, on a pipeline's network."""
    from tav.model.plug_and_play import plug_and_play
    from tav.model.prompt_to_prompt import WordSettings, prompt_to_prompt

    if asked.method == "plug-and-play":
        with plug_and_play(pipe.unet, branch):
            yield lambda latents, step: latents
        return
    settings = WordSettings(**(asked.attention or Attention()).model_dump())
    with prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, (words.caption, words.prompt), settings) as control:
        yield control.after_step
