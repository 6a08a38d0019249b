"""Only the lines of a change differ in params.yaml; where that can't be, nothing does."""

import difflib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tav.commands.init import for_real_weights
from tav.commands.params_text import add_entries, parse, read_text, remove_entries, set_value, write_text
from tav.commands.yaml_line import in_braces, in_yaml, quoted
from tav.params import UserError

SHIPPED = (Path(__file__).parents[2] / "params.yaml").read_text()
HEAD, REST = SHIPPED[: SHIPPED.index("videos:")], SHIPPED[SHIPPED.index("# How to make it") :]
VIDEO: dict[str, Any] = {"path": "videos/dog.mp4", "caption": None, "extract": {}, "tune": {}}
EDIT: dict[str, Any] = {"video": "dog", "prompt": "a fox"}


def with_dog(text: str) -> str:
    return add_entries(add_entries(text, "videos", {"dog": VIDEO}), "edits", {"dog--fox": EDIT})


def difference(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


def test_new_lines_only_and_above_the_comment_of_the_next_section() -> None:
    after = with_dog(SHIPPED)
    assert difference(SHIPPED, after) == [
        "+   dog:\n",
        "+     path: videos/dog.mp4\n",
        "+     caption: null\n",
        "+     extract: {}\n",
        "+     tune: {}\n",
        "+   dog--fox:\n",
        "+     video: dog\n",
        "+     prompt: a fox\n",
    ]
    assert "    prompt: a fox\n\n# How to make it." in after
    assert remove_entries(remove_entries(after, "edits", ["dog--fox"]), "videos", ["dog"]) == SHIPPED


def test_a_new_project_without_videos() -> None:
    text = for_real_weights(SHIPPED)
    changes = difference(text, with_dog(text))
    assert [line for line in changes if line[0] == "-"] == ["- videos: {}\n", "- edits: {}\n"]
    assert "    tune: {}\nedits:\n  dog--fox:\n    video: dog\n    prompt: a fox\n\n# How to make it" in with_dog(text)


CAT = "videos:\n  cat: {path: c.mp4, caption: a cat, extract: {}, tune: {}}\n"
FOX = "    video: dog\n    prompt: a fox\n"
WAYS = {  # how `edits` may be written: before, and after an edit was added
    "none yet": ("edits: {}   # none yet\n\n", "edits:   # none yet\n  dog--fox:\n" + FOX + "\n"),
    "none, on two lines": ("edits: {\n  }\n\n", "edits:\n  dog--fox:\n" + FOX + "\n"),
    "comments": (
        "edits:\n  a:\n    video: cat\n    prompt: b   # why\n    # seed: 3\n\n  # as well\n\n# next\n",
        "edits:\n  a:\n    video: cat\n    prompt: b   # why\n    # seed: 3\n\n  # as well\n  dog--fox:\n"
        + FOX
        + "\n# next\n",
    ),
    "lines of text": (
        "edits:\n  a:\n    video: cat\n    prompt: |\n      b\n      c\n\n\n",
        "edits:\n  a:\n    video: cat\n    prompt: |\n      b\n      c\n  dog--fox:\n" + FOX + "\n\n",
    ),
    "wide": (
        "edits:\n     a:\n         video: cat\n         prompt: 'b\n           c'\n",
        "edits:\n     a:\n         video: cat\n         prompt: 'b\n           c'\n     dog--fox:\n"
        "       video: dog\n       prompt: a fox\n",
    ),
    "an alias": (
        "edits:\n  a: &a {video: cat, prompt: b}\n  b: *a   # again\n",
        "edits:\n  a: &a {video: cat, prompt: b}\n  b: *a   # again\n  dog--fox:\n" + FOX,
    ),
    "braces": (
        "edits: {a: {video: cat, prompt: b},}  # x\n",
        "edits: {a: {video: cat, prompt: b}, dog--fox: {video: dog, prompt: a fox},}  # x\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), WAYS.values(), ids=WAYS)
def test_however_edits_are_written(before: str, after: str) -> None:
    videos = add_entries(HEAD + CAT + before + REST, "videos", {"dog": VIDEO}).removesuffix(before + REST)
    added = add_entries(videos + before + REST, "edits", {"dog--fox": EDIT})
    assert added == videos + after + REST
    removed = remove_entries(added, "edits", ["dog--fox"])
    assert parse(removed) == parse(videos + before + REST)
    assert removed.endswith(REST)


def test_edits_at_the_end_of_a_file_without_a_last_line_break() -> None:
    text = REST + CAT + "edits:\n  a:\n    video: cat\n    prompt: b"
    assert with_dog(text).endswith("    prompt: b\n  dog--fox:\n    video: dog\n    prompt: a fox\n")
    assert with_dog(text.replace("\n", "\r\n")).endswith(
        "prompt: b\r\n  dog--fox:\r\n    video: dog\r\n    prompt: a fox\r\n"
    )


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_line_breaks_stay(line_break: str) -> None:
    text = SHIPPED.replace("\n", line_break)
    after = with_dog(text)
    assert after.replace(line_break, "").count("\n") == 0
    assert remove_entries(remove_entries(after, "edits", ["dog--fox"]), "videos", ["dog"]) == text


def test_a_file_that_is_all_braces() -> None:
    import json

    text = json.dumps(parse(SHIPPED) | {"videos": {}, "edits": {}}, indent=1)
    assert parse(with_dog(text))["edits"] == {"dog--fox": EDIT}
    assert with_dog(text).count("\n") == text.count("\n")


def test_removing_all_leaves_empty_sections() -> None:
    data = parse(SHIPPED)
    text = remove_entries(SHIPPED, "edits", list(data["edits"]))
    text = remove_entries(text, "videos", list(data["videos"]))
    assert text == HEAD + "videos: {}\nedits: {}\n\n" + REST
    assert parse(with_dog(text))["videos"] == {"dog": VIDEO}


@pytest.mark.parametrize("name", ["red-car", "yellow-cat", "blue-fish"])
def test_removing_one_leaves_the_others(name: str) -> None:
    text = remove_entries(SHIPPED, "edits", [e for e, v in parse(SHIPPED)["edits"].items() if v["video"] == name])
    text = remove_entries(text, "videos", [name])
    assert {line[0] for line in difference(SHIPPED, text)} == {"-"}
    assert name not in text


@pytest.mark.parametrize(
    "old", ["null", "", "a cat   # mine", "'a\n      cat'", "|\n      a cat\n", ">-\n      a\n      cat"]
)
def test_a_caption_is_replaced_where_it_stands(old: str) -> None:
    text = CAT.replace("{path: c.mp4, caption: a cat, ", "\n    path: c.mp4\n    caption: OLD\n    ")
    text = text.replace("extract: {}, tune: {}}", "extract: {}\n    tune: {}").replace("OLD", old)
    after = set_value(text + "edits: {}\n" + REST, ("videos", "cat", "caption"), "no: cat")
    assert parse(after)["videos"]["cat"]["caption"] == "no: cat"
    assert "    caption: 'no: cat'" in after
    assert after.endswith("    extract: {}\n    tune: {}\nedits: {}\n" + REST)
    assert ("# mine" in old) == ("# mine" in after)


def test_what_cant_be_changed_is_refused() -> None:
    edits = "edits:\n  a: &a {video: cat, prompt: b}\n  b: *a\n"
    with pytest.raises(UserError, match="do it in an editor"):
        remove_entries(HEAD + CAT + edits + REST, "edits", ["a"])


@pytest.mark.parametrize(
    "value",
    ["123", "true", "null", "~", "1e5", "4e-4", "2026-99-99", "0x1f", "- a", "a: b", "a #b", "*a", "", "[", "a\nb"],
)
def test_words_of_yaml_stay_texts(value: str) -> None:
    assert YAML(typ="safe", pure=True).load(f"{in_yaml(value)}: {in_yaml(value)}\n") == {value: value}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_one_line_and_comes_back(value: str) -> None:
    for line in (f"{{x: {in_braces(value)}}}", f"{{x: {quoted(value)}}}", f"x: {in_yaml(value)}"):
        assert YAML(typ="safe", pure=True).load(line) == {"x": value}
        assert "\n" not in line


def test_a_link_stays_a_link_and_the_mode_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    kept = tmp_path / "kept.yaml"
    kept.write_text(SHIPPED)
    kept.chmod(0o640)
    Path("params.yaml").symlink_to("../kept.yaml")
    write_text(with_dog(read_text()))
    assert Path("params.yaml").is_symlink()
    assert kept.read_text() == with_dog(SHIPPED)
    assert kept.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.yaml", "project"]


@pytest.mark.parametrize(
    ("names", "value", "line"),
    [
        (("tune", "learning_rate"), 1e-05, "  learning_rate: 1.0e-5            # of the query projections"),
        (
            ("edit", "strength"),
            1.0,
            "  strength: 1.0                    # share of the schedule that is denoised; 1.0 as in the paper",
        ),
        (
            ("extract", "stride"),
            None,
            "  stride: null                     # ... or every n-th frame. Both null: every frame",
        ),
        (
            ("compute", "compile"),
            True,
            "  compile: true                    # torch.compile: minutes of compiling first; "
            "gains next to nothing on a CPU",
        ),
        (
            ("caption", "model", "source"),
            "hub:a/b",
            '  model: {source: "hub:a/b"}   # null: every video has a caption of its own',
        ),
    ],
)
def test_a_setting_is_set_where_it_stands(names: tuple[str, ...], value: Any, line: str) -> None:
    added = [change for change in difference(SHIPPED, set_value(SHIPPED, names, value)) if change[0] == "+"]
    assert added == [f"+ {line}\n"]
