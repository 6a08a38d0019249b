"""xformers' memory-efficient attention in an inflated UNet, once it has been seen to be right there."""

from typing import Any

import torch
from torch import Tensor, nn

from tav.model.attention import Kernel, attention, sdpa
from tav.model.inflation import InflatedTransformerBlock

TOLERANCE = {torch.float32: 2e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Of the largest value; room for TF32."""


class CrossAttentionProcessor:
    """diffusers' cross attention to the prompt, by a kernel of ours. (b f) n d in and out."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        if attention_mask is not None:
            raise ValueError("cross attention got a mask; expected none: every token of the prompt is attended to")
        key, value = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        output: Tensor = attn.to_out[0](attention(attn.to_q(hidden_states), key, value, attn.heads, self.kernel))
        return output


def use_xformers(unet: nn.Module, dtype: torch.dtype) -> str | None:
    """Put all attention of an inflated UNet through xformers, in place, if a probe on its device finds it right.

    Args:
        unet: inflated, on the device where it will run.
        dtype: what attention will run in.

    Returns:
        None; or, where nothing was changed, a line that says why.
    """
    try:
        from xformers.ops import memory_efficient_attention
    except Exception as error:  # a build for another torch may raise anything
        return _kept(f"it can't be imported ({_first_line(error)}); pip install -e '.[xformers]'")

    def kernel(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        query, key, value = (tokens.transpose(1, 2) for tokens in (query, key, value))
        output: Tensor = memory_efficient_attention(query, key, value, scale=scale)
        return output.transpose(1, 2)

    return use_kernel(unet, kernel, dtype)


def use_kernel(unet: nn.Module, kernel: Kernel, dtype: torch.dtype) -> str | None:
    """use_xformers, for any kernel."""
    blocks = [module for module in unet.modules() if isinstance(module, InflatedTransformerBlock)]
    attentions = [part for block in blocks for part in (block.attn1, block.attn2, block.attn_temp)]
    device = next(unet.parameters()).device
    for width in sorted({part.to_q.out_features // part.heads for part in attentions}):
        fault = probe(kernel, width, device, dtype)
        if fault is not None:
            return _kept(f"on {device.type}, {str(dtype)[6:]}, heads {width} wide, {fault}")
    for block in blocks:
        block.attn1.kernel = block.attn_temp.kernel = kernel
        block.attn2.set_processor(CrossAttentionProcessor(kernel))
    return None


def probe(kernel: Kernel, width: int, device: torch.device, dtype: torch.dtype) -> str | None:
    """What is wrong with a kernel, forward or backward, against SDPA in float32. None: nothing.

    The official project's users lost weeks to builds of xformers whose gradients were missing or wrong: tuning ran
    to its end and had learned nothing.
    """
    generator = torch.Generator().manual_seed(0)
    query, key, value, upstream = (
        torch.randn(2, 3, tokens, width, generator=generator).to(device, dtype) for tokens in (64, 77, 77, 64)
    )
    expected = _output_and_gradients(sdpa, query.float(), key.float(), value.float(), upstream.float())
    try:
        got = _output_and_gradients(kernel, query, key, value, upstream)
    except Exception as error:
        return f"it fails ({_first_line(error)})"
    for name, a, b in zip(("output", "gradient of q", "gradient of k", "gradient of v"), got, expected, strict=True):
        if not a.any():
            return f"its {name} is zero or missing"
        off = ((a.float() - b).abs().max() / b.abs().max()).item()
        if not off <= TOLERANCE[dtype]:  # nor is NaN
            return f"its {name} is off SDPA's by {off:.2g} of the largest value"
    return None


def _output_and_gradients(kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, upstream: Tensor) -> list[Tensor]:
    """A gradient that is missing comes as zero."""
    query, key, value = (tokens.detach().requires_grad_() for tokens in (query, key, value))
    with torch.enable_grad():
        output = kernel(query, key, value, query.shape[-1] ** -0.5)
        whole = output + 0 * query.sum()  # is in the graph, also where the output is not
        gradients = torch.autograd.grad(whole, (query, key, value), upstream, materialize_grads=True)
    return [output, *gradients]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(":")


def _kept(why: str) -> str:
    return f"xformers is left out, and attention stays with SDPA: {why}"
