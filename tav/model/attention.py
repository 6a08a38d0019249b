"""Scaled dot-product attention by torch's fused kernels, or by another that takes their place."""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from tav.model.narrow_heads import WIDTH, NarrowAttention, pad_heads

Kernel = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From query b h n d, key and value b h m d, and the scale of the scores, to b h n d."""


def fused(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Torch's own kernel, as it is. See Kernel."""
    return functional.scaled_dot_product_attention(query, key, value, scale=scale)


def padded(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Torch's own kernel on heads that are widened to 16, for those narrower. See Kernel."""
    return fused(pad_heads(query), pad_heads(key), pad_heads(value), scale)[..., : query.shape[-1]]


def sdpa(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Torch's own kernel, with narrow heads on a CPU in ways that are faster. See Kernel."""
    if query.device.type != "cpu" or not query.shape[-1] < WIDTH <= key.shape[2]:
        return fused(query, key, value, scale)
    # On more threads, waking them for each tile costs what tiles save.
    tiles = torch.get_num_threads() == 1 and query.dtype == torch.float32 and not torch.compiler.is_compiling()
    if tiles and torch.is_grad_enabled():
        output: Tensor = NarrowAttention.apply(query, key, value, scale)  # type: ignore[no-untyped-call]
        return output
    return padded(query, key, value, scale)


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, kernel: Kernel = sdpa) -> Tensor:
    """query b n (h d); key, value b m (h d); returns b n (h d). Scores are never materialised."""
    query, key, value = (rearrange(tokens, "b n (h d) -> b h n d", h=heads) for tokens in (query, key, value))
    return rearrange(kernel(query, key, value, query.shape[-1] ** -0.5), "b h n d -> b n (h d)")
