"""Token merging (Bolya and Hoffman 2023, arXiv 2303.17604) in sparse-causal attention, with its authors' tomesd.

tomesd.apply_patch would put a copy of diffusers' block in the place of ours, without temporal attention; so only its
matching is used here.
"""

from importlib.util import find_spec
from typing import Any

from diffusers import Transformer2DModel, UNet2DConditionModel
from einops import rearrange
from torch import Tensor

from tav.model.inflation import SparseCausalAttention
from tav.model.size import Size

STRIDE = 2
"""One token of 2x2 stays, and others may be merged into it, so at most three quarters are merged."""
LARGEST_RATIO = 1 - 1 / STRIDE**2


class MergingAttention(SparseCausalAttention):
    """Sparse-causal attention among fewer tokens: those most alike are averaged before, and get one output after.

    Tokens are matched once a video, by all its frames together: what is merged in one frame and not in the next
    would flicker. Nothing is random.
    """

    ratio: float
    size: Size
    """In tokens."""

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        from tomesd.merge import bipartite_soft_matching_random2d

        video = rearrange(hidden_states, "(b f) n d -> b n (f d)", f=self.num_frames)
        height, width = self.size
        merged = int(video.shape[1] * self.ratio)
        merge, unmerge = bipartite_soft_matching_random2d(video, width, height, STRIDE, STRIDE, merged, no_rand=True)
        fewer = rearrange(merge(video), "b n (f d) -> (b f) n d", f=self.num_frames)
        output = rearrange(super().forward(fewer, *args, **kwargs), "(b f) n d -> b n (f d)", f=self.num_frames)
        whole: Tensor = unmerge(output)
        return rearrange(whole, "b n (f d) -> (b f) n d", f=self.num_frames)


class MergingTransformer(Transformer2DModel):  # type: ignore[misc]
    """Tells its attention the size of the picture, (b f) c h w, before this becomes a row of tokens."""

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        for block in self.transformer_blocks:
            block.attn1.size = Size(*hidden_states.shape[-2:])
        return super().forward(hidden_states, *args, **kwargs)


def merge_tokens(unet: UNet2DConditionModel, ratio: float) -> None:
    """Merge tokens around the sparse-causal attention of an inflated UNet's finest level, in place.

    That level has the most tokens, and nearly all of the cost (tomesd's max_downsample=1).

    Args:
        unet: inflated.
        ratio: share of the tokens that is merged: 0 (nothing changes) to 0.75.

    Raises:
        ValueError: another ratio; tomesd is not installed.
    """
    if not 0 <= ratio <= LARGEST_RATIO:
        raise ValueError(f"token merging got a ratio of {ratio}; expected 0 to {LARGEST_RATIO}")
    if ratio and find_spec("tomesd") is None:
        raise ValueError(
            "token merging needs tomesd, which is not installed: pip install -e '.[tomesd]', or set it to 0"
        )
    for transformer in _finest_transformers(unet):
        transformer.__class__ = MergingTransformer if ratio else Transformer2DModel
        for block in transformer.transformer_blocks:
            block.attn1.__class__ = MergingAttention if ratio else SparseCausalAttention
            block.attn1.ratio = ratio


def _finest_transformers(unet: UNet2DConditionModel) -> list[Transformer2DModel]:
    """Of the first down block that has any, and of the up block that mirrors it."""
    level = next(level for level, block in enumerate(unet.down_blocks) if hasattr(block, "attentions"))
    return [*unet.down_blocks[level].attentions, *unet.up_blocks[-1 - level].attentions]
