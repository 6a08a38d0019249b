"""What the stages need goes away and comes back, and two work on one project at once."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from trials.line import Line, answers, free_port
from trials.made import Made, forget
from trials.small import ENV, Dvc, copy_of, ended_as, fork, let_go, running, wait_until
from trials.trial import Ended

KEYS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


class Outages:
    """Trials by number."""

    def __init__(self, made: Made, seed: int, count: int) -> None:
        self.made, self.seed, self.names = made, seed, list(map(str, range(count)))
        import flows.remote.store  # noqa: F401  before a fork

        self.line: Line | None = None

    def trial(self, name: str) -> Ended:
        rng = Random(f"{self.seed} {name}")
        kind = list(KINDS)[int(name) % len(KINDS)]
        wrong, told = KINDS[kind](self, rng, name)
        return Ended(kind, wrong, told)

    def one_workspace(self, rng: Random, _: str) -> tuple[str, str]:
        """Two make one stage in one folder. One may be told that the other is at work; it is made once and whole."""
        stage = rng.choice(self.made.stages)
        project = copy_of(self.made.whole, self.made.folder / "trial")
        forget(project, stage)
        first = Dvc(project, "repro", "--single-item", stage)
        time.sleep(rng.uniform(0, 2))
        second = Dvc(project, "repro", "--single-item", stage)
        codes = [first.wait(), second.wait()]
        let_go(first)
        let_go(second)
        if 0 not in codes or "Traceback" in first.said() + second.said():
            return f"ended with {codes}: {first.said()[-500:]} {second.said()[-500:]}", ""
        return self.made.what_is_wrong(project, stage), "both made it" if codes == [0, 0] else "one was told to wait"

    def two_workspaces(self, rng: Random, _: str) -> tuple[str, str]:
        """Two make one stage in two folders with one cache: both do."""
        stage = rng.choice(self.made.stages)
        projects = [copy_of(self.made.whole, self.made.folder / f"trial{i}") for i in range(2)]
        for project in projects:
            forget(project, stage)
            (project / ".dvc/config.local").write_text("[cache]\n    dir = ../../shared-cache\n")
        both = [Dvc(project, "repro", "--single-item", stage) for project in projects]
        codes = [dvc.wait() for dvc in both]
        for dvc in both:
            let_go(dvc)
        if codes != [0, 0]:
            return f"ended with {codes}: {''.join(dvc.said()[-500:] for dvc in both)}", ""
        return "".join(self.made.what_is_wrong(project, stage) for project in projects), ""

    def remote(self, rng: Random, name: str) -> tuple[str, str]:
        """DVC's remote, an S3, goes away in the middle of a push and of a pull for some seconds."""
        line = self.line = self.line or Line(s3_server())
        here = copy_of(self.made.whole, self.made.folder / "trial")
        there = copy_of(self.made.whole, self.made.folder / "trial-there")
        config = f"[core]\n    remote = store\n['remote \"store\"']\n    url = s3://tav/{self.seed}-{name}\n"
        config += f"    endpointurl = http://127.0.0.1:{line.port}\n"
        for project in (here, there):
            (project / ".dvc/config.local").write_text(config)
        for stage in self.made.stages:
            forget(there, stage, lock=False)
        for what, project in (("push", here), ("pull", there)):
            line.open(rng.choice([0, rng.randrange(1, 400_000)]))
            if wrong := carried(what, project, self.made.stages, line, rng.uniform(0, 6)):
                return f"{what}: {wrong}", ""
        return "".join(self.made.what_is_wrong(there, stage) for stage in self.made.stages), ""


KINDS: dict[str, Callable[[Outages, Random, str], tuple[str, str]]] = {
    "two `dvc repro` at once in one folder": Outages.one_workspace,
    "two `dvc repro` at once in two folders with one cache": Outages.two_workspaces,
    "the DVC remote is away in the middle of push and pull": Outages.remote,
}


def carried(what: str, project: Path, stages: list[str], line: Line, away: float) -> str:
    """Have the flow's code push or pull, and mend the line some seconds after it broke. What went wrong, or ""."""
    log = project.with_suffix(".carry")
    log.unlink(missing_ok=True)

    def carry() -> None:
        os.chdir(project)
        os.environ.update(ENV | KEYS)
        out = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        from flows.remote import store

        os._exit(store.main(what, stages))

    child = fork(carry)
    wait_until(lambda: line.is_broken() or (None if running(child) else True), 400)
    time.sleep(away)
    line.open()
    if (code := wait_until(lambda: ended_as(child), 400)) is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return f"ended with {code}: {log.read_text()[-900:]}" if code != 0 else ""


def s3_server() -> int:
    """The port of an S3 that forgets all when this process ends. It has the bucket `tav`."""
    port, parent = free_port(), os.getpid()
    fork(lambda: _serve_s3(port, parent))
    wait_until(lambda: answers(port) or None, 120)
    return port


def _serve_s3(port: int, parent: int) -> None:
    os.environ.update(KEYS)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    s3_backends["123456789012"]["aws"].create_bucket("tav", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    while os.getppid() == parent:
        time.sleep(1)
