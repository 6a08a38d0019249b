"""Plug-and-Play (Tumanyan et al. 2022, arXiv 2211.12572): an edit on the source's features and self-attention.

As in TokenFlow's code (omerbt/TokenFlow @5dd6a69, tokenflow_pnp.py and config_pnp.yaml), from the decoder: the queries
and keys of self-attention for the first half of the steps, and the output of one residual block's last convolution for
the first 0.8 of them. Both halves of guidance follow. On an inflated UNet it is a method for videos, on an image UNet
it is the paper's baseline, each frame alone.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from tav.model.prompt_to_prompt import queries_and_keys
from tav.model.source_branch import SourceBranch, first_share, following

ATTENTION = 0.5
FEATURES = 0.8


@contextmanager
def plug_and_play(
    unet: Any, branch: SourceBranch, *, attention: float = ATTENTION, features: float = FEATURES
) -> Iterator[None]:
    """Put it on a network; afterwards this is as it was, bit for bit. Sample with the branch.

    Args:
        unet: the branch's. Inflated, or an image UNet.
        branch: whose `needed` and `negative_follows` are set here.
        attention: share of the steps, from the first, with the source's self-attention.
        features: share of the steps with the source's features.
    """
    branch.negative_follows = True
    branch.needed = first_share(max(attention, features))
    with ExitStack() as stack:
        stack.enter_context(following(branch, _decoder_attention(unet), first_share(attention)))
        stack.enter_context(following(branch, [_feature_layer(unet)], first_share(features)))
        yield


def _decoder_attention(unet: Any) -> list[nn.Module]:
    """All but the first one's: SD 1 has nine, of which blocks 4 to 11 of the paper have eight."""
    return queries_and_keys(unet.up_blocks)[2:]


def _feature_layer(unet: Any) -> nn.Module:
    """The paper's block 4 of SD 1. Before the shortcut is added, as in the official code."""
    convolution: nn.Module = unet.up_blocks[1].resnets[1].conv2
    return convolution
