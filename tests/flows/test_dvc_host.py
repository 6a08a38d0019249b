"""Stages that are made by forks of one DVC, which read the project once."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from flow_project import left, locked, wait_for

from flows import ends, front, process
from flows.dvc_host import PLACE, hosted
from flows.ends import Exit


@pytest.fixture
def host(done_project: Path) -> Iterator[psutil.Process]:
    """The host of a project that is made."""
    before = set(psutil.Process().children())
    with hosted():
        (process_of_host,) = set(psutil.Process().children()) - before
        yield process_of_host
    assert left(done_project) == []


def made(stage: str, said: list[str] | None = None, stop: threading.Event | None = None) -> Exit:
    return process.run(
        process.repro(stage), process.environment(1), (said if said is not None else []).append, stop=stop
    )


def test_a_host_makes_what_each_dvc_would(host: psutil.Process, done_project: Path) -> None:
    assert front.__file__ in process.repro("first@a")
    before = Path("dvc.lock").read_text()
    assert made("first@a") == ends.ENDS[ends.UNCHANGED]
    Path("made/first-a").unlink()
    assert made("first@a") == ends.ENDS[ends.CACHED]
    Path("how/first.py").write_text("print('hello'); sys.exit(3) if name == 'first@b' else None")
    said: list[str] = []
    assert made("first@a", said) == ends.ENDS[ends.RAN]
    assert "hello" in said
    assert not made("first@b").ok
    assert made("first@b").text == "exited with 3: hello"
    assert made("nothing@a").text.startswith("was refused by DVC: ")
    ours = Path("dvc.lock").read_text()
    assert ours != before
    Path("dvc.lock").write_text(before)  # what the host knows of it is no longer so
    assert made("first@a") == ends.ENDS[ends.CACHED]
    assert Path("dvc.lock").read_text() == ours
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace('"tune": {}', '"tune": {"steps": 1}', 1))
    assert made("first@a") == ends.ENDS[ends.RAN]
    assert "steps: 1" in Path("dvc.lock").read_text()
    assert Path("ran.txt").read_text().count("first@a") == 2


def test_a_fork_is_stopped_with_all_that_it_runs(host: psutil.Process, done_project: Path) -> None:
    Path("how/first.py").write_text("pathlib.Path('begun').touch(); time.sleep(600)")
    stop, ended = threading.Event(), []
    thread = threading.Thread(target=lambda: ended.append(made("first@a", stop=stop)))
    thread.start()
    wait_for(Path("begun").exists)
    stop.set()
    thread.join()
    assert ended[0].text == "stopped"
    wait_for(lambda: not host.children())
    assert not locked()


def test_where_the_host_is_gone_each_stage_has_a_dvc_of_its_own(host: psutil.Process) -> None:
    host.kill()
    host.wait()
    assert made("first@a") == ends.ENDS[ends.UNCHANGED]
    os.environ[PLACE] = "nowhere"
    assert made("first@a") == ends.ENDS[ends.UNCHANGED]
