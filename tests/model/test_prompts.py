"""Prompts against what diffusers' own pipelines make of them."""

import pytest
import torch

from tav.model.prompts import encode_prompts, join


def test_as_diffusers_does(pipe):
    prompts = ["a man is skiing", "", "word " * 200]
    ours = encode_prompts(pipe, prompts)
    with torch.no_grad():
        theirs, _ = pipe.encode_prompt(prompts, "cpu", 1, False)
    assert all(torch.equal(one.embeds[0], embeds) for one, embeds in zip(ours, theirs, strict=True))
    assert join(ours).embeds.shape == theirs.shape
    assert not any(one.condition for one in ours)
