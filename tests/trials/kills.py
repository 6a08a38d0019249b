"""SIGKILL at a random moment: after it one `dvc repro` completes, and what is made is what an undisturbed run makes."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
from safetensors import safe_open
from trials.made import Made, forget
from trials.small import Dvc, copy_of, cpu, let_go, results, running, wait_until
from trials.trial import Ended

VICTIMS = ("DVC", "the stage's command", "the resident worker", "all of them")
WHOLE_EVERY = 50
LATER = 1.2
"""The last moment of a kill, in shares of the work of an undisturbed run: DVC writes its files in the end."""


class Kills:
    """Trials by number. Most run one stage, some the whole DAG; most with a worker that has its imports from us."""

    def __init__(self, made: Made, seed: int, count: int) -> None:
        self.made, self.seed, self.names = made, seed, list(map(str, range(count)))

    def trial(self, name: str) -> Ended:
        rng = Random(f"{self.seed} {name}")
        if int(name) % WHOLE_EVERY == WHOLE_EVERY - 1:
            return self._whole_dag(rng)
        stage = self.made.stages[int(name) % len(self.made.stages)]
        victim = VICTIMS[int(name) // len(self.made.stages) % len(VICTIMS)]
        when = rng.uniform(0, LATER * self.made.work[stage])
        while True:
            project = copy_of(self.made.whole, self.made.folder / "trial")
            forget(project, stage)
            dvc = Dvc(project, "repro", "--single-item", stage)
            if kill(dvc, victim, when):
                break
            when *= 0.6  # it was over before
        code = dvc.wait(90)
        return Ended(
            f"SIGKILL to {victim}, in `{stage.partition('@')[0]}`", self._afterwards(project, stage, dvc, code)
        )

    def _whole_dag(self, rng: Random) -> Ended:
        """`dvc repro` of everything as users have it; all processes are killed."""
        project, stage, delay = (
            copy_of(self.made.folder / "template", self.made.folder / "trial"),
            rng.choice(self.made.stages),
            rng.uniform(0, 10),
        )
        dvc = Dvc(project, "repro", *self.made.stages, resident="own")
        wait_until(lambda: f"'{stage}'" in dvc.said() or None, 600)
        time.sleep(delay)
        end_all_in(project)
        dvc.wait()
        again = Dvc(project, "repro", *self.made.stages, resident="own")
        wrong = f"ended with {code}: {again.said()[-700:]}" if (code := again.wait(900)) else ""
        let_go(again)
        made, wanted = (results(one) for one in (project, self.made.whole))
        differs = [name for name in {**made, **wanted} if made.get(name) != wanted.get(name)]
        return Ended("SIGKILL to all, in the whole DAG", wrong or (f"another {', '.join(differs)}" if differs else ""))

    def _afterwards(self, project: Path, stage: str, killed: Dvc, code: int | None) -> str:
        """What does not hold after a kill. One more run, at once."""
        known = checkpoint(project, stage)
        again = Dvc(project, "repro", "--single-item", stage)
        ended = again.wait(600)
        let_go(killed)
        let_go(again)
        if ended != 0:
            return f"the next run ended with {ended} (the killed one with {code}): {again.said()[-700:]}"
        if wrong := self.made.what_is_wrong(project, stage):
            return wrong
        if known and known != seconds_of(project)[: len(known)]:
            return f"did not go on from step {len(known)}: {known} became {seconds_of(project)}"
        return ""


def kill(dvc: Dvc, victim: str, when: float) -> bool:
    """Kill what is to be killed as soon as so many CPU seconds were spent. False: it was over before."""
    pids = [pid for pid in (dvc.pid, dvc.resident) if pid]

    def seen() -> bool | None:
        if not running(dvc.pid):
            return False
        return True if sum(map(cpu, pids)) >= when and find(dvc, victim) else None

    if not wait_until(seen, 300):
        let_go(dvc)
        return False
    for pid in find(dvc, victim):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return True


def find(dvc: Dvc, victim: str) -> list[int]:
    """The processes that are meant. Those of a stage's command may not be there, between two of them."""
    with suppress(psutil.Error):
        below = [child.pid for child in psutil.Process(dvc.pid).children(recursive=True)]
        return {
            "DVC": [dvc.pid],
            "the stage's command": below,
            "the resident worker": [pid for pid in [dvc.resident] if pid],
            "all of them": [dvc.pid, *below, *[pid for pid in [dvc.resident] if pid]],
        }[victim]
    return []


def end_all_in(project: Path) -> None:
    """Kill every process that works in a folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(project):
                process.kill()


def checkpoint(project: Path, stage: str) -> list[float]:
    """The seconds of each step that the newest checkpoint of a tuning tells. [] where there is none."""
    files = sorted((project / "checkpoints/cat").glob("step-*.safetensors"))
    if stage != "tune@cat" or not files:
        return []
    with safe_open(files[-1], "pt") as file:
        return [step["seconds"] for step in json.loads(file.metadata()["history"])]


def seconds_of(project: Path) -> list[float]:
    """Of each step, as the tuning tells them in the end: those of a checkpoint are told again as they were."""
    lines = (project / "artifacts/tune/cat/loss.csv").read_text().splitlines()
    return [float(line.rpartition(",")[2]) for line in lines[1:]]
