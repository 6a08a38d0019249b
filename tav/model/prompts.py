"""Prompts as a UNet takes them, of every kind of Stable Diffusion."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tav.model.size import Size

Condition = dict[str, Tensor]
"""What a UNet takes beside the prompt, its added_cond_kwargs: SDXL's text_embeds (b d) and time_ids (b 6); the
image_embeds (b 1 d, b 1 n d) of a reference picture."""

IMAGE_EMBEDS = "image_embeds"


class Prompts(NamedTuple):
    """One prompt, or one for each of b videos."""

    embeds: Tensor
    """b n d."""
    condition: Condition = {}  # noqa: RUF012 - never changed
    """SDXL, and where there is a reference picture."""


@torch.no_grad()
def encode_prompts(pipe: Any, prompts: Sequence[str], size: Size | None = None) -> list[Prompts]:
    """Each prompt, encoded as diffusers' own pipelines do. What the encoder has no room for (77 tokens) is cut.

    SD 1 and 2: the last hidden states, after their norm. SDXL: the second-last hidden states of both encoders side by
    side; as condition the second one's pooled embedding and the picture's size. Where SDXL's config has
    `force_zeros_for_empty_prompt`, the empty prompt is zeros, as in its training: diffusers does so for a negative
    prompt that is left out, here it goes for every empty one.

    Args:
        pipe: a pipeline with its text encoders and tokenizers.
        prompts: text; may be empty.
        size: of the frames in pixels. None: what the model was made for. SDXL only.
    """
    first = _encode(pipe.text_encoder, pipe.tokenizer, prompts)
    if getattr(pipe, "text_encoder_2", None) is None:
        return [Prompts(embeds) for embeds in torch.split(first[0], 1)]
    second = _encode(pipe.text_encoder_2, pipe.tokenizer_2, prompts)
    embeds, pooled = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1), second.text_embeds
    if pipe.config.force_zeros_for_empty_prompt:
        empty = torch.tensor([not prompt for prompt in prompts])
        embeds[empty], pooled[empty] = 0, 0
    time_ids = _time_ids(pipe, size).to(embeds.device)
    parts = zip(torch.split(embeds, 1), torch.split(pooled, 1), strict=True)
    return [Prompts(part, {"text_embeds": text_embeds, "time_ids": time_ids}) for part, text_embeds in parts]


def words_cut(pipe: Any, prompt: str) -> str:
    """The end of a prompt that the text encoder has no room for (SD's takes 77 tokens); "" where all of it fits."""
    tokenizer = pipe.tokenizer
    ids = tokenizer(prompt, truncation=False).input_ids
    room = tokenizer.model_max_length - 1  # the last place is the end mark's
    return str(tokenizer.decode(ids[room:-1], skip_special_tokens=True)).strip() if len(ids) > room + 1 else ""


def join(prompts: Sequence[Prompts]) -> Prompts:
    """All of them as one, in their order."""
    conditions = [part.condition for part in prompts]
    condition = {name: torch.cat([part[name] for part in conditions]) for name in conditions[0]}
    return Prompts(torch.cat([part.embeds for part in prompts]), condition)


def separate(prompts: Prompts) -> list[Prompts]:
    """Each of them alone: what `join` undoes."""
    conditions = (
        {name: part[i : i + 1] for name, part in prompts.condition.items()} for i in range(len(prompts.embeds))
    )
    return [Prompts(*pair) for pair in zip(torch.split(prompts.embeds, 1), conditions, strict=True)]


def _encode(text_encoder: Any, tokenizer: Any, prompts: Sequence[str]) -> Any:
    tokens = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return text_encoder(tokens.input_ids.to(text_encoder.device), output_hidden_states=True)


def _time_ids(pipe: Any, size: Size | None) -> Tensor:
    """SDXL's original size, top left corner of the crop, target size: 1 6 (its paper, arXiv 2307.01952, section 2.2).

    float32 also for a model in half precision, which can't tell all sizes apart.
    """
    side = pipe.default_sample_size * pipe.vae_scale_factor
    height, width = size or Size(side, side)
    return torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32)
