"""Words aligned as one would by hand."""

import pytest
import torch

from tav.model.alignment import align, chosen, common_order, places, token_runs, weights_of
from tav.model.pretrained import load_pipeline


@pytest.fixture(scope="module")
def tokenizer(sd_folder):
    """Knows "cat", "dog", "red" ..., and spells what it doesn't know letter by letter."""
    return load_pipeline(str(sd_folder), components=("tokenizer",)).tokenizer


def columns(alignment, number):
    """Of the first target tokens: the source tokens that each takes, with their shares; None for its own map."""
    rows = [{i: round(share, 3) for i, share in enumerate(column.tolist()) if share} for column in alignment.mapper.T]
    return [row if own else None for row, own in zip(rows, alignment.aligned.tolist(), strict=True)][:number]


def test_tokens_of_words(tokenizer):
    assert token_runs(tokenizer, "a red  cat") == [range(1, 2), range(2, 3), range(3, 4)]
    assert token_runs(tokenizer, "a box is red") == [range(1, 2), range(2, 5), range(5, 6), range(6, 7)]
    whole = tokenizer("a box is red", add_special_tokens=False).input_ids
    apart = [i for word in ("a", "box", "is", "red") for i in tokenizer(word, add_special_tokens=False).input_ids]
    assert whole == apart  # or the places would be wrong


def test_places(tokenizer):
    assert places(tokenizer, "a red cat", "cat") == [3]
    assert places(tokenizer, "A Red cat, a red dog", "red") == [2, 6]  # the comma is a token
    assert places(tokenizer, "a red cat", "red cat") == [2, 3]
    assert places(tokenizer, "a box is red", "box") == [2, 3, 4]
    assert places(tokenizer, "a jukebox", "box") == []  # the end of another word
    assert places(tokenizer, " ".join(["red"] * 80), "red") == list(range(1, 76))


def test_a_swap(tokenizer):
    """ "cat" is one token, "box" three; all that follows keeps to its own."""
    same = align(tokenizer, "a cat on the beach", "a dog on the beach")
    assert torch.equal(same.mapper, torch.eye(77))
    longer = align(tokenizer, "a cat on", "a box on")  # <start> a cat on <end>; <start> a b o x on <end>
    third = {2: 0.333}
    assert columns(longer, 8) == [{0: 1}, {1: 1}, third, third, third, {3: 1}, {4: 1}, {5: 1}]
    shorter = align(tokenizer, "a box on", "a cat on")
    assert columns(shorter, 6) == [{0: 1}, {1: 1}, {2: 1, 3: 1, 4: 1}, {5: 1}, {6: 1}, {7: 1}]
    assert columns(shorter, 77)[-1] == {76: 1}


def test_a_refinement(tokenizer):
    added = align(tokenizer, "a cat on the beach", "a red cat on the beach")
    assert columns(added, 9) == [{0: 1}, {1: 1}, None, {2: 1}, {3: 1}, {4: 1}, {5: 1}, {6: 1}, {7: 1}]
    left_out = align(tokenizer, "a red cat on the beach", "a dog on the beach")
    assert columns(left_out, 8) == [{0: 1}, {1: 1}, None, {4: 1}, {5: 1}, {6: 1}, {7: 1}, {8: 1}]


def test_alignment_of_maps(tokenizer):
    alignment = align(tokenizer, "a cat", "a red cat")
    source, target = torch.rand(2, 5, 77, generator=torch.Generator().manual_seed(0)).unbind()
    made = alignment(source, target)
    assert torch.equal(made[:, 2], target[:, 2])  # "red"
    assert torch.equal(made[:, [0, 1, 3, 4]], source[:, [0, 1, 2, 3]])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], [0, 1, 2]),
        ([1, 2, 3], [1, 9, 3], [0, None, 2]),
        ([1, 2], [2, 1], [1, None]),  # of equals the gap in the old
        ([1, 2, 3, 2], [2, 2], [1, 3]),
        ([], [1], [None]),
    ],
)
def test_common_order(old, new, expected):
    assert common_order(old, new) == expected


def test_words_of_a_prompt(tokenizer):
    assert weights_of(tokenizer, "a red cat", {"red": 2.0, "red cat": 3.0})[:5].tolist() == [1, 1, 6, 3, 1]
    marks = chosen(tokenizer, ["a cat", "a red dog"], ["cat", "red dog"])
    assert [row.nonzero().flatten().tolist() for row in marks] == [[2], [2, 3]]
    with pytest.raises(ValueError, match="'dog' is not in 'a cat' nor in 'a red'"):
        chosen(tokenizer, ["a cat", "a red"], ["dog"])
    with pytest.raises(ValueError, match="'dog' is not in 'a cat'; expected words that are there"):
        weights_of(tokenizer, "a cat", {"dog": 2.0})
