"""DVC's own way and ours give the same: parameters, and dvc.lock byte for byte."""

import inspect
import json
import os
from pathlib import Path
from typing import Any

import pytest
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from ruamel.yaml import YAML

from flows import dvc_api, dvc_lock, dvc_once

REFUSED = ["\x85\u2028", "a\u2028b", "? x", "# c", "*id001"]
"""What may look like more than a value."""
VALUES = ["", "no", "1e3", "\xe9 \u2603 \U0001f600", "a: b", "- d", "'", '"', "a\nb\n", " e ", "a word " * 40]
VALUES += [
    1e-5,
    4,
    True,
    None,
    [],
    {},
    [1, [2, "x" * 100]],
    {"a": {"b": [{"c": "d " * 50}]}},
    "\t",
    "'\n \"" * 30,
    *REFUSED,
]


def test_the_pieces_are_where_they_were() -> None:
    import dvc.dependency.param
    import dvc.dvcfile
    import dvc.repo.status
    import dvc.rwlock
    import dvc.stage.decorators
    from dvc.output import Output

    assert Lockfile._load_yaml is dvc_lock.load
    assert "return self._load_yaml(**kwargs)" in inspect.getsource(Lockfile.__mro__[1]._load)
    assert "self._get_hash_meta()" in inspect.getsource(Output.get_hash)
    assert "from dvc.rwlock import rwlock" in inspect.getsource(dvc.stage.decorators)  # at each call
    assert dvc.dependency.param.read_param_file is dvc_once.read_parameters
    assert Lockfile.dump_stages is dvc_lock.dump_stages
    assert dvc.repo.status._joint_status is dvc_once.joint_status
    assert dvc_once._read_by_dvc.__module__ == "dvc.dependency.param"
    assert dvc_lock._dump_by_dvc.__qualname__ == "Lockfile.dump_stages"


