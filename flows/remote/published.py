"""What a part has made so far: the entries of dvc.lock and its checkpoints, as a commit under refs/tav/<rev>-<part>.

The ref is a fence too: who publishes says which commit it last saw there. A worker that was given up, and finds that
another has gone on, is told so and stops.
"""

import json
from pathlib import Path
from typing import Any

from flows.remote import snapshot
from flows.remote.git import git, succeeds
from tav.params import UserError

LOCK, CHECKPOINTS = "dvc.lock", "checkpoints.json"


class TakenOver(Exception):
    """Another worker has gone on with this part."""


class Published:
    """The ref of one part, as its worker sees it."""

    def __init__(self, clone: Path, rev: str, part: str) -> None:
        self.clone, self.ref = clone, snapshot.ref(rev, part)
        self.remote = snapshot.remote_of(clone)
        self.commit = snapshot.refs(clone, f"{rev}-{part}").get(self.ref, "")
        """What the remote has. "": nothing yet."""
        self.files = read(clone, self.ref, self.commit) if self.commit else {}

    def lock(self) -> str:
        return self.files.get(LOCK, "")

    def checkpoints(self) -> dict[str, Any]:
        """Key -> its files on the remote, as flows.remote.checkpoints lists them."""
        kept: dict[str, Any] = json.loads(self.files.get(CHECKPOINTS, "{}"))
        return kept

    def write(self, files: dict[str, str]) -> None:
        """Publish: these files, and those that were there. Raises TakenOver, UserError."""
        new = {**self.files, **files}
        commit = _commit(self.clone, new, self.commit)
        lease = f"--force-with-lease={self.ref}:{self.commit}"
        try:
            git("push", "--quiet", "--no-verify", lease, self.remote, f"{commit}:{self.ref}", cwd=self.clone)
        except UserError as error:
            there = snapshot.refs(self.clone, self.ref.removeprefix("refs/tav/")).get(self.ref, "")
            if there not in (self.commit, commit):
                raise TakenOver(f"another worker has gone on with {self.ref}") from None
            if there != commit:
                raise error from None
        self.commit, self.files = commit, new


def read(clone: Path, ref: str, commit: str) -> dict[str, str]:
    """The files of a published commit, which the remote has under this ref."""
    if not succeeds("cat-file", "-e", commit, cwd=clone):
        git("fetch", "--quiet", "--no-write-fetch-head", snapshot.remote_of(clone), ref, cwd=clone)
    names = git("ls-tree", "--name-only", commit, cwd=clone).split()
    return {name: git("show", f"{commit}:{name}", cwd=clone) for name in names}


def _commit(clone: Path, files: dict[str, str], parent: str) -> str:
    rows = [
        f"100644 blob {git('hash-object', '-w', '--stdin', cwd=clone, stdin=text).strip()}\t{name}"
        for name, text in sorted(files.items())
    ]
    tree = git("mktree", cwd=clone, stdin="".join(f"{row}\n" for row in rows)).strip()
    before = ["-p", parent] if parent else []
    return git("commit-tree", tree, *before, "-m", "tav: what was made", cwd=clone, env=snapshot.NOBODY).strip()
