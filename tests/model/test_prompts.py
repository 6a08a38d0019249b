"""Prompts against what diffusers' own pipelines make of them."""

import pytest
import torch
from tiny_bases import tiny_sdxl

from tav.model.pretrained import load_pipeline
from tav.model.prompts import encode_prompts, join, words_cut
from tav.model.size import Size

PROMPTS = ["a man is skiing", "", "a red dog", "word " * 200]


@pytest.fixture(scope="module", params=[True, False])
def xl_pipe(request, tmp_path_factory):
    folder = tiny_sdxl(tmp_path_factory.mktemp("xl"), force_zeros_for_empty_prompt=request.param)
    return load_pipeline(str(folder))


def test_one_encoder(pipe):
    ours = encode_prompts(pipe, PROMPTS)
    with torch.no_grad():
        theirs, _ = pipe.encode_prompt(PROMPTS, "cpu", 1, False)
    assert torch.equal(join(ours).embeds, theirs)
    assert not any(one.condition for one in ours)


def test_two_encoders(xl_pipe):
    """An empty prompt is diffusers' negative prompt that was left out: zeros or not, as the pipeline's config says."""
    ours = encode_prompts(xl_pipe, PROMPTS, Size(24, 40))
    for prompt, (embeds, condition) in zip(PROMPTS, ours, strict=True):
        with torch.no_grad():
            positive, negative, pooled, negative_pooled = xl_pipe.encode_prompt(prompt, negative_prompt=None)
        theirs = (positive, pooled) if prompt else (negative, negative_pooled)
        torch.testing.assert_close((embeds, condition["text_embeds"]), theirs, rtol=0, atol=1e-6)
        assert bool(embeds.any()) is bool(prompt or not xl_pipe.config.force_zeros_for_empty_prompt)
        time_ids = xl_pipe._get_add_time_ids((24, 40), (0, 0), (24, 40), torch.float32, 12)
        assert torch.equal(condition["time_ids"], time_ids)
    assert not torch.equal(ours[0].embeds, ours[2].embeds)


def test_size_is_the_models_own_unless_given(xl_pipe):
    (prompt,) = encode_prompts(xl_pipe, ["a dog"])
    assert prompt.condition["time_ids"].tolist() == [[32, 32, 0, 0, 32, 32]]  # 8 latents of 4 pixels


def test_join_keeps_the_order(xl_pipe):
    ours = encode_prompts(xl_pipe, PROMPTS, Size(24, 40))
    joined = join(ours)
    assert joined.embeds.shape == (4, 77, 40)
    assert {name: tuple(part.shape) for name, part in joined.condition.items()} == {
        "text_embeds": (4, 12),
        "time_ids": (4, 6),
    }
    for i, one in enumerate(ours):
        assert torch.equal(joined.embeds[i : i + 1], one.embeds)
        assert torch.equal(joined.condition["text_embeds"][i : i + 1], one.condition["text_embeds"])


def test_what_the_encoder_has_no_room_for(pipe):
    assert [words_cut(pipe, prompt) for prompt in ("a man is skiing", "")] == ["", ""]
    room = pipe.tokenizer.model_max_length - 2  # tokens beside the marks of start and end
    text = "a " * 60
    tokens = len(pipe.tokenizer(text).input_ids) - 2
    fits = " ".join(["a"] * (room * 60 // tokens))
    assert words_cut(pipe, fits) == ""
    assert words_cut(pipe, f"{fits} fox").replace(" ", "") in ("fox", "ox", "x")
    assert words_cut(pipe, "word " * 200).endswith("word word")
