"""Scaled dot-product attention by torch's fused kernels, or by another that takes their place."""

from collections.abc import Callable

from einops import rearrange
from torch import Tensor
from torch.nn import functional

Kernel = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From query b h n d, key and value b h m d, and the scale of the scores, to b h n d."""


def sdpa(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Torch's own kernel. See Kernel."""
    return functional.scaled_dot_product_attention(query, key, value, scale=scale)


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, kernel: Kernel = sdpa) -> Tensor:
    """query b n (h d); key, value b m (h d); returns b n (h d). Scores are never materialised."""
    query, key, value = (rearrange(tokens, "b n (h d) -> b h n d", h=heads) for tokens in (query, key, value))
    return rearrange(kernel(query, key, value, query.shape[-1] ** -0.5), "b h n d -> b n (h d)")
