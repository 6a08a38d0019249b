"""SIGKILL to a worker or the driver of `tav run --workers`, with a Prefect server, clones and a remote as users have.

After it the same command completes, and what it brings is what one machine makes.
"""

import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
from trials.kills import end_all_in
from trials.made import Made, half_made
from trials.servers import Server, tav
from trials.small import ENV, wait_until
from trials.trial import Ended

VICTIMS = ("a worker and all that it runs", "a worker's own process", "the driver", "the driver and a worker")
NAMES = ("w1", "w2")
SILENCE = "45"
"""Seconds without a heartbeat until a machine is given up; Prefect beats every 30."""


class Workers:
    """Trials by number: the victims in turn, each as a stage of a random kind runs."""

    def __init__(self, made: Made, seed: int, count: int) -> None:
        self.made, self.seed, self.names = made, seed, list(map(str, range(count)))
        self.root = made.folder / "machines"
        self.server = Server("prefect", made.folder / "prefect-of-workers")
        who = {f"GIT_{who}_{what}": "t@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        address = f"http://127.0.0.1:{self.server.port}/api"
        self.env = ENV | who | {"PREFECT_API_URL": address, "TAV_SILENCE": SILENCE}
        self.env |= {"PREFECT_HOME": str(self.server.folder)}

    def trial(self, name: str) -> Ended:
        rng = Random(f"{self.seed} {name}")
        victim, stage, delay = VICTIMS[int(name) % len(VICTIMS)], rng.choice(self._on_workers()), rng.uniform(0, 6)
        self.server.start()
        self._clone()
        workers = {name: self._work(name) for name in NAMES}
        try:
            wrong, told = self._disturbed(workers, victim, stage, delay)
        finally:
            end_all_in(self.root)
            self.server.kill()
        return Ended(f"SIGKILL to {victim}", wrong or self._what_is_wrong(), told)

    def _on_workers(self) -> list[str]:
        return [stage for stage in self.made.stages if "@" in stage]

    def _clone(self) -> None:
        """A driver and the workers, each in a clone of one repository, where nothing is made yet."""
        shutil.rmtree(self.root, ignore_errors=True)
        hub = Path(shutil.copytree(self.made.folder / "template", self.root / "first"))
        for words in (
            ["dvc", "remote", "add", "--quiet", "--default", "store", str(self.root / "store")],
            ["git", "add", "--all", "--force"],
            ["git", "commit", "--quiet", "--message", "A small project"],
            ["git", "clone", "--quiet", "--bare", ".", "../hub.git"],
            *(["git", "clone", "--quiet", "../hub.git", f"../{name}"] for name in ("driver", *NAMES)),
        ):
            python = [sys.executable, "-m"] if words[0] == "dvc" else []
            subprocess.run([*python, *words], cwd=hub, env=self.env, check=True)

    def _work(self, name: str) -> psutil.Process:
        log = (self.root / f"{name}.log").open("wb")
        command = [sys.executable, "-m", "tav", "worker", "--checkpoint-minutes", "0.02"]
        worker = subprocess.Popen(command, cwd=self.root / name, env=self.env, stdout=log, stderr=log)
        return psutil.Process(worker.pid)

    def _disturbed(self, workers: dict[str, psutil.Process], victim: str, stage: str, delay: float) -> tuple[str, str]:
        """What went wrong, and what came of it."""
        driver = tav(self.root / "driver", self.env, "run", "--workers", *self.made.stages)
        name = wait_until(lambda: self._where(stage) or (driver.poll() is not None and "none") or None, 900)
        if name not in NAMES:
            return f"{stage} never ran: {driver.communicate()[0][-900:]}", ""
        time.sleep(delay)
        if "worker" in victim:
            kill(workers[name], alone=victim == VICTIMS[1])
        if "driver" in victim:
            kill(psutil.Process(driver.pid))
        said = driver.communicate(timeout=900)[0]
        if driver.returncode == 0:
            return "", "the run completed"
        again = tav(self.root / "driver", self.env, "run", "--workers", *self.made.stages)
        said = again.communicate(timeout=900)[0]
        return (
            f"the next run ended with {again.returncode}: {said[-900:]}" if again.returncode else ""
        ), "the next did"

    def _where(self, stage: str) -> str:
        """The worker that says that it makes this stage; "" where none has."""
        return next((name for name in NAMES if f"{stage}: " in (self.root / f"{name}.log").read_text()), "")

    def _what_is_wrong(self) -> str:
        driver = self.root / "driver"
        wrong = [self.made.what_is_wrong(driver, stage) for stage in self.made.stages]
        return next(filter(None, wrong), half_made(driver))


def kill(process: psutil.Process, *, alone: bool = False) -> None:
    """With all that it started, or (alone) what it needs to go on: what it started for a stage lives on."""
    tree = [process, *process.children(recursive=not alone)]
    for one in tree:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(tree, timeout=10)
