"""A pretrained image UNet becomes a video UNet, in place (paper, section 4.1).

Frames are folded into the batch: every tensor is `(b f) c h w`. Small subclasses are swapped in with
`module.__class__`, so that no parameter is renamed and whatever works on the image UNet works on the video UNet.

| official code (showlab/Tune-A-Video @7d4a89a, tuneavideo/models) | here |
| --- | --- |
| resnet.py, GroupNorm on `b c f h w`; unet.py, conv_norm_out | VideoGroupNorm |
| attention.py, SparseCausalAttention | SparseCausalAttention |
| attention.py, BasicTransformerBlock: attn_temp after the feed-forward | InflatedTransformerBlock |
| attention.py, attn_temp | TemporalAttention |
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from einops import rearrange
from torch import Tensor, nn

from tav.model.attention import Kernel, attention, sdpa

FrameAttention = Callable[[Tensor, Tensor, Tensor, int, Kernel], Tensor]
"""From query, key and value, all b f n (h d), and the number of heads, to b f n (h d)."""
BLOCKS = {"CrossAttnDownBlock2D", "DownBlock2D", "UNetMidBlock2DCrossAttn", "UpBlock2D", "CrossAttnUpBlock2D"}


class VideoGroupNorm(nn.GroupNorm):
    """Group norm whose statistics run over all frames of a video. (b f) c h w in and out."""

    num_frames: int

    def forward(self, hidden_states: Tensor) -> Tensor:
        video = rearrange(hidden_states, "(b f) c h w -> b c f h w", f=self.num_frames)
        return rearrange(super().forward(video), "b c f h w -> (b f) c h w")


class SparseCausalAttention(Attention):  # type: ignore[misc]
    """Self-attention of each frame to frame 0 and to the frame before it (paper, equation 4). (b f) n d in and out.

    It has its own forward: a processor may be replaced by another that knows nothing of frames.
    Each frame's keys and values are projected once.
    """

    num_frames: int
    kernel: Kernel = staticmethod(sdpa)
    sees: str = "sparse-causal"
    """Which frames: see SELF_ATTENTION."""

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        if encoder_hidden_states is not None or attention_mask is not None:
            raise ValueError("sparse-causal attention got a context or a mask; expected neither: it attends to frames")
        query, key, value = (
            rearrange(to(hidden_states), "(b f) n d -> b f n d", f=self.num_frames)
            for to in (self.to_q, self.to_k, self.to_v)
        )
        frames = SELF_ATTENTION[self.sees](query, key, value, self.heads, self.kernel)
        output: Tensor = self.to_out[0](rearrange(frames, "b f n d -> (b f) n d"))
        return output


class TemporalAttention(nn.Module):
    """Self-attention along the frames at each place of the picture (paper, section 4.1). (b f) n d in and out.

    Starts as zero, so that an inflated UNet starts as the image UNet. The official code zeroes the output's weight
    only and leaves its bias at random.
    """

    num_frames: int
    kernel: Kernel = staticmethod(sdpa)

    def __init__(self, width: int, heads: int, inner_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, inner_width, bias=False)
        self.to_k = nn.Linear(width, inner_width, bias=False)
        self.to_v = nn.Linear(width, inner_width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner_width, width)])
        for parameter in self.to_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden_states: Tensor) -> Tensor:
        tokens = rearrange(hidden_states, "(b f) n d -> (b n) f d", f=self.num_frames)
        query, key, value = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        output: Tensor = self.to_out[0](attention(query, key, value, self.heads, self.kernel))
        return rearrange(output, "(b n) f d -> (b f) n d", n=hidden_states.shape[1])


class InflatedTransformerBlock(BasicTransformerBlock):  # type: ignore[misc]
    """The image model's block with temporal attention, at its end as a rule. (b f) n d in and out."""

    temporal_after: str = "feed-forward"
    """One of TEMPORAL_AFTER."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        if self.temporal_after != "feed-forward":
            return self._with_temporal_within(*args, **kwargs)
        hidden_states: Tensor = super().forward(*args, **kwargs)
        return self._with_temporal(hidden_states)

    def _with_temporal(self, hidden_states: Tensor) -> Tensor:
        temporal: Tensor = self.attn_temp(self.norm_temp(hidden_states))
        return hidden_states + temporal

    def _with_temporal_within(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        *_: Any,
        **kwargs: Any,
    ) -> Tensor:
        """The parent's forward as Stable Diffusion's blocks have it, with temporal attention behind one of the two."""
        given = kwargs.get("cross_attention_kwargs") or {}
        states = self.attn1(self.norm1(hidden_states), attention_mask=attention_mask, **given) + hidden_states
        if self.temporal_after == "self-attention":
            states = self._with_temporal(states)
        context = {"encoder_hidden_states": encoder_hidden_states, "attention_mask": encoder_attention_mask}
        states = self.attn2(self.norm2(states), **context, **given) + states
        if self.temporal_after == "cross-attention":
            states = self._with_temporal(states)
        output: Tensor = self.ff(self.norm3(states)) + states
        return output


def sparse_causal_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, kernel: Kernel = sdpa) -> Tensor:
    """Each frame's queries on the keys and values of frame 0 and of the frame before. All b f n (h d).

    Frames 0 and 1 see frame 0 alone. (The official code gives it to them twice, which is the same: softmax shares
    the weight between the two.)
    """
    start, rest = query[:, :2], query[:, 2:]
    output = attention(rearrange(start, "b f n d -> b (f n) d"), key[:, 0], value[:, 0], heads, kernel)
    output = rearrange(output, "b (f n) d -> b f n d", f=start.shape[1])
    if not rest.shape[1]:
        return output
    keys, values = (
        rearrange([tokens[:, :1].expand_as(rest), tokens[:, 1:-1]], "two b f n d -> (b f) (two n) d")
        for tokens in (key, value)
    )
    others = attention(rearrange(rest, "b f n d -> (b f) n d"), keys, values, heads, kernel)
    return torch.cat([output, rearrange(others, "(b f) n d -> b f n d", b=len(query))], dim=1)


def own_frame_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, kernel: Kernel = sdpa) -> Tensor:
    """Each frame on itself, as in the image model. All b f n (h d)."""
    num_frames = query.shape[1]
    query, key, value = (rearrange(tokens, "b f n d -> (b f) n d") for tokens in (query, key, value))
    return rearrange(attention(query, key, value, heads, kernel), "(b f) n d -> b f n d", f=num_frames)


def full_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, kernel: Kernel = sdpa) -> Tensor:
    """Each frame on all frames (paper, section 4.1, as what costs too much). All b f n (h d)."""
    num_frames = query.shape[1]
    query, key, value = (rearrange(tokens, "b f n d -> b (f n) d") for tokens in (query, key, value))
    return rearrange(attention(query, key, value, heads, kernel), "b (f n) d -> b f n d", f=num_frames)


SELF_ATTENTION: dict[str, FrameAttention] = {
    "sparse-causal": sparse_causal_attention,
    "frame": own_frame_attention,
    "full": full_attention,
}
"""What a frame's self-attention may see. The first is the method's, the others are for ablations."""


def set_self_attention(unet: nn.Module, sees: str) -> None:
    """Say which frames the self-attention of an inflated UNet sees, in place. Raises ValueError."""
    if sees not in SELF_ATTENTION:
        raise ValueError(f"self-attention sees {sees!r}; expected one of {', '.join(SELF_ATTENTION)}")
    for module in unet.modules():
        if isinstance(module, SparseCausalAttention):
            module.sees = sees


def self_attention_of(unet: nn.Module) -> str:
    """See `set_self_attention`."""
    return next((module.sees for module in unet.modules() if isinstance(module, SparseCausalAttention)), "frame")


TEMPORAL_AFTER = ("feed-forward", "cross-attention", "self-attention")
"""Where temporal attention may stand in a block. The first is the method's."""


