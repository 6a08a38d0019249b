"""A broken or hostile params.yaml is told in one short line, and takes neither time nor memory."""

import os
from pathlib import Path
from typing import Any

import pytest

from tav.params import UserError, check, load, read_quickly, read_yaml

SHIPPED = Path(__file__).parent.parent / "params.yaml"
SECTIONS = "\n".join(SHIPPED.read_text().partition("\nbase:")[1:])
VIDEO = "{path: v.mp4, caption: a cat, extract: {}, tune: {}}"
CAT = f"{{cat: {VIDEO}}}"


def error_of(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as error:
        load(path)
    said = str(error.value)
    assert said.isprintable()
    assert len(said) < 1000
    return said


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def bomb(link: str, last: str) -> str:
    """Nine levels, each nine times the one below: 387 million values."""
    lines = [f"a0: &a0 {last}"]
    lines += [f"a{i}: &a{i} {link.format(', '.join([f'*a{i - 1}'] * 9))}" for i in range(1, 10)]
    return "\n".join(lines)


@pytest.mark.parametrize("link", ["[{0}]", "{{<<: [{0}]}}", "[[{0}], {{x: [{0}]}}]"])
def test_alias_bombs(file: Path, link: str) -> None:
    said = error_of(file, bomb(link, "{lol: 1}" if "<<" in link else "lol"))
    assert "its aliases unfold to more than 1" in said


def test_aliases_that_are_meant(file: Path) -> None:
    file.write_text("a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, x: 2}\nc: [*a, *a]\n")
    a = {"x": 1, "y": [1, 2]}
    assert read_yaml(file) == {"a": a, "b": a | {"x": 2}, "c": [a, a]}


def test_what_was_read_before_is_nobodys_to_change(file: Path) -> None:
    file.write_text("a: [1]\n")
    read_yaml(file)["a"].append(2)
    assert read_yaml(file) == {"a": [1]}
    file.write_text("a: [2]\n")
    assert read_yaml(file) == {"a": [2]}


def test_a_large_file_without_aliases(file: Path) -> None:
    file.write_text("a: [" + "1, " * 3000 + "1]\n")
    assert len(read_yaml(file)["a"]) == 3001


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "an alias stands inside of what it stands for (line 1, column 4)"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 levels deep"),
        ("[" * 100_000, "nested more than 50 levels deep"),
        ("a0: &a0 [1]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 300)), "more than 50 levels"),
        ("a: 1\nb: 2026-99-99", "'2026-99-99' can't be read as timestamp: put it in quotes if it is a text (line 2"),
        ("a: " + "1" * 5000, "can't be read as int"),
        ('a: !!int ""', "can't be read as int"),
        ("a: !!bool perhaps", "can't be read as bool"),
        ('a: "\\UFFFFFFFF"', "is not YAML"),
        ("a: 1\na: 2", 'found duplicate key "a" with value "2" (original value: "1") (line 2, column 1)'),
        ("a: 1\na: " + "x" * 300_000, "found duplicate key"),
        ("a: [", "(line 1, column"),
        ("a: 1\n---\nb: 2", "but found another document"),
        ("a: \x1b[31m", "is not YAML"),
        (b"a: \xff\xfe", "is not YAML"),
        (b"\xff\xfea", "is not YAML"),
        ("", "params.yaml is empty: bring it back from git"),
        ("# words\n", "params.yaml is empty"),
        ("x" * 500_000, "got 'xxx"),
        ("- 1", "got [1]"),
    ],
)
def test_broken_files(file: Path, text: str | bytes, said: str) -> None:
    assert said in error_of(file, text)


