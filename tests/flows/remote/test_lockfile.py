"""dvc.lock's entries merged, compared with what DVC itself writes."""

import shutil
from pathlib import Path

import pytest
from flow_project import sh

from flows.remote import lockfile


@pytest.mark.parametrize("kept", [[], ["second@b"]])
def test_entries_of_two_machines_are_as_dvc_wrote_them(done: Path, tmp_path: Path, kept: list[str]) -> None:
    """Whichever comes first, the file is that of one `dvc repro`, byte for byte."""
    whole = (done / "dvc.lock").read_text()
    names = lockfile.names_in(whole)
    entries = lockfile.entries_of(whole)
    assert sorted(names) == sorted(entries) == ["first@a", "first@b", "last", "second@a", "second@b"]
    text = ""
    for name in reversed(names):  # each as another machine publishes it
        published = lockfile.merged("", {name: entries[name]}, [], names)
        text = lockfile.merged(text, lockfile.entries_of(published), kept, names)
    in_order = [*kept, *(name for name in names if name not in kept)]
    assert lockfile.names_in(text) == in_order
    assert lockfile.entries_of(text) == entries
    assert (text == whole) == (not kept)


def test_a_changed_entry_takes_the_place_of_the_old_one(done_project: Path) -> None:
    old = (done_project / "dvc.lock").read_text()
    (done_project / "data-a.txt").write_text("other")
    sh("dvc", "repro", "-q")
    new = (done_project / "dvc.lock").read_text()
    assert new != old
    entries = {name: lockfile.entries_of(new)[name] for name in ("first@a", "second@a")}
    names = lockfile.names_in(old)
    assert lockfile.merged(old, entries, names, names) == new


def test_names_are_read_as_dvc_writes_them(tmp_path: Path) -> None:
    entries = {name: {"cmd": "x: y\n  z:"} for name in ("tune@1", "蓝", "on", "a-b_c@x")}
    text = lockfile.merged("", entries, [], list(entries))
    assert lockfile.names_in(text) == list(lockfile.entries_of(text)) == list(entries)


def test_a_lock_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    assert lockfile.read(path) == ""
    lockfile.write(path, "schema: '2.0'\n")
    assert (lockfile.read(path), [file.name for file in tmp_path.iterdir()]) == ("schema: '2.0'\n", ["dvc.lock"])
    shutil.rmtree(tmp_path)
