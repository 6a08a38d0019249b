"""Cross-attention whose maps are built, so that they can be read and changed: how much each place looks at each word.

Of the videos that are asked for alone; the others of a batch go through what was there before, fused as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, Protocol

import torch
from diffusers.models.attention import BasicTransformerBlock
from einops import rearrange
from torch import Tensor, nn

from tav.model.attention import sdpa

FINE = 24 * 24
"""Word maps are read from the finest layers of at most so many places, or from the coarsest. The official code takes
16 x 16, of the one size that it is made for."""
KEPT = 32 * 32
"""Finer layers' word maps aren't kept: they say little of shapes, and take memory."""


class MapUser(Protocol):
    """What looks at maps."""

    def rows(self) -> tuple[int, list[int]]:
        """How many videos the batch holds, and for which of them maps are built: none, and all stays as it was."""

    def use(self, maps: Tensor) -> Tensor:
        """From those videos' maps, v f heads n m (n places, m tokens), to the maps that count."""


@contextmanager
def cross_attention_through(user: MapUser, unet: nn.Module) -> Iterator[None]:
    """Within, the network's cross-attention maps go through `user`. Afterwards it is as it was before."""
    layers = [block.attn2 for block in unet.modules() if isinstance(block, BasicTransformerBlock)]
    before = [layer.processor for layer in layers]
    for layer in layers:
        layer.set_processor(_MapProcessor(user, layer.processor))
    try:
        yield
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.set_processor(processor)


class _MapProcessor:
    """A processor of diffusers' Attention. (v f) n d in and out."""

    def __init__(self, user: MapUser, stock: Any) -> None:
        self.user = user
        self.stock = stock

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | tuple[Tensor, list[Tensor]],
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """encoder_hidden_states: the prompt's; or these and those of a reference picture, [(v f) 1 m d]."""
        videos, rows = self.user.rows()
        if not rows:
            output: Tensor = self.stock(attn, hidden_states, encoder_hidden_states, attention_mask)
            return output
        if attention_mask is not None:
            raise ValueError("cross-attention got a mask; expected none: every token of the prompt is attended to")
        given = encoder_hidden_states if isinstance(encoder_hidden_states, tuple) else (encoder_hidden_states, [])
        parts = [rearrange(part, "(v f) ... -> v f ...", v=videos) for part in (hidden_states, given[0], *given[1])]
        output = torch.empty_like(parts[0])
        output[rows] = self._mapped(attn, *(part[rows] for part in parts))
        if others := [row for row in range(videos) if row not in rows]:
            states, context, *picture = (part[others].flatten(0, 1) for part in parts)
            stock = self.stock(attn, states, (context, picture) if picture else context, None)
            output[others] = stock.unflatten(0, (len(others), -1))
        return output.flatten(0, 1)

    def _mapped(self, attn: Any, states: Tensor, context: Tensor, picture: Tensor | None = None) -> Tensor:
        """v f n d, v f m d and v f 1 m d in, v f n d out."""
        query, key, value = (
            rearrange(part, "v f n (h d) -> v f h n d", h=attn.heads)
            for part in (attn.to_q(states), attn.to_k(context), attn.to_v(context))
        )
        maps = self.user.use((query @ key.mT * attn.scale).softmax(-1))
        mixed = maps @ value
        if picture is not None:  # as diffusers' IPAdapterAttnProcessor2_0 does
            key, value = (
                rearrange(to[0](picture), "v f 1 m (h d) -> v f h m d", h=attn.heads)
                for to in (self.stock.to_k_ip, self.stock.to_v_ip)
            )
            mixed = mixed + self.stock.scale[0] * sdpa(query, key, value, attn.scale)
        output: Tensor = attn.to_out[0](rearrange(mixed, "v f h n d -> v f n (h d)"))
        return output


class WordMaps:
    """How much each place of each frame looks at some words, summed over heads, layers and steps."""

    def __init__(self, marks: Tensor, num_frames: int) -> None:
        """marks: which tokens count, of each of v prompts: v m."""
        self.marks = marks
        self.num_frames = num_frames
        self._sums: dict[int, Tensor] = {}

    def add(self, maps: Tensor, frames: Tensor | None = None) -> None:
        """Maps of a layer, v f heads n m; `frames`: which of the video these are."""
        videos, _, heads, places, _ = maps.shape
        if places > KEPT:
            return
        words = torch.einsum("vfhnm,vm->vfn", maps, self.marks.to(maps)).float() / heads
        if places not in self._sums:
            self._sums[places] = words.new_zeros(videos, self.num_frames, places)
        where = torch.arange(self.num_frames) if frames is None else frames
        self._sums[places].index_add_(1, where.to(words.device), words)

    def read(self, height: int, width: int) -> Tensor:
        """v f h w, h and w of the layers. height and width: the latents'. Raises ValueError where nothing was kept."""
        if not self._sums:
            raise ValueError(
                f"no layer of the network has {KEPT} places or fewer; word maps need one: use a smaller size"
            )
        fine = [places for places in self._sums if places <= FINE]
        places = max(fine) if fine else min(self._sums)
        h, w = _shape(places, height, width)
        return rearrange(self._sums[places], "v f (h w) -> v f h w", h=h, w=w)


def _shape(places: int, height: int, width: int) -> tuple[int, int]:
    """The height and width of a layer, which is the latents' halved some times."""
    while height * width > places:
        height, width = ceil(height / 2), ceil(width / 2)
    if height * width != places:
        raise ValueError(f"a layer of {places} places; expected latents halved some times")
    return height, width