def set_temporal_after(unet: nn.Module, part: str) -> None:
    """Say behind which part of a block temporal attention stands, in place. Raises ValueError."""
    if part not in TEMPORAL_AFTER:
        raise ValueError(f"temporal attention after {part!r}; expected one of {', '.join(TEMPORAL_AFTER)}")
    for module in unet.modules():
        if isinstance(module, InflatedTransformerBlock):
            module.temporal_after = part


def temporal_after_of(unet: nn.Module) -> str:
    """See `set_temporal_after`."""
    blocks = (module.temporal_after for module in unet.modules() if isinstance(module, InflatedTransformerBlock))
    return next(blocks, TEMPORAL_AFTER[0])


def inflate(unet: UNet2DConditionModel, num_frames: int = 1, *, seed: int = 0) -> UNet2DConditionModel:
    """Make an image UNet a video UNet, in place, and return it.

    Adds `attn_temp` and `norm_temp` to each transformer block, in the UNet's dtype and on its device. Until it is
    tuned, temporal attention adds zero; group norms over the video and sparse-causal attention differ from the image
    UNet at once, save for a video of equal frames or of one frame.

    Args:
        unet: of Stable Diffusion 1, 2 or XL, loaded.
        num_frames: frames of a video; `set_num_frames` changes it.
        seed: of the new projections' weights. The global random state is neither read nor changed.

    Raises:
        TypeError: another kind of model.
        ValueError: inflated already.
    """
    _check(unet)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for module in list(unet.modules()):
            if isinstance(module, ResnetBlock2D):
                module.norm1.__class__ = module.norm2.__class__ = VideoGroupNorm
            elif isinstance(module, BasicTransformerBlock):
                _inflate_block(module)
    unet.conv_norm_out.__class__ = VideoGroupNorm
    unet._repeated_blocks = unet._no_split_modules = ["InflatedTransformerBlock"]  # of compile and of device_map
    set_num_frames(unet, num_frames)
    return unet


def set_num_frames(unet: nn.Module, num_frames: int) -> None:
    """Say how many frames a video has, in place. A batch holds `b * num_frames` pictures, video by video."""
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}; expected 1 or more")
    for module in unet.modules():
        if isinstance(module, VideoGroupNorm | SparseCausalAttention | TemporalAttention):
            module.num_frames = num_frames


def is_inflated(unet: nn.Module) -> bool:
    return any(isinstance(module, InflatedTransformerBlock) for module in unet.modules())


def _check(unet: nn.Module) -> None:
    expected = "expected the UNet2DConditionModel of Stable Diffusion 1, 2 or XL"
    if not isinstance(unet, UNet2DConditionModel):
        raise TypeError(f"inflate got a {type(unet).__name__}; {expected}")
    config = unet.config
    odd = {*config.down_block_types, config.mid_block_type, *config.up_block_types} - BLOCKS
    if odd or unet.conv_norm_out is None:
        raise TypeError(f"inflate got a UNet with {', '.join(sorted(map(str, odd))) or 'no conv_norm_out'}; {expected}")
    if is_inflated(unet):
        raise ValueError("the UNet is inflated already; set_num_frames changes the number of frames")


def _inflate_block(block: BasicTransformerBlock) -> None:
    to_q = block.attn1.to_q
    block.__class__ = InflatedTransformerBlock
    block.attn1.__class__ = SparseCausalAttention
    attn_temp = TemporalAttention(to_q.in_features, block.attn1.heads, to_q.out_features)
    block.attn_temp = attn_temp.to(to_q.weight)
    block.norm_temp = nn.LayerNorm(to_q.in_features).to(to_q.weight)
