"""The working tree as a commit, with real git."""

import subprocess
from pathlib import Path

import pytest

from flows.remote import snapshot
from flows.remote.git import git
from flows.remote.published import Published, TakenOver
from tav.params import UserError


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a commit, whose remote is a bare repository beside it."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "t")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "t@t")
    git("init", "--quiet", "--bare", str(tmp_path / "hub.git"))
    folder = tmp_path / "clone"
    git("clone", "--quiet", str(tmp_path / "hub.git"), str(folder))
    (folder / ".gitignore").write_text("/ignored\n")
    (folder / "dvc.lock").write_text("one\n")
    (folder / "params.yaml").write_text("a: 1\n")
    git("add", ".", cwd=folder)
    git("commit", "--quiet", "--message", "x", cwd=folder)
    return folder


def test_a_snapshot_has_all_and_touches_nothing(clone: Path) -> None:
    (clone / "params.yaml").write_text("a: 2\n")
    (clone / "staged.txt").write_text("staged")
    git("add", "staged.txt", cwd=clone)
    (clone / "new.txt").write_text("new")
    (clone / "ignored").write_text("no")
    (clone / ".env").write_text("TOKEN=x")
    before = [git(*words, cwd=clone) for words in (("status", "--short"), ("rev-parse", "HEAD"), ("branch", "--all"))]
    index = (clone / ".git/index").read_bytes()
    taken = snapshot.take(clone)
    assert (clone / ".git/index").read_bytes() == index
    assert before == [
        git(*words, cwd=clone) for words in (("status", "--short"), ("rev-parse", "HEAD"), ("branch", "--all"))
    ]
    names = git("ls-tree", "--name-only", taken.commit, cwd=clone).split()
    assert names == [".gitignore", "dvc.lock", "new.txt", "params.yaml", "staged.txt"]
    assert snapshot.text_of(taken.commit, "params.yaml", clone) == "a: 2\n"
    assert taken.left_out == [".env"]
    assert snapshot.carried(taken.commit, "new.txt", clone)
    assert not snapshot.carried(taken.commit, "ignored", clone)


def test_the_same_work_has_the_same_name_whatever_of_it_is_done(clone: Path) -> None:
    first = snapshot.take(clone)
    (clone / "dvc.lock").write_text("one\ntwo\n")
    second = snapshot.take(clone)
    assert second.rev == first.rev
    assert snapshot.text_of(second.commit, "dvc.lock", clone) == "one\ntwo\n"
    (clone / "params.yaml").write_text("a: 3\n")
    assert snapshot.take(clone).rev != first.rev


def test_a_large_new_file_is_told_and_not_pushed(clone: Path) -> None:
    with (clone / "big.bin").open("wb") as file:
        file.truncate(30_000_000)
    with pytest.raises(UserError, match=r"too large for git.*big\.bin: `dvc add` it"):
        snapshot.take(clone)


def test_refs_come_and_go(clone: Path) -> None:
    taken = snapshot.take(clone)
    snapshot.push(taken, clone)
    published = Published(clone, taken.rev, "red-car")
    published.write({"dvc.lock": "made\n"})
    refs = snapshot.refs(clone)
    assert set(refs) == {f"refs/tav/{taken.rev}", f"refs/tav/{taken.rev}-red-car"}
    assert set(snapshot.refs(clone, f"{taken.rev}-")) == {f"refs/tav/{taken.rev}-red-car"}
    snapshot.forget(list(refs), clone)
    assert snapshot.refs(clone) == {}


def test_who_was_given_up_publishes_no_more(clone: Path, tmp_path: Path) -> None:
    git("push", "--quiet", "origin", "HEAD:main", cwd=clone)
    git("clone", "--quiet", "--branch", "main", str(tmp_path / "hub.git"), str(tmp_path / "other"))
    rev = snapshot.take(clone).rev
    given_up = Published(clone, rev, "a")
    given_up.write({"dvc.lock": "first\n"})
    other = Published(tmp_path / "other", rev, "a")
    assert other.lock() == "first\n"
    other.write({"dvc.lock": "first and second\n"})
    with pytest.raises(TakenOver):
        given_up.write({"dvc.lock": "late\n"})
    assert Published(clone, rev, "a").lock() == "first and second\n"


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (("remote", "remove", "origin"), "git has no remote that workers could share: `git remote add origin ADDRESS`"),
        (("remote", "set-url", "origin", "http://me:secret@127.0.0.1:1/x"), "git push failed: fatal: unable to access"),
    ],
)
def test_a_remote_that_is_not_there_is_one_line(clone: Path, prepare: tuple[str, ...], said: str) -> None:
    subprocess.run(["git", *prepare], cwd=clone, check=True)
    with pytest.raises(UserError) as told:
        snapshot.push(snapshot.take(clone), clone)
    assert str(told.value).startswith(said)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)
