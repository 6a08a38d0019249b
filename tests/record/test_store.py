"""Stores that can't be used, each a real one, and what is told of them: one line, and never a password."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from tav.params import UserError
from tav.record import store
from tav.record.rows import open_rows
from tav.record.store import address, alone, safe, settle, usable


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's file with nothing in it but the two experiments."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with usable(), open_rows():
            pass
    return folder / "mlflow.db"


@pytest.fixture
def database(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(store, "SOON", 0.2)
    return Path(shutil.copy(fresh, tmp_path))


def refusal() -> str:
    with pytest.raises(UserError) as caught, usable(), open_rows():
        pass
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("harm", ["text", "cut", "garbage"])
def test_a_damaged_store(database: Path, harm: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = database.read_bytes()
    content = {"text": b"nonsense" * 999, "cut": whole[: len(whole) // 2], "garbage": whole[:8192] + b"x" * 99999}
    database.write_bytes(content[harm])
    assert "mlflow.db is damaged: move it away, then run `tav record`" in refusal()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("own", [True, False])
def test_a_locked_store(
    database: Path, own: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if not own:
        database = database.rename("other.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database.absolute()}")
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "another program holds it locked: close that, then run `tav record`" in refusal()
    assert "Traceback" not in capfd.readouterr().err  # MLflow's own


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("0584bdc529eb", "make a copy of it, then run `mlflow db upgrade sqlite:///mlflow.db` and `tav record`"),
        ("ffffffffffff", "a newer MLflow made it than the"),
    ],
)
def test_a_store_of_another_version(database: Path, version: str, advice: str) -> None:
    with closing(sqlite3.connect(database)) as tables, tables:
        tables.execute("UPDATE alembic_version SET version_num = ?", (version,))
    assert advice in refusal()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("postgresql://me:se%40cret@127.0.0.1:1/db", "its driver is not installed"),
        ("mysql+pymysql://me@host/db?password=se%40cret", "its driver is not installed"),
        ("postgresql://me:se@cret@host:port/db", "give an address as in"),
        ("http://[se@cret", "give an address as in"),
        ("foo://me:se@cret@host", "unsupported URI"),
    ],
)
@pytest.mark.usefixtures("database")
def test_an_address_that_leads_nowhere(given: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    line = refusal()
    assert said in line
    assert not any(secret in line for secret in ("se@cret", "se%40cret", "me:", "me@"))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://me:secret@host:5000/a@b", "http://host:5000/a@b"),
        ("https://host/path@x", "https://host/path@x"),
        ("postgresql://me:s/e?@c@host/db", "postgresql://host/db"),
        ("mysql://me@host/db?ssl_key=/a&password=secret", "mysql://host/db?ssl_key=***&password=***"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_its_password(given: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert safe(f"at {given} now") == f"at {shown} now"


def test_a_password_is_hidden_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s%26cret@host")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    assert safe("s%26cret, s&cret or t0ken of http://me:s%26cret@host") == "***, *** or *** of http://host"
    assert address() == "http://me:s%26cret@host"


@pytest.mark.usefixtures("database")
def test_one_who_waits_says_for_whom(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(store, "PATIENCE", 0.2)
    code = "from filelock import FileLock\nwith FileLock('mlflow.db.lock'): print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout
        other.stdout.readline()
        with (
            pytest.raises(UserError, match=rf"^process {other.pid} \(python.* holds mlflow.db.lock for more than"),
            alone(),
        ):
            pass
        assert capfd.readouterr().err.startswith(f"MLflow: waiting for process {other.pid} (python")
        other.communicate("\n")
    with alone(), pytest.raises(TimeoutError):
        FileLock("mlflow.db.lock", timeout=0).acquire()
    FileLock("mlflow.db.lock", timeout=0).acquire()  # free again


def test_only_a_project_s_own_places_are_brought_along(database: Path) -> None:
    def places() -> Iterator[str]:
        with closing(sqlite3.connect(database)) as tables:
            yield from (place for (place,) in tables.execute("SELECT artifact_location FROM experiments ORDER BY name"))

    with closing(sqlite3.connect(database)) as tables, tables:
        tables.execute("UPDATE experiments SET artifact_location = 's3://bucket/edits' WHERE name = 'edits'")
    settle()
    assert [*places()][1:] == ["s3://bucket/edits", Path("mlruns").absolute().as_uri()]
