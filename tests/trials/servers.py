"""Prefect's server restarts in the middle of a flow, and MLflow's is away while results are told to it."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from flow_project import DVC_YAML, PARAMS, STAGE_PY
from trials.line import Line, answers, free_port
from trials.made import Made
from trials.small import ENV, copy_of, wait_until
from trials.trial import Ended

QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


class Server:
    """A server of Prefect's or MLflow's, with its data in a folder: it can be killed, and started anew on its port."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.port = kind, folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = ENV | QUIET | {"PREFECT_HOME": str(self.folder), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        words = {
            "prefect": ["prefect", "server", "start", "--no-ui"],
            "mlflow": ["mlflow", "server", "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/m.db"],
        }[self.kind]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words, "--port", str(self.port)], cwd=self.folder, env=env, stdout=log, stderr=log
        )
        if not wait_until(lambda: answers(self.port) or None, 400):
            raise SystemExit(f"error: the {self.kind} server did not start: see {self.folder}/log")

    def kill(self) -> None:
        import psutil

        if self.process:
            tree = psutil.Process(self.process.pid)
            for process in [*tree.children(recursive=True), tree]:
                process.kill()
            self.process.wait()


class Servers:
    """Trials by number: Prefect's and MLflow's in turn."""

    def __init__(self, made: Made, seed: int, count: int) -> None:
        self.made, self.seed, self.names = made, seed, list(map(str, range(count)))

    def trial(self, name: str) -> Ended:
        rng = Random(f"{self.seed} {name}")
        return self.prefect(rng) if int(name) % 2 == 0 else self.mlflow(rng)

    def prefect(self, rng: Random) -> Ended:
        """The flow completes, or the same command completes it when the server is back."""
        project = make_flow_project(self.made.folder / "flow")
        server = Server("prefect", self.made.folder / "prefect")
        server.start()
        env = ENV | {"PREFECT_API_URL": f"http://127.0.0.1:{server.port}/api", "PREFECT_HOME": str(server.folder)}
        try:
            flow = tav(project, env, "run", "--jobs", "2")
            wait_until(lambda: True if (project / "ran.txt").exists() or flow.poll() is not None else None, 300)
            time.sleep(rng.uniform(0, 5))
            server.kill()
            time.sleep(rng.uniform(0, 10))
            server.start()
            first = flow.communicate(timeout=600)[0]
            code, said = flow.returncode, first
            if code:
                again = tav(project, env, "run", "--jobs", "2")
                said = again.communicate(timeout=600)[0]
                wrong = f"the next run ended with {again.returncode}: {said[-900:]}" if again.returncode else ""
            else:
                wrong = ""
        finally:
            server.kill()
        if not wrong and (status := dvc(project, "status", "--quiet")):
            wrong = f"all was made, and DVC says otherwise: {status}"
        ran = sorted(line.split()[0] for line in (project / "ran.txt").read_text().splitlines())
        told = "the flow went on" if not code else "the next run completed it"
        return Ended(
            "Prefect's server restarts in the middle of `tav run`",
            wrong or first[-900:] * ("Traceback" in first),
            f"{told} ({len(ran)} stages run)",
        )

    def mlflow(self, rng: Random) -> Ended:
        """What could not be told is told when it is back, once."""
        server = Server("mlflow", self.made.folder / "mlflow")
        server.start()
        line = Line(server.port)
        project = copy_of(self.made.whole, self.made.folder / "recorded")
        env = ENV | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{line.port}", "TAV_TRACKING": "on"}
        try:
            line.open(rng.choice([0, rng.randrange(1, 20_000)]))
            away = tav(project, env, "record")
            said = away.communicate(timeout=600)[0]
            line.open()
            back = tav(project, env, "record").communicate(timeout=600)[0]
            again = tav(project, env, "record").communicate(timeout=600)[0]
        finally:
            line.cut()
            server.kill()
        wrong = ""
        if "Traceback" in said or (away.returncode and "can't be used" not in said):
            wrong = f"away: {said[-900:]}"
        elif "1 edits, 1 tunings" not in back or "updated" in again or "new" in again:
            wrong = f"back: {back[-500:]} and again: {again[-500:]}"
        return Ended(
            "MLflow is away in the middle of `tav record`", wrong, "an error, then all" if away.returncode else "all"
        )


def tav(project: Path, env: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tav", *words],
        cwd=project,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def dvc(project: Path, *words: str) -> str:
    """What DVC says when it does not end well."""
    done = subprocess.run([sys.executable, "-m", "dvc", *words], cwd=project, env=ENV, capture_output=True, text=True)
    return f"{done.returncode} {done.stdout}{done.stderr}" if done.returncode else ""


def make_flow_project(folder: Path) -> Path:
    """The small project of tests/flow_project.py, whose stages take two seconds."""
    import json

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "how").mkdir(parents=True)
    for stage in ("first", "second"):
        (folder / f"how/{stage}.py").write_text("time.sleep(2)\n")
    for key in "ab":
        (folder / f"data-{key}.txt").write_text(key)
    (folder / "stage.py").write_text(STAGE_PY)
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "params.yaml").write_text(json.dumps(PARAMS))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, env=ENV, check=True)
    return folder
