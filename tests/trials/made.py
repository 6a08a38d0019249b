"""The small project, made once without any fault: what all trials come to in the end, and what each stage takes."""

import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from trials.small import (
    STAGES,
    Dvc,
    copy_of,
    cpu,
    import_all,
    let_go,
    make_small,
    modules_used,
    outs_of,
    running,
    wait_until,
)


class Made:
    """Kept in a folder, from where it is taken the next time."""

    def __init__(self, folder: Path, stages: Sequence[str] = STAGES) -> None:
        """stages: the first of STAGES, or all of them."""
        self.folder, self.stages, self.whole = folder, list(stages), folder / "whole"
        self.work: dict[str, float] = {}
        """CPU seconds of DVC and of the stage, by stage."""
        self.results: dict[str, dict[str, Any]] = {}
        known = folder / "made.pickle"
        if not (folder / "template").is_dir():
            make_small(folder / "new", models=self.stages != ["extract@cat"])
            (folder / "new").rename(folder / "template")
        if known.exists():
            modules, self.work, self.results = pickle.loads(known.read_bytes())  # noqa: S301
            import_all(modules)
            return
        import_all(modules := modules_used(copy_of(folder / "template", self.whole), self.stages))
        for stage in self.stages:
            self.work[stage] = self._work_of(stage)
            self.results[stage] = outs_of(self.whole, stage)
        known.write_bytes(pickle.dumps((modules, self.work, self.results)))

    def _work_of(self, stage: str) -> float:
        """Of one undisturbed run."""
        forget(self.whole, stage, cache=False)
        dvc = Dvc(self.whole, "repro", "--single-item", stage)
        spent = 0.0

        def is_over() -> int | None:
            nonlocal spent
            if not running(dvc.pid):
                return dvc.wait()
            spent = max(spent, sum(cpu(pid) for pid in (dvc.pid, dvc.resident) if pid))
            return None

        if (code := wait_until(is_over, 600)) != 0:
            raise SystemExit(f"error: {stage} ended with {code} where nothing was wrong: {dvc.said()}")
        let_go(dvc)
        return spent

    def what_is_wrong(self, project: Path, stage: str) -> str:
        """What a stage made otherwise than here, or left behind. "": nothing."""
        found, wanted = outs_of(project, stage), self.results[stage]
        if differs := sorted(name for name in {**found, **wanted} if found.get(name) != wanted.get(name)):
            return f"another {', '.join(differs)}"
        return half_made(project)


def half_made(project: Path) -> str:
    """What a write that was broken off left behind. "": nothing."""
    left = [*project.glob("artifacts/**/.tmp-*"), *project.glob("artifacts/**/.*.partial")]
    return f"left {left[0].relative_to(project)}" if left else ""


def forget(project: Path, stage: str, *, lock: bool = True, cache: bool = True) -> None:
    """As if a stage had not run yet: no results, no entry in dvc.lock, and nothing at all in DVC's cache."""
    place = f"artifacts/{'models' if stage == 'model' else stage.replace('@', '/')}"
    for path in (place, "checkpoints", ".dvc/tmp/btime", *[".dvc/cache"] * cache):
        shutil.rmtree(project / path, ignore_errors=True)
    file, yaml = project / "dvc.lock", YAML()
    if lock and file.exists() and (data := yaml.load(file))["stages"].pop(stage, None):
        yaml.dump(data, file)
