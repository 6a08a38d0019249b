"""A dvc.lock that DVC was writing when it was killed is put back; one that is whole is left alone."""

from pathlib import Path

import pytest
import zc.lockfile
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import dumps_yaml, parse_yaml

from tav.processes.lockfile import Kept, drop_broken_rwlock

FILE = {"hash": "md5", "md5": "da47eb1f79ba3cd54acce828dca724d3", "size": 9}


def entry(key: str) -> dict[str, object]:
    files = [{"path": f"artifacts/{key}/größe-{i}", **FILE} for i in range(2)]
    params = {"params.yaml": {"tune": {"steps": 5, "prompt": "a cat"}, "base": {"source": "sd"}}}
    return {"cmd": "python -m tav tune", "deps": files, "params": params, "outs": files}


BEFORE = dumps_yaml({"schema": "2.0", "stages": {key: entry(key) for key in "ab"}})
AFTER = dumps_yaml({"schema": "2.0", "stages": {key: entry(key) for key in ("a", "b", "c@猫")}})


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path(".dvc/tmp").mkdir(parents=True)
    return Path("dvc.lock")


def kept(lock: Path, text: str) -> Kept:
    known = Kept()
    if text:
        lock.write_text(text)
    known.look()
    return known


@pytest.mark.parametrize("before", [BEFORE, ""])
def test_wherever_it_is_cut_dvc_can_read_it_afterwards(lock: Path, before: str) -> None:
    """And has all stages that it had."""
    known, whole, mended = kept(lock, before), AFTER.encode(), 0
    for end in range(0, len(whole), 29):
        lock.write_bytes(whole[:end])
        mended += known.mend()
        text = lock.read_text() if lock.exists() else ""
        data = COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, "dvc.lock")) if text else {}
        assert {*"ab"} <= data.get("stages", {}).keys() or not before, end
        assert not list(Path().glob(".tmp-*"))
    assert mended > len(whole) // 29 - 8


@pytest.mark.parametrize("whole", [AFTER, BEFORE])
def test_a_whole_one_is_left_alone(lock: Path, whole: str) -> None:
    known = kept(lock, BEFORE)
    lock.write_text(whole)
    assert not known.mend()
    assert lock.read_text() == whole


def test_while_another_dvc_is_at_work_nothing_is_mended(lock: Path) -> None:
    known = kept(lock, BEFORE)
    lock.write_text("")
    Path(".dvc/tmp/rwlock").write_text("")
    others = [zc.lockfile.LockFile(f".dvc/tmp/{name}") for name in ("lock", "rwlock.lock")]
    assert (known.mend(), drop_broken_rwlock()) == (False, False)
    for other in others:
        other.close()
    assert (lock.read_text(), Path(".dvc/tmp/rwlock").exists()) == ("", True)


@pytest.mark.parametrize(("text", "is_left"), [("", False), ('{"a": {"re', False), ("{}", True), ('{"a": {}}', True)])
def test_a_broken_rwlock_is_dropped(text: str, is_left: bool) -> None:
    note = Path(".dvc/tmp/rwlock")
    assert not drop_broken_rwlock()
    note.write_text(text)
    assert drop_broken_rwlock() is not is_left
    assert note.exists() is is_left


def test_what_was_not_known_is_left_alone(lock: Path) -> None:
    lock.write_bytes(b"\xff")
    known = Kept()
    known.look()
    lock.write_text("")
    assert not known.mend()
    assert lock.read_text() == ""
