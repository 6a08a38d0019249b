"""Names keep the letters of every script, fit where names go, and never come out the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.commands.names import alike, edit_name, free_name, slug
from tav.params import is_key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My Cat ", "my-cat"),
        ("a dog; rm -rf /", "a-dog-rm-rf"),
        ("Été à Zürich!", "été-à-zürich"),
        ("蓝色的汽车", "蓝色的汽车"),
        ("किताब पर बिल्ली", "किताब-पर-बिल्ली"),
        ("e\u0301te\u0301", "été"),
        ("ＡＢＣ　１２３", "abc-123"),  # noqa: RUF001
        ("🙂 … 🚗", ""),
        ("a\udcffb\u202ec\x1b[31m", "a-b-c-31m"),
        ("x" * 50, "x" * 40),
        ("--a__b--", "a__b"),
    ],
)
def test_slug(text: str, expected: str) -> None:
    assert slug(text) == expected


@given(st.text(st.characters(), max_size=100), st.lists(st.text(max_size=80), max_size=5))
def test_every_prompt_has_a_name_of_its_own(video: str, prompts: list[str]) -> None:
    names: list[str] = []
    for prompt in [*prompts, *prompts]:
        names.append(edit_name(free_name(slug(video), [], "video"), prompt, names))
    assert all(is_key(name) for name in names)
    assert len({alike(name) for name in names}) == len(names)


def test_a_number_still_fits_behind_the_longest_name() -> None:
    for letter in ("x", "视", "𠀀"):
        names: list[str] = []
        for _ in range(12):
            names.append(edit_name(letter * 40, letter * 99, names))
        assert len(set(names)) == 12
        assert all(is_key(name) for name in names)


@pytest.mark.parametrize("there", ["Cat", "CAT", "cat"])
def test_case_makes_no_difference(there: str) -> None:
    assert free_name("cat", [there], "video") == "cat-2"


def test_letters_composed_in_another_way_make_no_difference() -> None:
    assert free_name("\xe9", ["e\u0301"], "video") == "\xe9-2"
