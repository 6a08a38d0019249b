"""The base as params.yaml asks for it: with its inflated UNet, in its precision, and tuned where weights are given."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.from_params.loaded_base import identity_of, loaded
from tav.params import Compute, Lora, Params, user_errors

if TYPE_CHECKING:
    import torch

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
    from tav.from_params.steps import add, added_to_tuned
    from tav.model.inflation import inflate
    from tav.model.options import apply
    from tav.model.tuned_weights import load_tuned_weights

    compute = params.compute
    pipe, dtype = open_as_it_is(params, loras)
    with user_errors():
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


def open_as_it_is(params: Params, loras: Sequence[Lora] = ()) -> "tuple[Any, torch.dtype]":
    """The pipeline as it is loaded, with LoRAs beside the base's own, and the dtype that its UNet runs in."""
    from tav.model.device import best_device

    with user_errors():
        device = best_device()
        dtype = dtype_of(params.compute, device)
        base = params.base.model_copy(update={"loras": (*params.base.loras, *loras)}) if loras else params.base
        return loaded(base, dtype, device), dtype


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


NOT_OF_THE_MODEL = {"control", "sample_every", "save_precision", "prior_pictures"}
"""Knobs of `tune` that are the stage's own."""


def tuning_settings(
    params: Params, key: str, device: str, gradient_checkpointing: bool, adam8bit: bool
) -> "TuneSettings":
    """The model's own settings type, which knows nothing of params.yaml, for a video."""
    from tav.model.tune_settings import TuneSettings

    knobs = params.tune_of(key)
    return TuneSettings(
        **knobs.model_dump(exclude=NOT_OF_THE_MODEL | {"gradient_checkpointing"}),
        pictures_weight=knobs.prior_pictures.weight if knobs.prior_pictures else 0.0,
        gradient_checkpointing=gradient_checkpointing,
        adam8bit=adam8bit,
        precision=precision_of(params.compute, device),
    )


def warn_of_cut(stage: str, pipe: Any, prompt: str) -> str:
    """The end of a prompt that the text encoder has no room for; told on stderr where there is one."""
    from tav.model.prompts import words_cut

    cut = words_cut(pipe, prompt)
    if cut:
        room = pipe.tokenizer.model_max_length
        print(f"{stage}: the prompt is longer than the {room} tokens that count; cut off: {cut[:200]}", file=sys.stderr)
    return cut
