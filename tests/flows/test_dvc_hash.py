"""A hash that was kept is the one that DVC finds, whatever happens to the file."""

import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.output import Output
from dvc_data.hashfile.hash_info import HashInfo

from flows import dvc_api, dvc_hash
from flows.dvc_hash import Hashes


def test_the_pieces_are_where_they_were() -> None:
    assert "self._get_hash_meta()" in inspect.getsource(Output.get_hash)
    assert "self._build(" in inspect.getsource(Output._get_hash_meta)
    assert "self.hash_info != self.get_hash()" in inspect.getsource(Output.changed_checksum)


def found(*, ours: bool = True) -> list[HashInfo]:
    """The hashes of `made`, of a folder and of a file in it, as we keep them or as DVC finds them."""
    with dvc_api.repository() as repo, dvc_api.held(repo):
        (stage,) = [stage for stage in repo.index.stages if stage.addressing == "look"]
        hashes = Hashes(repo)
        told = [hashes.of(dep) if ours else dep.get_hash() for dep in stage.deps]
        hashes.keep()
    return told


@pytest.fixture
def looked_at(done_project: Path) -> Path:
    """A project with a stage that has a folder and a file, whose hashes are kept."""
    Path("dvc.yaml").write_text("stages: {look: {cmd: cat, deps: [made, data-b.txt], outs: [out]}}")
    Path("made/deep").mkdir()
    Path("made/deep/file").write_text("some")
    found()
    return Path(".dvc/tmp", dvc_hash.KEPT)


def test_what_was_kept_is_believed(looked_at: Path) -> None:
    assert found() == found(ours=False)
    kept = json.loads(looked_at.read_text())
    kept[str(Path("data-b.txt").absolute())][1] = "another"
    looked_at.write_text(json.dumps(kept))
    assert found()[1] == HashInfo("md5", "another")


def same_size() -> None:
    Path("made/deep/file").write_text("none")


def same_time() -> None:
    before = Path("data-b.txt").stat()
    Path("data-b.txt").write_text("longer")
    os.utime("data-b.txt", ns=(before.st_atime_ns, before.st_mtime_ns))


def another_file() -> None:
    Path("made/deep/more").touch()


def other_names() -> None:
    Path("made/deep/file").rename("made/deep/other")


def fewer() -> None:
    Path("made/deep/file").unlink()


def a_rule() -> None:
    Path(".dvcignore").write_text("file\n")


def a_rule_of_a_folder() -> None:
    Path("made").rename("in")
    Path("in/made").mkdir()
    Path("in/made/file").touch()
    Path("dvc.yaml").write_text("stages: {look: {cmd: cat, deps: [in/made, data-b.txt], outs: [out]}}")
    found()
    Path("in/.dvcignore").write_text("file\n")


def a_link() -> None:
    Path("elsewhere").write_text("text")
    Path("made/link").symlink_to(Path("elsewhere").absolute())
    found()
    Path("elsewhere").write_text("none")


def nonsense() -> None:
    Path(".dvc/tmp", dvc_hash.KEPT).write_text("[")


CHANGES = [same_size, same_time, another_file, other_names, fewer, a_rule, a_rule_of_a_folder, a_link, nonsense]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_changed_is_seen(looked_at: Path, change: Callable[[], None]) -> None:
    before = found()
    change()
    assert found() == found(ours=False)
    assert (found() == before) == (change is nonsense)