@pytest.fixture(scope="module")
def lock_of_dvc(done: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives dvc.lock as DVC writes entries into a text."""
    folder = tmp_path_factory.mktemp("lock")
    lock = Lockfile(None, str(folder / "dvc.lock"))

    def written(text: str, entries: dict[str, Any]) -> str:
        from dvc.utils.serialize import modify_yaml

        (folder / "dvc.lock").write_text(text, encoding="utf-8")
        with modify_yaml(lock.path) as data:  # as `Lockfile.dump_stages`
            data["stages"].update(entries)
        return (folder / "dvc.lock").read_text(encoding="utf-8")

    return written


@pytest.mark.parametrize("name", ["first@a", "new@c"])
@pytest.mark.parametrize("value", [*VALUES, VALUES], ids=lambda value: ascii(value)[:20])
def test_entries_are_put_in_as_dvc_does(done: Path, lock_of_dvc: Any, value: Any, name: str) -> None:
    entry = {"cmd": "python x", "params": {"params.yaml": {"a.b": value}}, "outs": [{"path": "a", "md5": "1"}]}
    text = (done / "dvc.lock").read_text()
    for entries in ({name: entry}, {"last": {"cmd": "python y", "outs": [{"path": "b", "md5": "2"}]}}):
        before, text = text, lock_of_dvc(text, entries)
        try:
            assert dvc_lock.with_entries(before, entries) == text
        except ValueError:  # DVC writes it
            assert value in REFUSED or value is VALUES


def test_a_plain_dvc_lock_is_written_by_lines(done: Path) -> None:
    text = (done / "dvc.lock").read_text()
    entries = YAML(typ="safe").load(text)["stages"]
    assert dvc_lock.with_entries(text, {"first@b": entries["first@b"]}) == text


@pytest.mark.parametrize("what", ["# a word of a person's\n", "datasets: []\n", "  ? x\n  : y\n"])
def test_what_is_not_so_plain_is_left_to_dvc(done_project: Path, what: str) -> None:
    lock = Path("dvc.lock")
    lock.write_text(lock.read_text() + what)
    assert dvc_lock.entries_in(lock) is None


def test_a_stage_is_dumped_as_by_dvc(done_project: Path) -> None:
    texts = []
    params = json.loads(Path("params.yaml").read_text())
    params["videos"]["a"]["tune"] = {"words": VALUES[:10], "long": "a word " * 40}
    Path("params.yaml").write_text(json.dumps(params, ensure_ascii=False))
    before = Path("dvc.lock").read_text()
    for dump in (dvc_lock.dump_stages, dvc_lock._dump_by_dvc):
        Path("dvc.lock").write_text(before)
        with dvc_api.repository() as repo, dvc_api.held(repo), repo.scm_context:
            stage = next(stage for stage in repo.index.stages if stage.addressing == "first@a")
            stage.save(run_cache=False)
            dump(stage.dvcfile._lockfile, [stage])
        texts.append(Path("dvc.lock").read_text())
    assert texts[0] == texts[1] != before


@pytest.mark.parametrize(
    "text",
    [
        "a: {b: 1, c: [x, y], d: {e: null}, 8: int}\nz: &z {p: 1}\ny: {q: *z}\n",
        "'8': text\n8: {b: number}\n",
        "",
        "a.b: dotted\n",
        "a: 4e-4\nb: on\nc: 012\n",
    ],
)
def test_parameters_are_those_that_dvc_reads(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    names = ["a", "a.b", "a.c", "a.c.0", "a.d.e", "a.8", "8", "z", "y.q", "a.*", "nothing", "a.b.c", "b", "c", "a."]
    for some in ([name] for name in names):
        told = []
        for read in (dvc_once.read_parameters, dvc_once._read_by_dvc, dvc_once.read_parameters):
            try:
                told.append(read(LocalFileSystem(), str(tmp_path / "params.yaml"), some, flatten=True))
            except (ValueError, DvcException) as error:
                told.append(repr(error))
        assert told[0] == told[1] == told[2], some


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    for value in ("1", "2", "2"):
        file.write_text(f"a: {{b: {value}}}")
        found = dvc_once.read_parameters(LocalFileSystem(), str(file), ["a"], flatten=True)
        assert found == {"a": {"b": int(value)}}
        found["a"]["b"] = 7  # what is given is not what is kept


def test_what_no_parameter_file_is_dvc_tells(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(DvcException, match="corrupted"):
        dvc_once.read_parameters(LocalFileSystem(), str(tmp_path / "params.yaml"), ["a"], flatten=True)
    (tmp_path / "params.yaml").write_bytes(b"\xff")
    with pytest.raises(DvcException, match="utf-8"):
        dvc_once.read_parameters(LocalFileSystem(), str(tmp_path / "params.yaml"), ["a"], flatten=True)


def test_a_status_is_that_of_dvc(done_project: Path) -> None:
    def both() -> list[Any]:
        told = []
        for status in (dvc_once.joint_status, dvc_once._status_by_dvc):
            with dvc_api.repository() as repo, dvc_api.held(repo):
                told.append(status([(stage, None) for stage in repo.index.stages]))
        assert told[0] == told[1]
        return told[0]

    assert both() == {}
    Path("made/first-a").write_text("another")
    Path("made/first-b").unlink()
    Path("data-a.txt").write_text("another")
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace('"tune": {}', '"tune": {"steps": 1}', 1))
    assert {"first@a", "second@a", "first@b", "second@b", "data-a.txt.dvc"} <= both().keys()


def test_a_stage_that_is_being_made_is_told(done_project: Path) -> None:
    busy = {str(Path("made/first-a").absolute()): {"pid": os.getppid(), "cmd": "dvc x"}}
    Path(".dvc/tmp/rwlock").write_text(json.dumps({"write": busy, "read": {}}))
    with dvc_api.repository() as repo, pytest.raises(dvc_api.LockError, match=f"PID {os.getppid()}"):
        dvc_api.status(repo)


def test_dvc_lock_says_what_dvc_reads(done_project: Path) -> None:
    def both() -> Any:
        with dvc_api.repository() as repo:
            lock = Lockfile(repo, str(Path("dvc.lock").absolute()))
            told = [repr(read(lock)) for read in (dvc_lock.load, dvc_lock._load_by_dvc, dvc_lock.load)]
        assert told[0] == told[1] == told[2]
        return told[0]

    kept = Path(".dvc/tmp", dvc_lock.KEPT)
    before, text = both(), Path("dvc.lock").read_text()
    assert kept.exists()
    others = {"first@a": {"cmd": "x", "params": {"params.yaml": {"a": VALUES[: -len(REFUSED)]}}}}
    Path("dvc.lock").write_text(dvc_lock.with_entries(text, others))
    assert both() != before
    for odd in ("  last@x:\n    cmd: x\n    params:\n      p: {a: {1: 2020-01-01}}\n", "# a word\n"):
        Path("dvc.lock").write_text(text + odd)
        both()
    kept.write_text("[")
    Path("dvc.lock").write_text(text)
    assert both() == before
    Path("dvc.lock").write_text(text + "  last@x:\n    nonsense: x\n")
    with dvc_api.repository() as repo, pytest.raises(DvcException, match=r"validation failed"):
        repo.index.graph  # noqa: B018 - reads it
