"""Ways to run an inflated UNet that are not the method's: other kernels, fewer tokens, compiled blocks."""

from typing import Any, Literal

import torch
from torch import Tensor


def apply(
    unet: Any,
    dtype: torch.dtype,
    *,
    attention: Literal["sdpa", "xformers"] = "sdpa",
    token_merging: float = 0.0,
    compiled: bool = False,
) -> None:
    """Set an inflated UNet up, in place. What can't be had and changes no result is told and left out.

    Args:
        unet: inflated.
        dtype: that it will be run in.
        attention: whose kernel.
        token_merging: share of the tokens that self-attention merges at the finest level.
        compiled: torch.compile of its blocks.

    Raises:
        ValueError: what was asked for is not installed, or out of range.
    """
    if attention == "xformers":
        from tav.model.options.xformers_attention import use_xformers

        if refused := use_xformers(unet, dtype):
            print(refused, flush=True)
    if token_merging:
        from tav.model.options.token_merging import merge_tokens

        merge_tokens(unet, token_merging)
    if compiled:
        from tav.model.options.compilation import compile_blocks

        compile_blocks(unet)


def mark_of(unet: Any) -> Tensor:
    """What of the options changes results, as numbers: a run under others is another run."""
    from tav.model.options.token_merging import MergingAttention

    return torch.tensor([part.ratio for part in unet.modules() if isinstance(part, MergingAttention)])
