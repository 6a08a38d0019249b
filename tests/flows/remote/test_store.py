"""What stages take from DVC's remote, which is a folder here, and what the project must bring for workers."""

import shutil
import sys
from pathlib import Path

import pytest
from flow_project import sh

from flows import dvc_api
from flows.remote import store
from tav.params import UserError


def test_a_stage_finds_its_inputs_and_what_it_made(done_project: Path, tmp_path: Path) -> None:
    """In a folder that has nothing but what git carries, a stage that was made is not made again."""
    sh("dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    assert store.main("push", ["data-a.txt.dvc", "first@a"]) == 0
    for name in ("made", ".dvc/cache"):
        shutil.rmtree(name)
    Path("data-a.txt").unlink()
    sh(sys.executable, "-m", "flows.remote.repro", "second@a")
    assert Path("made/first-a").read_text() == "first@a"
    with dvc_api.repository() as repo:
        store.bring(repo, "first@a")
    assert Path("data-a.txt").read_text() == "a"
    ran = [line.split()[0] for line in Path("ran.txt").read_text().splitlines()]
    assert ran == ["second@a"], "it was never pushed"
    assert store.main("pull", ["second@a"]) == 0, "its outputs went to the remote"


def test_what_neither_git_nor_dvc_keeps_is_named(fresh_project: Path) -> None:
    with dvc_api.repository() as repo:
        assert store.leaves(repo, ["first@a", "first@b", "second@a", "last"]) == {
            "how/first.py": "first@b",
            "data-b.txt": "first@b",
            "how/second.py": "second@a",
        }
        assert store.order(repo)[-1] == "last"
        with pytest.raises(UserError, match=r"workers need a DVC remote .*: `dvc remote add -d store ADDRESS`"):
            store.check_remote(repo)


def test_a_remote_that_comes_back_loses_nothing() -> None:
    tries = []

    def away_twice() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("https://me:word@store is away")

    store.patiently(away_twice, waits=[0, 0, 0])
    assert len(tries) == 3
    tries.clear()
    with pytest.raises(ConnectionError):
        store.patiently(away_twice, waits=[0])
