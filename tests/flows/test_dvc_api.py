"""Each piece of DVC's Python interface that we use, named: what a release of DVC moves fails here, and says so."""

import inspect
import json
import os
from pathlib import Path

import pytest

from flows import dvc_api, dvc_once, ends, repro


def test_the_pieces_are_where_they_were() -> None:
    import dvc.repo.reproduce
    import dvc.repo.status
    import dvc.stage.cache
    import dvc.stage.exceptions
    import dvc.stage.run
    from dvc.exceptions import DvcException, ReproductionError
    from dvc.lock import LockError
    from dvc.repo import Repo

    assert issubclass(LockError, DvcException)
    assert issubclass(ReproductionError, DvcException)
    assert "_wait_for_lock" in inspect.signature(Repo.__init__).parameters
    assert "stage.status(check_updates=check_updates" in inspect.getsource(dvc_once._status_by_dvc)
    assert "_reproduce(steps, graph=graph" in inspect.getsource(dvc.repo.reproduce.reproduce)
    assert {"targets", "single_item"} <= set(inspect.signature(Repo.reproduce).parameters)
    assert "StageCmdFailedError(cmd, p.returncode)" in inspect.getsource(dvc.stage.run._run)
    assert hasattr(dvc.stage.run, "StageCmdFailedError")
    assert hasattr(dvc.stage.cache.StageCache, "restore")
    assert "self.stage_cache = " in inspect.getsource(Repo.__init__)


def test_a_graph_and_its_status(fresh_project: Path) -> None:
    with dvc_api.repository() as repo:
        graph = dvc_api.graph(repo)
        assert graph["first@a"].upstream == {"data-a.txt.dvc"}
        assert graph["first@a"].meta["pool"] == "gpu"
        assert graph["data-a.txt.dvc"].upstream == set()
        assert "last" in dvc_api.status(repo, None)
        assert set(dvc_api.status(repo, ["first@a"])) == {"first@a"}


def test_how_a_stage_ended_is_told_by_type(done_project: Path, run_here: None) -> None:
    assert dvc_api.reproduce("first@a") == ends.UNCHANGED
    Path("made/first-a").unlink()
    assert dvc_api.reproduce("first@a") == ends.CACHED
    Path("how/first.py").write_text("# another\n")
    assert dvc_api.reproduce("first@a") == ends.RAN
    Path("how/first.py").write_text("print('exited with 7'); sys.exit(3)")
    with pytest.raises(dvc_api.CommandFailed) as failed:
        dvc_api.reproduce("first@a")
    assert failed.value.status == 3
    busy = {str(Path("made/first-a").absolute()): {"pid": os.getppid(), "cmd": "dvc x"}}
    Path(".dvc/tmp/rwlock").write_text(json.dumps({"write": busy, "read": {}}))
    with pytest.raises(dvc_api.LockError, match=f"PID {os.getppid()}"):
        dvc_api.reproduce("first@a")


def test_a_kill_for_memory_is_known_by_the_kernels_count(
    done_project: Path, run_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Path("vmstat")
    counts.write_text("pgfault 12\noom_kill 3\n")
    monkeypatch.setattr(repro, "COUNTS", counts.absolute())
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    Path("how/first.py").write_text(kill)
    Path(".dvc/tmp/rwlock").write_text('{"/x": {"re')  # of a DVC that was killed while it wrote
    assert repro.main("first@a") == 137
    Path("how/first.py").write_text(f"pathlib.Path('vmstat').write_text('oom_kill 4')\n{kill}")
    assert repro.main("first@a") == ends.OUT_OF_MEMORY
    monkeypatch.setattr(repro, "COUNTS", Path("nowhere"))
    assert repro.main("first@a") == 137


def test_what_dvc_refuses_is_one_line(done_project: Path, run_here: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert repro.main("nothing@a") == ends.REFUSED
    said = capsys.readouterr().err
    assert "nothing@a" in said
    assert said.count("\n") == 1


def test_dvcs_own_commands_run_here(done_project: Path, run_here: None, capfd: pytest.CaptureFixture[str]) -> None:
    from flows.__main__ import run_dvc

    assert run_dvc(["status"]) == 0
    assert "up to date" in capfd.readouterr().out
    Path("how/first.py").write_text("# another\n")
    before = Path("dvc.lock").read_text()
    Path(".dvc/tmp/rwlock").write_text("")  # of a DVC that was killed while it wrote
    assert run_dvc(["repro", "first@a"]) == 0
    assert Path("dvc.lock").read_text() != before
    assert run_dvc(["repro", "nothing@a"]) == 255
