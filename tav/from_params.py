"""The base model as params.yaml asks for it: loaded, on its device, a video model, and run in its way."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.params import Compute, Params, told

if TYPE_CHECKING:
    import torch


def open_base(params: Params, *, tuned: Path | None = None, seed: int = 0) -> Any:
    """A diffusers pipeline with an inflated UNet. Raises UserError.

    Args:
        params: its `base` and `compute` count.
        tuned: weights to load into the UNet. None: it is as inflated.
        seed: of the inflated UNet's new weights.
    """
    from tav.model.device import best_device
    from tav.model.inflation import inflate
    from tav.model.pretrained import identity, load_pipeline
    from tav.model.tuned_weights import load_tuned_weights

    base, compute = params.base, params.compute
    with told():
        device = best_device()
        dtype = dtype_of(compute, device)
        pipe = load_pipeline(
            base.place, revision=base.revision, config=base.config, loras=base.fused, dtype=dtype, device=device
        )
        if tuned is None:
            inflate(pipe.unet, seed=seed)
        else:
            load_tuned_weights(pipe.unet, tuned, base=identity(base.place, base.revision, loras=base.fused))
        _set_up(pipe.unet, compute, dtype)
    return pipe


def _set_up(unet: Any, compute: Compute, dtype: "torch.dtype") -> None:
    if compute.attention == "xformers":
        from tav.model.xformers_attention import use_xformers

        if refused := use_xformers(unet, dtype):
            print(refused, flush=True)
    if compute.token_merging:
        from tav.model.token_merging import merge_tokens

        merge_tokens(unet, compute.token_merging)
    if compute.compile:
        from tav.model.compilation import compile_blocks

        compile_blocks(unet)


def told_cut(stage: str, pipe: Any, prompt: str) -> str:
    """The end of a prompt that the text encoder has no room for; told on stderr where there is one."""
    from tav.model.prompts import words_cut

    cut = words_cut(pipe, prompt)
    if cut:
        room = pipe.tokenizer.model_max_length
        print(f"{stage}: the prompt is longer than the {room} tokens that count; cut off: {cut[:200]}", file=sys.stderr)
    return cut


def precision_of(compute: Compute, device: str) -> str:
    """fp32, bf16 or fp16: what `auto` comes to on a device."""
    import torch

    if compute.precision != "auto":
        return compute.precision
    if torch.device(device).type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def dtype_of(compute: Compute, device: str) -> "torch.dtype":
    from tav.model.tuning import DTYPES

    return DTYPES[precision_of(compute, device)]
