"""What a person sees of `tav`: help at once, one line for an error they can mend, no half-written files."""

import errno
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from filelock import FileLock

from tav.params import UserError, load
from tav.running.outcome import explain

ROOT = Path(__file__).parent.parent


def tav(*args: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tav", *args]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=120)


def error_of(*args: str, cwd: Path = ROOT) -> str:
    done = tav(*args, cwd=cwd)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("params.yaml", "dvc.yaml", "recipe.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


@pytest.fixture
def known(project: Path) -> str:
    """A video of the project."""
    return next(iter(load(project / "params.yaml").videos))


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from tav.__main__ import app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "diffusers", "transformers", "mlflow", "prefect", "dvc"} & set(done.stdout.split())


def test_help_shows_what_a_person_types() -> None:
    shown = re.findall(r"^[│ ]+([a-z]+) ", tav("--help").stdout, re.M)
    assert {"add", "run", "plan", "table", "report", "record", "ui"} <= set(shown)
    assert not {"model", "extract", "caption", "tune", "invert", "condition", "edit", "evaluate"} & set(shown)


def test_version() -> None:
    assert tav("--version").stdout == f"tav {version('tav')}\n"


def test_outside_a_project(tmp_path: Path) -> None:
    """Nothing is left there: to DVC a folder with a `.dvc` is a repository, in which `dvc init` refuses to make one."""
    for command in (["tune", "cat"], ["report"], ["plan"], ["table"]):
        assert "run this in the project's folder" in error_of(*command, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_stage_makes_no_dvc_repository(project: Path, known: str) -> None:
    error_of("tune", known, cwd=project)
    assert not (project / ".dvc").exists()


def test_unknown_video_names_the_nearest(project: Path, known: str) -> None:
    assert f"did you mean '{known}'?" in error_of("extract", known[:-1], cwd=project)


def test_odd_name(project: Path) -> None:
    assert "can't be a name" in error_of("extract", "../x", cwd=project)


@pytest.mark.parametrize("stage", ["tune", "invert"])
def test_stage_without_what_comes_before(project: Path, known: str, stage: str) -> None:
    said = error_of(stage, known, cwd=project)
    assert f"artifacts/extract/{known}" in said
    assert "dvc repro" in said
    assert not list(project.glob("artifacts/*/*/*"))


def test_second_run_of_one_stage(project: Path, known: str) -> None:
    (project / "artifacts/.lock").mkdir(parents=True)
    with FileLock(project / f"artifacts/.lock/extract@{known}"):
        said = error_of("extract", known, cwd=project)
    assert f"extract@{known} runs already in this folder, by process {os.getpid()} (" in said


def test_traceback_when_asked(project: Path) -> None:
    done = tav("extract", "nobody", cwd=project, TAV_TRACEBACK="1")
    assert "Traceback" in done.stderr


def test_explained_errors() -> None:
    full = str(explain(OSError(errno.ENOSPC, "No space left on device")))
    assert "disk is full" in full
    assert "`dvc gc --workspace --all-commits`" in full
    helps = str(explain(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")))
    assert all(setting in helps for setting in ("compute.memory", "tune.gradient_checkpointing", "extract.size"))
    assert explain(UserError("a\n b")) == "a b"
    assert explain(FloatingPointError("the latents are not finite")) == "the latents are not finite"
    assert explain(RuntimeError("shape mismatch")) is None


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    said = explain(UserError(f"weights have \x1b]0;title\x07 and \0\n and\u202e {'x' * 1_000_000}"))
    assert said
    assert said.startswith(r"weights have \x1b]0;title\x07 and \x00 and\u202e xxx")
    assert said.isprintable()
    assert len(said) < 300
    assert explain(UserError("many words " * 100_000)) == ("many words " * 200)[:1999] + "…"


def test_a_full_disk_under_safetensors_is_told_in_a_line(tmp_path: Path) -> None:
    """It has an error type of its own. Here a limit of the file's size stands for the full disk."""
    code = """
import resource, sys, torch
from pathlib import Path
from tav import __main__
from tav.artifacts import write_tensors
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
__main__.app = lambda: write_tensors(Path(sys.argv[1], "latents.safetensors"), {"latents": torch.zeros(1000)})
__main__.main()
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("error: the disk is full (Error while serializing: I/O error")
    assert not [*tmp_path.iterdir()]
