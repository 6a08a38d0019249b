"""Attention of narrow heads on one thread of a CPU, where torch's own takes up to three times as long.

Measured in docs/performance.md.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

WIDTH = 16
"""Torch's kernel takes half the time for narrower heads when they are padded to this."""
TILE = (8, 256, 512)
"""Heads, queries and keys that the backward pass takes at a time. Two such tiles of scores stay in the cache."""
LOG2_E = math.log2(math.e)


def pad_heads(tokens: Tensor) -> Tensor:
    """b h n d to b h n WIDTH."""
    return functional.pad(tokens, (0, WIDTH - tokens.shape[-1]))


class NarrowAttention(torch.autograd.Function):
    """Torch's fused attention of padded heads, and a backward pass in tiles (Dao et al. 2022, arXiv 2205.14135).

    In the backward pass heads are not padded, and products are transposed where that makes them wider, which is what
    a matrix product on a CPU is fast at. query b h n d; key, value b h m d; returns b h n d.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        padded = (pad_heads(tokens) for tokens in (query, key, value))
        output: Tensor
        output, log_sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*padded, scale=scale)
        output = output[..., : query.shape[-1]]
        ctx.save_for_backward(query, key, value, output, log_sums)
        ctx.scale = scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        heads = upstream.shape[1]
        query, key, value, output, log_sums, upstream = (part.flatten(0, 1) for part in (*ctx.saved_tensors, upstream))
        # One more column subtracts: the log of the sum, which makes of the scores their softmax, and each query's
        # inner product of output and gradient, which makes of the softmax's gradient the scores'.
        score_left = torch.cat([query * (ctx.scale * LOG2_E), log_sums[..., None] * -LOG2_E], -1)
        slope_left = torch.cat([upstream, -(upstream * output).sum(-1, keepdim=True)], -1)
        score_right, slope_right = (functional.pad(tokens, (0, 1), value=1).mT.contiguous() for tokens in (key, value))
        query, key, upstream = (tokens.mT.contiguous() for tokens in (query, key, upstream))
        grad_query, grad_key, grad_value = (torch.zeros_like(tokens) for tokens in (query, key, key))
        wants_query, wants_key, wants_value, _ = ctx.needs_input_grad
        size = len(query), query.shape[2], key.shape[2]
        scratch = query.new_empty(2, math.prod(map(min, TILE, size)))
        for g, i, j in _tiles(size):
            left, right = score_left[g, i], score_right[g, :, j]
            tile = (*left.shape[:2], right.shape[2])
            weights, slopes = (part[: math.prod(tile)].view(tile) for part in scratch)
            torch.bmm(left, right, out=weights).exp2_()  # a quarter of exp's time
            if wants_value:
                grad_value[g, :, j].baddbmm_(upstream[g, :, i], weights)
            torch.bmm(slope_left[g, i], slope_right[g, :, j], out=slopes).mul_(weights)
            if wants_key:
                grad_key[g, :, j].baddbmm_(query[g, :, i], slopes)
            if wants_query:
                grad_query[g, :, i].baddbmm_(key[g, :, j], slopes.mT)
        gradients = (grad_query.mul_(ctx.scale), grad_key.mul_(ctx.scale), grad_value)
        return (*(rearrange(part, "(b h) d n -> b h n d", h=heads) for part in gradients), None)


def _tiles(size: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    parts = ([slice(at, at + part) for at in range(0, whole, part)] for whole, part in zip(size, TILE, strict=True))
    return itertools.product(*parts)
