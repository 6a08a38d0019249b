import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from flow_project import left, locked, wait_for

from flows import dag, process
from flows.ends import Exit
from tav.params import UserError

PYTHON = [sys.executable, "-I", "-S", "-c"]


def run(*command: str, **options: object) -> tuple[Exit, list[str]]:
    lines: list[str] = []
    end = process.run(command, process.environment(1), lines.append, **options)  # type: ignore[arg-type]
    return end, lines


def make(stage: str, **options: object) -> tuple[Exit, list[str]]:
    return run(*process.repro(stage), **options)


def test_a_command_ends_well_and_its_lines_come_as_they_are() -> None:
    end, lines = run(
        *PYTHON, r"import sys; print('one'); print('10%\r20%\r30%'); print('é', flush=True); sys.stderr.write('no end')"
    )
    assert end == Exit(True, False, "ran")
    assert lines == ["one", "30%", "é", "no end"]


def test_lines_come_while_it_runs() -> None:
    seen: list[float] = []
    process.run(
        [*PYTHON, "import time; print(1, flush=True); time.sleep(1); print(2)"],
        process.environment(1),
        lambda _: seen.append(time.monotonic()),
    )
    assert seen[1] - seen[0] > 0.7


def test_what_a_command_leaves_behind_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    end, lines = run("sh", "-c", "sleep 60 & echo started")
    assert (end.ok, lines) == (True, ["started"])
    assert time.monotonic() - start < 5
    wait_for(lambda: not left(tmp_path))


def test_the_environment_of_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    env = process.environment(3, "GPU-1")
    assert env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert (env["OMP_NUM_THREADS"], env["OMP_WAIT_POLICY"], env["CUDA_VISIBLE_DEVICES"]) == ("3", "PASSIVE", "GPU-1")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert process.environment(3)["OMP_NUM_THREADS"] == "2"


def test_independent_stages_run_side_by_side(fresh_project: Path) -> None:
    Path("how/first.py").write_text(
        "pathlib.Path(f'{name}.here').touch()\nwhile len(list(pathlib.Path().glob('*.here'))) < 2: time.sleep(0.05)"
    )
    ends: dict[str, Exit] = {}
    threads = [
        threading.Thread(target=lambda name=name: ends.update({name: make(name, timeout=60)[0]}))
        for name in ("first@a", "first@b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: end.text for name, end in ends.items()} == {"first@a": "ran", "first@b": "ran"}
    assert dag.needs(dag.read(["first"])) == dict.fromkeys(["data-a.txt.dvc", "first@a", "first@b"], "up to date")


def test_dvc_says_what_came_of_a_stage(done_project: Path) -> None:
    assert make("first@a")[0].text == "did not change"
    Path("made/first-a").unlink()
    assert make("first@a")[0].text == "came from the cache"
    Path("how/first.py").write_text("print('error: no cat here'); sys.exit(3)")
    assert make("first@a")[0] == Exit(False, False, "exited with 3: error: no cat here")
    Path("how/first.py").write_text("os.kill(os.getpid(), signal.SIGKILL)")
    assert make("first@a")[0] == Exit(False, True, "killed by SIGKILL")
    Path("how/first.py").write_text("sys.exit(75)")
    assert make("first@a")[0] == Exit(False, True, "exited with 75")
    Path("how/first.py").write_text("os.remove('data-a.txt')")
    end = make("first@a")[0]
    assert (end.ok, end.curable) == (False, False)
    assert end.text.startswith("was refused by DVC: "), end
    assert "data-a.txt" in end.text


def test_a_stage_that_takes_too_long_is_stopped(fresh_project: Path) -> None:
    Path("how/first.py").write_text("time.sleep(60)")
    start = time.monotonic()
    end, _ = make("first@a", timeout=4)
    assert end == Exit(False, False, "timed out after 4 s")
    assert time.monotonic() - start < 12
    assert not left(fresh_project)
    assert not locked()


@pytest.mark.parametrize("manners", ["", "signal.signal(signal.SIGINT, signal.SIG_IGN)"])
def test_a_stopped_stage_leaves_no_process_and_no_lock(fresh_project: Path, manners: str) -> None:
    sleep = "pathlib.Path('here').touch()\n__import__('subprocess').run(['sleep', '60'])"
    Path("how/first.py").write_text(f"{manners}\n{sleep}")
    stop = threading.Event()
    ends: list[Exit] = []
    thread = threading.Thread(target=lambda: ends.append(make("first@a", stop=stop)[0]))
    thread.start()
    wait_for(Path("here").exists)
    with pytest.raises(UserError, match="another DVC is at work"):
        dag.read()
    start = time.monotonic()
    stop.set()
    thread.join()
    assert time.monotonic() - start < (18 if manners else 6)
    assert ends == [Exit(False, False, "stopped")]
    assert not left(fresh_project)
    if not manners:
        assert not locked()
    Path("how/first.py").write_text("# well")
    assert make("first@a")[0].ok


def test_children_die_with_who_started_them(fresh_project: Path) -> None:
    Path("how/first.py").write_text("pathlib.Path('here').touch()\ntime.sleep(60)")
    start = "from flows import process; process.run(process.repro('first@a'), process.environment(1))"
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.DEVNULL) as parent:
        wait_for(Path("here").exists)
        assert len(left(fresh_project)) >= 4  # the parent, the supervisor, DVC, the stage
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not left(fresh_project), 10)
    assert not locked()