def test_what_is_no_file(file: Path) -> None:
    file.mkdir()
    with pytest.raises(UserError, match=r"params\.yaml is a folder, where a YAML file is expected"):
        load(file)
    file.rmdir()
    os.mkfifo(file)
    with pytest.raises(UserError, match=r"params\.yaml is a pipe or a device"):
        load(file)
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(UserError, match=r"can't read .*params\.yaml: Too many levels"):
        load(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(file: Path) -> None:
    file.touch(mode=0)
    with pytest.raises(UserError, match=r"can't read .*params\.yaml: Permission denied"):
        load(file)


@pytest.mark.parametrize(
    ("videos", "edits", "said"),
    [
        ("", "{}", "videos: is empty: write {} where there is nothing"),
        ("{}", "null", "edits: is empty: write {} where there is nothing"),
        (f"{{1: {VIDEO}}}", "{}", "videos.1: 1 can't be a name"),
        (f"{{null: {VIDEO}}}", "{}", "None can't be a name"),
        (
            CAT,
            "{1: {video: 1, prompt: 2}}",
            "edits.1.prompt: input should be a valid string, got 2: put",
        ),
        (CAT, "{e: {video: cta, prompt: x}, 2: {video: cat, prompt: x}}", "did you mean 'cat'?"),
        (f"{{1: {VIDEO}}}", "{e: {video: cta, prompt: x}}", "there is no video 'cta'; there are: 1"),
        (
            CAT,
            "{e: {video: cat, prompt: 2026-01-01}}",
            "got datetime.date(2026, 1, 1): put it in quotes",
        ),
        (CAT, '{e: {video: cat, prompt: "a\\0b"}}', "edits.e.prompt: has '\\x00' in it"),
        (CAT, '{e: {video: cat, prompt: "\\e[31mred"}}', "edits.e.prompt: has '\\x1b' in it"),
        (CAT, '{e: {video: cat, prompt: "a\\x0cb"}}', "edits.e.prompt: has '\\x0c' in it"),
        (CAT, '{e: {video: cat, prompt: "a\\x9bb"}}', "edits.e.prompt: has '\\x9b' in it"),
        (CAT, '{e: {video: cat, prompt: "\\ud800"}}', "unable to parse raw data as a unicode string, got '\\ud800'"),
        (
            CAT,
            '{e: {video: cat, prompt: a, negative_prompt: "\\a"}}',
            "negative_prompt: has '\\x07' in it",
        ),
        (CAT, '{"\\e[31m": {video: cat, prompt: a}}', "edits.'\\x1b[31m': '\\x1b[31m' can't be a name"),
        (CAT, f"{{e: {{video: cat, prompt: {'x' * 100_000}}}}}", "at most 2000 characters, got 'xxx"),
        (CAT, f"{{e: {{video: {'x' * 100_000}, prompt: a}}}}", "can't be a name"),
        (
            CAT,
            f"{{e: {{video: cat, prompt: a, seed: 0x{'f' * 100_000}}}}}",
            "got a number of thousands",
        ),
        (CAT, "{e: {video: cat, prompt: a, strength: .nan}}", "should be a finite number, got nan"),
    ],
)
def test_odd_videos_and_edits(file: Path, videos: str, edits: str, said: str) -> None:
    assert said in error_of(file, f"videos: {videos}\nedits: {edits}\n{SECTIONS}")


def test_of_many_faults_the_first_are_told(file: Path) -> None:
    edits = ", ".join(f"e{i}: {{video: cat, prompt: 1}}" for i in range(500))
    said = error_of(file, f"videos: {{cat: {VIDEO}}}\nedits: {{{edits}}}\n{SECTIONS}")
    assert "edits.e11.prompt" in said
    assert "edits.e12.prompt" not in said
    assert said.endswith("; and 488 more")


def test_words_of_all_scripts_and_emoji_are_taken(file: Path) -> None:
    words = "a [red] car, 蓝色的\u3000汽车, \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645, 👩\u200d🚀, \U0001fbfa"
    file.write_text(f"videos: {{cat: {VIDEO}}}\nedits: {{e: {{video: cat, prompt: '{words}'}}}}\n{SECTIONS}")
    assert load(file).edits["e"].prompt == words


def test_a_section_takes_no_infinite_number() -> None:
    data: dict[str, Any] = read_yaml(SHIPPED)
    data["extract"]["start"] = float("inf")
    with pytest.raises(UserError, match=r"extract\.start: input should be a finite number, got inf"):
        check(data)


def test_what_a_program_wrote_is_read_quickly_and_alike(tmp_path: Path) -> None:
    """libyaml and ruamel's own parser; what may be deep, unfold or be broken is left to the latter."""
    file = tmp_path / "dvc.lock"
    plain = "schema: '2.0'\nstages:\n  a@b:\n    cmd: [x]\n    params:\n      p: {a: 4e-4, b: on, c: 012, d: 1e3}\n"
    for text in (plain, "", "a: '&b *c'\n", "a: &b {c: 1}\nd: *b\n", "k: \u2603 [[[[[[[[[[\n"):
        file.write_text(text)
        assert read_quickly(file) == read_yaml(file), text
    for broken in ("[" * 100_000, "a: [", "a: &a [*a]", "a:\n" + "".join(" " * i + "b:\n" for i in range(1, 200))):
        file.write_text(broken)
        with pytest.raises(UserError, match=r"^dvc.lock is not YAML: "):
            read_quickly(file)
    with pytest.raises(UserError, match=r"^no dvc\.lock in"):
        read_quickly(tmp_path / "nothing" / "dvc.lock")
