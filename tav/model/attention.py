"""Scaled dot-product attention by torch's fused kernels, or by another that takes their place."""

from collections.abc import Callable

from einops import rearrange
from torch import Tensor
from torch.nn import functional

Kernel = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From query b h n d, key and value b h m d, and the scale of the scores, to b h n d."""
CPU_HEAD_WIDTH = 16
"""Torch's CPU kernel takes half the time for narrower heads when they are padded to this (docs/performance.md)."""


def sdpa(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Torch's own kernel. See Kernel."""
    width = query.shape[-1]
    if query.device.type == "cpu" and width < CPU_HEAD_WIDTH <= key.shape[2]:
        query, key, value = (functional.pad(tokens, (0, CPU_HEAD_WIDTH - width)) for tokens in (query, key, value))
    return functional.scaled_dot_product_attention(query, key, value, scale=scale)[..., :width]


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, kernel: Kernel = sdpa) -> Tensor:
    """query b n (h d); key, value b m (h d); returns b n (h d). Scores are never materialised."""
    query, key, value = (rearrange(tokens, "b n (h d) -> b h n d", h=heads) for tokens in (query, key, value))
    return rearrange(kernel(query, key, value, query.shape[-1] ** -0.5), "b h n d -> b n (h d)")
