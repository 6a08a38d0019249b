"""Which tokens are a prompt's words, and which tokens of two prompts belong together.

Prompt-to-Prompt (Hertz et al. 2022, arXiv 2208.01626; google/prompt-to-prompt @9c472e4, seq_aligner.py).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Alignment(NamedTuple):
    """How a target prompt's cross-attention is made of the source prompt's."""

    mapper: Tensor
    """float32, n n: what part of source token i's map (row) goes to target token j's (column)."""
    aligned: Tensor
    """float32, n: 1 where a target token takes the source's map, 0 where it keeps its own."""

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        """Maps with the tokens as their last axis, to the target's new ones."""
        mapper, aligned = self.mapper.to(source), self.aligned.to(source)
        return source @ mapper * aligned + target * (1 - aligned)


def align(tokenizer: Any, source_prompt: str, target_prompt: str) -> Alignment:
    """Prompts of as many words: each other word is swapped for the one in its place. Else the target refines.

    A word is what stands between spaces. As in the paper, start and end of the text are tokens like others.
    """
    if len(source_prompt.split()) == len(target_prompt.split()):
        return swap(tokenizer, source_prompt, target_prompt)
    return refine(tokenizer, source_prompt, target_prompt)


def swap(tokenizer: Any, source_prompt: str, target_prompt: str) -> Alignment:
    """Each word takes the map of the word in its place; of a word of other length, each token an equal share.

    Where lengths differ, the official code has all that follows the last swapped word out of step. Here each word
    keeps to its own.
    """
    size = tokenizer.model_max_length
    mapper = torch.zeros(size, size)
    mapper[0, 0] = 1
    runs = [token_runs(tokenizer, prompt) for prompt in (source_prompt, target_prompt)]
    for old, new in zip(*runs, strict=False):  # one may be cut
        if len(old) == len(new):
            mapper[list(old), list(new)] = 1
        elif len(new):
            mapper[old.start : old.stop, new.start : new.stop] = 1 / len(new)
    _rest(mapper, *(run[-1].stop if run else 1 for run in runs))
    return Alignment(mapper, torch.ones(size))


def refine(tokenizer: Any, source_prompt: str, target_prompt: str) -> Alignment:
    """Tokens that both prompts have, in their order, take the source's maps; new ones keep their own."""
    size = tokenizer.model_max_length
    mapper, aligned = torch.zeros(size, size), torch.ones(size)
    old, new = (_tokens(tokenizer, prompt) for prompt in (source_prompt, target_prompt))
    for j, i in enumerate(common_order(old, new)):
        if i is None:
            aligned[j] = 0
        else:
            mapper[i, j] = 1
    _rest(mapper, len(old), len(new))
    return Alignment(mapper, aligned)


def common_order(old: list[int], new: list[int]) -> list[int | None]:
    """For each of the new, its place in the longest order that both have in common; None where it is not in it.

    Needleman and Wunsch's algorithm with the official scores: a gap 0, a match 1, a mismatch -1 (so never taken); of
    equals the gap in the old.
    """
    score = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, a in enumerate(old, 1):
        for j, b in enumerate(new, 1):
            score[i][j] = max(score[i][j - 1], score[i - 1][j], score[i - 1][j - 1] + (1 if a == b else -1))
    places: list[int | None] = [None] * len(new)
    i, j = len(old), len(new)
    while i and j:
        if score[i][j] == score[i][j - 1]:
            j -= 1
        elif score[i][j] == score[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            places[j] = i
    return places


def token_runs(tokenizer: Any, prompt: str) -> list[range]:
    """The places of each word's tokens, of the words that the text encoder has room for. The text's start is at 0."""
    runs, start = [], 1
    for word in prompt.split():
        stop = start + len(_ids(tokenizer, word))
        if stop >= tokenizer.model_max_length:  # the last place is the end mark's
            break
        runs.append(range(start, stop))
        start = stop
    return runs


def places(tokenizer: Any, prompt: str, words: str) -> list[int]:
    """The places of one or several words wherever they stand in a prompt, ascending; [] where they don't."""
    ids, wanted = _ids(tokenizer, prompt), _ids(tokenizer, words)
    starts = [run.start for run in token_runs(tokenizer, prompt)]
    standing = {
        place for s in starts if ids[s - 1 : s - 1 + len(wanted)] == wanted for place in range(s, s + len(wanted))
    }
    return sorted(place for place in standing if place < tokenizer.model_max_length - 1)


def weights_of(tokenizer: Any, prompt: str, amplify: dict[str, float]) -> Tensor:
    """What each token's map is multiplied with: float32, n.

    Raises:
        ValueError: a word is not in the prompt.
    """
    weights = torch.ones(tokenizer.model_max_length)
    for words, factor in amplify.items():
        weights[_places_in_each(tokenizer, [prompt], words)[0]] *= factor
    return weights


def chosen(tokenizer: Any, prompts: list[str], words: list[str]) -> Tensor:
    """Which tokens of each prompt belong to some words: float32, prompts n, of 0 and 1.

    Raises:
        ValueError: a word is in none of the prompts.
    """
    marks = torch.zeros(len(prompts), tokenizer.model_max_length)
    for each in words:
        for row, tokens in zip(marks, _places_in_each(tokenizer, prompts, each), strict=True):
            row[tokens] = 1
    return marks


def _places_in_each(tokenizer: Any, prompts: list[str], words: str) -> list[list[int]]:
    standing = [places(tokenizer, prompt, words) for prompt in prompts]
    if not any(standing):
        listed = " nor in ".join(repr(prompt) for prompt in prompts)
        raise ValueError(f"{words!r} is not in {listed}; expected words that are there, in their order")
    return standing


def _rest(mapper: Tensor, old: int, new: int) -> None:
    """What follows the words, end mark and padding, one after the other. In place."""
    last = len(mapper) - 1
    for j in range(new, len(mapper)):
        mapper[min(old + j - new, last), j] = 1


def _tokens(tokenizer: Any, prompt: str) -> list[int]:
    """With start and end mark, cut to the encoder's room."""
    ids = tokenizer(prompt, truncation=True, max_length=tokenizer.model_max_length).input_ids
    return list(ids)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)
