"""A CLIPTokenizer whose vocabulary is Emoji World's: its words whole, all else letter by letter."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from emoji_world.world import (
    BACKGROUNDS,
    COLOURS,
    NOUNS,
    PLAIN_TEMPLATES,
    STYLED_TEMPLATES,
    STYLES,
)

START, END = "<|startoftext|>", "<|endoftext|>"
PAD, STOP, IMAGE = "<pad>", "</s>", "<image>"
SPACE = "\u0120"  # how GPT-2's vocabulary writes a space
MAX_LENGTH = 32


def world_words() -> list[str]:
    """Every word that a caption can hold, sorted."""
    templates = " ".join(PLAIN_TEMPLATES + STYLED_TEMPLATES)
    for field in ("{style}", "{noun}", "{place}", ","):
        templates = templates.replace(field, " ")
    parts = [templates, "an", *NOUNS, *COLOURS, *BACKGROUNDS.values(), *STYLES.values()]
    return sorted(set(" ".join(parts).split()))


def save_tokenizer(folder: Path, whole: list[str] | None = None) -> None:
    """Write vocab.json, merges.txt and the settings that `CLIPTokenizer.from_pretrained` reads.

    whole: the words that are one token each; by default those of the world at 32 pixels.
    """
    symbols = _byte_symbols()
    words = [[*word[:-1], word[-1] + "</w>"] for word in whole or world_words()]
    settings: dict[str, object] = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": MAX_LENGTH,
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
    }
    _write(folder, [*symbols, *(symbol + "</w>" for symbol in symbols)], words, [START, END], settings)


def save_language_tokenizer(folder: Path) -> None:
    """The same words as OPT has them: a GPT2Tokenizer, where a space belongs to the word after it."""
    words = [[*start, *word] for start in ("", SPACE) for word in world_words()]
    settings: dict[str, object] = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": MAX_LENGTH}
    settings |= {"bos_token": STOP, "eos_token": STOP, "unk_token": STOP, "pad_token": PAD}
    _write(folder, _byte_symbols(), words, [PAD, STOP, IMAGE], settings)


def _write(
    folder: Path, symbols: list[str], words: list[list[str]], special: list[str], settings: dict[str, object]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    merges = _merges(words)
    tokens = [*symbols, *(left + right for left, right in merges), *special]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def _merges(words: list[list[str]]) -> list[tuple[str, str]]:
    """Byte pair encoding: join the most frequent pair until every word is one token."""
    merges = []
    while pairs := Counter(pair for word in words for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words = [_join(word, best) for word in words]
        merges.append(best)
    return merges


def _join(word: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for symbol in word:
        if joined and (joined[-1], symbol) == pair:
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return joined


def _byte_symbols() -> list[str]:
    """The 256 printable characters that stand for bytes in GPT-2's and CLIP's vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(len(others))]
