"""The disk fills up in the middle of a stage: one line says so, nothing half-made stays, and with room it goes on."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from trials.made import Made, forget, half_made
from trials.small import Dvc, copy_of, let_go, outs_of
from trials.trial import Ended

SAID = ("the disk is full", "No space left on device", "File too large", "No possible cache link types")
"""By a stage, or by DVC when it keeps what a stage made."""


class FullDisk:
    """Trials by number: on a small disk where one can be mounted, else with files that may only grow so far."""

    def __init__(self, made: Made, seed: int, count: int) -> None:
        self.made, self.seed, self.names = made, seed, list(map(str, range(count)))

    def trial(self, name: str) -> Ended:
        rng = Random(f"{self.seed} {name}")
        stage = self.made.stages[int(name) % len(self.made.stages)]
        with disk_of_memory(self.made.folder / "disk") as (disk, is_small):
            project = copy_of(self.made.whole, disk / "trial")
            sizes = [file.stat().st_size for file in files_of(project, stage)]
            forget(project, stage)
            if is_small:
                fill(disk, leave=rng.randrange(3 * sum(sizes) + (1 << 16)))
                dvc = Dvc(project, "repro", "--single-item", stage)
            else:
                dvc = Dvc(project, "repro", "--single-item", stage, largest=rng.randrange(4096, max(*sizes, 8192)))
            code = dvc.wait()
            let_go(dvc)
            (disk / "full").unlink(missing_ok=True)
            kind = f"the disk {'is full' if is_small else 'takes no larger files'}, in `{stage.partition('@')[0]}`"
            wrong = self._when_full(project, stage, dvc, code) or self._with_room(project, stage)
        return Ended(kind, wrong, "an error" if code else "there was room")

    def _when_full(self, project: Path, stage: str, dvc: Dvc, code: int | None) -> str:
        """What does not hold of a run on a full disk."""
        said = dvc.said()
        if code and ("Traceback" in said or not any(words in said for words in SAID)):
            return f"ended with {code}, not in one line: {said[-1500:]}"
        made, whole = outs_of(project, stage) if (project / "dvc.lock").stat().st_size else {}, self.made.results[stage]
        if half := [name for name, what in made.items() if what is not None and what != whole.get(name)]:
            return f"half of {', '.join(half)}"
        return half_made(project)

    def _with_room(self, project: Path, stage: str) -> str:
        """What does not hold when there is room again."""
        dvc = Dvc(project, "repro", "--single-item", stage)
        code = dvc.wait()
        let_go(dvc)
        if code:
            return f"with room again it ended with {code}: {dvc.said()[-700:]}"
        return self.made.what_is_wrong(project, stage)


def files_of(project: Path, stage: str) -> list[Path]:
    """The files that a stage made."""
    return [project / name for name in outs_of(project, stage) if name.startswith("artifacts/")]


def fill(disk: Path, leave: int) -> None:
    """Take all room on a disk but so many bytes."""
    free = shutil.disk_usage(disk).free
    with (disk / "full").open("wb") as file:
        file.write(bytes(max(0, free - leave)))


@contextmanager
def disk_of_memory(folder: Path, megabytes: int = 48) -> Iterator[tuple[Path, bool]]:
    """An empty folder, and whether it is a small disk of its own: only root may mount one, and not everywhere."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(mounting, capture_output=True).returncode == 0
    try:
        yield folder, bool(mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
