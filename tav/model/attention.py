"""Scaled dot-product attention by torch's fused kernels."""

from einops import rearrange
from torch import Tensor
from torch.nn import functional

CPU_HEAD_WIDTH = 16
"""Torch's CPU kernel takes half the time for narrower heads when they are padded to this (docs/performance.md)."""


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """query b n (h d); key, value b m (h d); returns b n (h d). Scores are never materialised."""
    width = query.shape[-1] // heads
    query, key, value = (rearrange(tokens, "b n (h d) -> b h n d", h=heads) for tokens in (query, key, value))
    if query.device.type == "cpu" and width < CPU_HEAD_WIDTH <= key.shape[2]:
        query, key, value = (functional.pad(tokens, (0, CPU_HEAD_WIDTH - width)) for tokens in (query, key, value))
    output = functional.scaled_dot_product_attention(query, key, value, scale=width**-0.5)
    return rearrange(output[..., :width], "b h n d -> b n (h d)")
