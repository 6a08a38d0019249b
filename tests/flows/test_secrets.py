"""A secret of the environment that a stage prints stands nowhere afterwards: not in the project, MLflow or Prefect."""

import os
import subprocess
import sys
from itertools import chain, count, takewhile
from pathlib import Path

import pytest
from tracked_project import STAGE, change, make_tracked_project

SECRET = "not-for-any-page"
PASSWORD = "nor-this-one"
TOLD = """
print("my key is", os.environ["AWS_SECRET_ACCESS_KEY"])
print("from https://me:nor-this-one@git.org/x", file=sys.stderr)
"""


def kept_by_prefect() -> list[str]:
    """What Prefect's server has: logs, tables, parameters, states."""
    from prefect import get_client

    with get_client(sync_client=True) as client:
        logs = chain.from_iterable(takewhile(bool, (client.read_logs(offset=after) for after in count(0, 200))))
        kept = [*logs, *client.read_artifacts(), *client.read_flow_runs(), *client.read_task_runs()]
    return [one.model_dump_json() for one in kept]


@pytest.mark.timeout(900)
def test_a_secret_stands_nowhere(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_tracked_project(tmp_path, report=True)
    Path("stage.py").write_text(STAGE + TOLD)
    change("  cat: {path: cat.mp4, caption: a cat, extract: {}, tune: {}}\n", "")
    change("  cat--dog: {video: cat, prompt: a dog, seed: 7}\n", "")
    env = {**os.environ, "PREFECT_API_URL": server, "AWS_SECRET_ACCESS_KEY": SECRET, "DVC_NO_ANALYTICS": "1"}
    env |= {"TAV_TRACKING": "on"}
    for command in (
        ["git", "init", "-q"],
        ["git", "remote", "add", "origin", f"https://me:{PASSWORD}@git.org/x"],
        [sys.executable, "-m", "dvc", "init", "-q"],
    ):
        subprocess.run(command, env=env, check=True)
    done = subprocess.run([sys.executable, "-m", "tav", "run"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path("artifacts/report/index.html").exists()
    assert Path("mlflow.db").exists()
    prefect = "".join(kept_by_prefect())
    assert "my key is ***" in prefect  # it was said, and hidden
    assert "https://***@git.org" in prefect
    files = {str(file): file.read_bytes() for file in Path().rglob("*") if file.is_file() and ".git" not in file.parts}
    told = files | {"said": (done.stdout + done.stderr).encode(), "Prefect": prefect.encode()}
    del told["stage.py"]
    for secret in (SECRET, PASSWORD):
        assert [name for name, what in told.items() if secret.encode() in what] == []
