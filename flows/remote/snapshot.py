"""The working tree as a commit that touches neither branch nor index, and the refs that carry it to the workers."""

import fnmatch
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from flows.remote.git import git, succeeds
from tav.complaints import listed
from tav.params import UserError

NOBODY = {
    f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "tav"), ("EMAIL", "tav"))
}
SECRET = (
    ".env",
    ".env.*",
    "*.pem",
    "*.key",
    "id_rsa*",
    "id_ed25519*",
    ".netrc",
    "*credentials*",
    "*.tfstate",
    ".pgpass",
)
"""Files that git does not know yet and that are named like this stay here."""
LARGEST = 20e6
"""Bytes of a file that git does not know yet."""
LOCK = "dvc.lock"


class Snapshot(NamedTuple):
    """What to run, as a commit."""

    commit: str
    rev: str
    """The tree's hash without its dvc.lock: the same for a driver that comes back when a part of the work is done."""
    left_out: list[str]
    """Files that look like secrets."""


def take(project: Path) -> Snapshot:
    """Make the commit: all that git tracks, and new files that no .gitignore names. Raises UserError."""
    top = Path(git("rev-parse", "--show-toplevel", cwd=project).strip())
    head = git("rev-parse", "HEAD", cwd=top).strip() if succeeds("rev-parse", "--verify", "HEAD", cwd=top) else ""
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder, "index")
        real = Path(git("rev-parse", "--path-format=absolute", "--git-path", "index", cwd=top).strip())
        if real.is_file():
            shutil.copy2(real, index)  # with its times, so that git reads only what changed
        env = {"GIT_INDEX_FILE": str(index)}
        left_out = _new_files(top)
        git("add", "--all", "--", ".", *(f":(exclude,literal,top){path}" for path in left_out), cwd=top, env=env)
        tree = git("write-tree", cwd=top, env=env).strip()
        git("rm", "--quiet", "--cached", "--ignore-unmatch", f"{prefix(project)}{LOCK}", cwd=top, env=env)
        rev = git("write-tree", cwd=top, env=env).strip()
    parent = ["-p", head] if head else []
    commit = git("commit-tree", tree, *parent, "-m", "tav: what to run", cwd=top, env=NOBODY).strip()
    return Snapshot(commit, rev, left_out)


def _new_files(top: Path) -> list[str]:
    """Of the files that git does not know: those that look like secrets. Raises UserError for what is too large."""
    new = git("ls-files", "--others", "--exclude-standard", "-z", cwd=top).split("\0")[:-1]
    secret = [path for path in new if any(fnmatch.fnmatch(Path(path).name.lower(), like) for like in SECRET)]
    large = [path for path in new if path not in secret and _size(top / path) > LARGEST]
    if large:
        raise UserError(
            f"too large for git, and neither git nor DVC keeps it: {listed(large, ', ')}: `dvc add` it, or name it in "
            ".gitignore"
        )
    return secret


def _size(path: Path) -> int:
    return path.lstat().st_size if path.is_file() else 0


def carried(commit: str, path: str, project: Path) -> bool:
    """Whether the commit has a file or folder of this name. path: relative to the project."""
    return succeeds("cat-file", "-e", f"{commit}:{prefix(project)}{path}", cwd=project)


def text_of(commit: str, path: str, project: Path) -> str:
    """A file of a commit, path relative to the project; "" where it has none."""
    return git("show", f"{commit}:{prefix(project)}{path}", cwd=project) if carried(commit, path, project) else ""


def prefix(project: Path) -> str:
    """Where the project lies in its repository: "" or "folder/"."""
    return git("rev-parse", "--show-prefix", cwd=project).strip()


def remote_of(project: Path) -> str:
    """Git's remote that workers share with us: the branch's own, else origin, else the only one. Raises UserError."""
    names = git("remote", cwd=project).split()
    branch = (
        git("rev-parse", "--abbrev-ref", "HEAD", cwd=project).strip()
        if succeeds("rev-parse", "HEAD", cwd=project)
        else ""
    )
    key = f"branch.{branch}.remote"
    configured = git("config", key, cwd=project).strip() if succeeds("config", key, cwd=project) else ""
    chosen = [name for name in (configured, "origin", *(names if len(names) == 1 else [])) if name in names]
    if not chosen:
        raise UserError("git has no remote that workers could share: `git remote add origin ADDRESS`")
    return chosen[0]


def ref(rev: str, part: str = "") -> str:
    """refs/tav/<rev> of a snapshot, refs/tav/<rev>-<part> of what came of a part."""
    return f"refs/tav/{rev}-{part}" if part else f"refs/tav/{rev}"


def push(snapshot: Snapshot, project: Path) -> None:
    git(
        "push",
        "--quiet",
        "--no-verify",
        "--force",
        remote_of(project),
        f"{snapshot.commit}:{ref(snapshot.rev)}",
        cwd=project,
    )


def refs(project: Path, rev: str = "") -> dict[str, str]:
    """The refs of a snapshot and its parts that the remote has (rev "": of all): name -> commit."""
    listing = git("ls-remote", "--quiet", remote_of(project), f"refs/tav/{rev}*", cwd=project)
    return {name: commit for commit, _, name in (line.partition("\t") for line in listing.splitlines())}


def forget(names: list[str], project: Path) -> None:
    """Delete refs of the remote."""
    if names:
        git("push", "--quiet", "--no-verify", remote_of(project), "--delete", *names, cwd=project)
