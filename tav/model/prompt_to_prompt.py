"""Prompt-to-Prompt (Hertz et al. 2022, arXiv 2208.01626): an edit that keeps the source's attention where words agree.

| paper, and google/prompt-to-prompt @9c472e4 | here |
| --- | --- |
| word swap, prompt refinement (sections 3.1 and 3.2) | alignment.py; for the first `cross_replace` of the steps |
| the source's self-attention maps (`self_replace_steps`) | its queries and keys, which comes to the same |
| re-weighting (section 3.3; not normalised again) | `amplify`; at all steps, there in those of `cross_replace` |
| local blend (`LocalBlend`) | `blend`; the source's latents are the inversion's |
| a sampled source branch; null-text in Video-P2P | the inversion's own latents |

The official code replaces self-attention up to 16 x 16 places only. Here it is all sparse-causal attention.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from tav.model.alignment import Alignment, align, chosen, weights_of
from tav.model.cross_attention import WordMaps, cross_attention_through
from tav.model.denoiser import DiffusionStep
from tav.model.masks import blend, mask_of_maps
from tav.model.source_branch import SourceBranch, first_share, following

BLEND_AFTER = 0.2
"""Share of the steps after which latents are blended: before, the maps say little (Video-P2P's and the official)."""


@dataclass(frozen=True)
class WordSettings:
    cross_replace: float = 0.4
    """Share of the steps, from the first, in which words that both prompts have take the source's maps."""
    self_replace: float = 0.3
    """Share of the steps in which self-attention is the source's."""
    amplify: Mapping[str, float] = field(default_factory=dict)
    """What the maps of words of the target are multiplied with."""
    blend: Sequence[str] = ()
    """Words, of either prompt, whose places may change. None: all places."""
    threshold: float = 0.3
    """For `blend`. See mask_of_maps."""


@dataclass
class PromptToPrompt:
    """Looks at the maps of a SourceBranch's batch, whose first row is the source and whose last the edit."""

    branch: SourceBranch
    settings: WordSettings
    alignment: Alignment
    weights: Tensor
    """m, of the target's tokens."""
    seen: WordMaps | None
    """Of the words to blend by. None: no blend."""

    def rows(self) -> tuple[int, list[int]]:
        videos = self.branch.videos
        return videos, [0, videos - 1] if videos > 1 and self._reads_maps() else []

    def use(self, maps: Tensor) -> Tensor:
        source, target = maps
        if self._replaces(self._step):
            target = self.alignment(source, target)
        maps = torch.stack([source, target * self.weights.to(target)])
        if self.seen is not None:
            self.seen.add(maps, self._step.frames)
        return maps

    def after_step(self, latents: Tensor, step: DiffusionStep) -> Tensor:
        """The source's latents again where neither prompt's words to blend by are. See AfterStep."""
        if self.seen is None or step.index + 1 <= BLEND_AFTER * step.count:
            return latents
        source = self.branch.source_latents(step, step.steps_left - 1).to(latents)
        return blend(source, latents, self.mask(*latents.shape[-2:])[:, None])

    def mask(self, height: int, width: int) -> Tensor:
        """Where the blend lets the video change, by the maps so far: f height width."""
        assert self.seen is not None
        source, target = (
            mask_of_maps(maps, height, width, self.settings.threshold) for maps in self.seen.read(height, width)
        )
        return torch.maximum(source, target)

    def needs_source(self, step: DiffusionStep) -> bool:
        changes = self.seen is not None or bool(self.settings.amplify)
        return changes or self._replaces(step) or first_share(self.settings.self_replace)(step)

    @contextmanager
    def on(self, unet: nn.Module) -> Iterator[None]:
        """Within, the branch's network does as is asked. Afterwards it is as it was."""
        replaced = first_share(self.settings.self_replace)
        with cross_attention_through(self, unet), following(self.branch, queries_and_keys(unet), replaced):
            yield

    @property
    def _step(self) -> DiffusionStep:
        assert self.branch.step is not None
        return self.branch.step

    def _replaces(self, step: DiffusionStep) -> bool:
        return first_share(self.settings.cross_replace)(step)

    def _reads_maps(self) -> bool:
        return self.seen is not None or bool(self.settings.amplify) or self._replaces(self._step)


@contextmanager
def prompt_to_prompt(
    unet: nn.Module, branch: SourceBranch, tokenizer: Any, prompts: tuple[str, str], settings: WordSettings
) -> Iterator[PromptToPrompt]:
    """Put it on a network; afterwards this is as it was, bit for bit. Sample with the branch, and with `after_step`.

    Args:
        unet: the branch's. Inflated, or an image UNet.
        branch: whose `needed` is set here.
        tokenizer: the first one, where there are two.
        prompts: the source's and the target's.
        settings: see there.

    Raises:
        ValueError: words that are not in the prompts.
    """
    source, target = prompts
    marks = chosen(tokenizer, [source, target], list(settings.blend))
    seen = WordMaps(marks, branch.inverted.latents.shape[1]) if settings.blend else None
    weights = weights_of(tokenizer, target, dict(settings.amplify))
    control = PromptToPrompt(branch, settings, align(tokenizer, source, target), weights, seen)
    branch.needed = control.needs_source
    with control.on(unet):
        yield control


def queries_and_keys(module: nn.Module) -> list[nn.Module]:
    """The projections of all self-attention in the picture, in the order of the network."""
    blocks = [block for block in module.modules() if isinstance(block, BasicTransformerBlock)]
    return [projection for block in blocks for projection in (block.attn1.to_q, block.attn1.to_k)]
