"""The MLflow store: where it is, one writer at a time, and what a person is told when it can't be used.

mlflow is imported late: it takes seconds.
"""

import contextlib
import logging
import os
import re
import sqlite3
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tav.params import UserError
from tav.processes.holder import holder_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

TUNINGS, EDITS = "tunings", "edits"
"""The experiments."""
DATABASE, ARTIFACTS, LOCK = Path("mlflow.db"), Path("mlruns"), Path("mlflow.db.lock")
SOON, PATIENCE = 3.0, 600.0
"""Seconds that one waits for another writer: until it is told, and in all."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is down is told in 4 s, not in 245
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # the server is up in a quarter of the time
}
USER = re.compile(r"https?://([^/?]*)@|(?!http|sqlite|file)[^:]+://(.*)@")
"""As in `user:password@`; that of a database goes up to the last @."""
SECRET = re.compile(r"pass|pwd|token|secret|key", re.IGNORECASE)


def address() -> str:
    """The store: MLFLOW_TRACKING_URI, else mlflow.db in the current folder, as an absolute address."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _own_address()


def is_own() -> bool:
    """Whether the store lies in the current folder, as a part of the project."""
    return address() == _own_address()


def client() -> "MlflowClient":
    """Raises UserError where the address is none."""
    quieten()
    from mlflow import MlflowClient

    try:
        return MlflowClient(address())
    except ValueError as error:
        wrong = f"MLFLOW_TRACKING_URI is {safe(address())!r} ({first_line(error)})"
        raise UserError(f"{wrong}: give an address as in http://host:5000 or sqlite:////folder/mlflow.db") from None


def quieten() -> None:
    """mlflow reads these when it is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def safe(text: str) -> str:
    """`text` without the user and the passwords that the store's address has, and that mlflow takes."""
    secrets = [os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("PASSWORD", "TOKEN")]
    if match := USER.match(address()):
        user = match[1] or match[2]
        text = text.replace(f"{user}@", "")
        secrets.append(user.partition(":")[2])
    query = address().partition("?")[2]
    secrets += [part.partition("=")[2] for part in query.split("&") if SECRET.search(part.partition("=")[0])]
    for secret in sorted({*secrets, *map(unquote, secrets)} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


@contextlib.contextmanager
def usable() -> Iterator[None]:
    """What makes a store useless, as an error for the person. MLflow itself would print tracebacks."""
    quieten()
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, ImportError) as error:
        raise UserError(f"MLflow at {safe(address())} can't be used: {_advice(error)}") from None


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One process at a time makes the store and looks for rows: two crash on a fresh sqlite, and double a row."""
    from filelock import FileLock, Timeout

    lock = FileLock(LOCK)
    try:
        lock.acquire(timeout=SOON)
    except Timeout:
        print(f"MLflow: waiting for {holder_of(LOCK)}, which holds {LOCK}", file=sys.stderr, flush=True)
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            waited = f"{holder_of(LOCK)} holds {LOCK} for more than {PATIENCE:.0f} s"
            raise UserError(f"{waited}: wait until it ends or stop it, then run `tav record`") from None
    try:
        yield
    finally:
        lock.release()


def settle() -> None:
    """Bring the project's store along where the project was moved or copied: it has absolute places of artifacts."""
    if not is_own() or not DATABASE.exists():
        return
    here = ARTIFACTS.absolute().as_uri()
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=SOON)) as database, database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return
        ours = "SELECT DISTINCT artifact_location FROM experiments WHERE name IN (?, ?)"
        for (there,) in database.execute(ours, (TUNINGS, EDITS)).fetchall():
            if there != here and there.startswith("file:") and there.endswith(f"/{ARTIFACTS}"):
                for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                    where = f"{column} = :there OR substr({column}, 1, length(:there) + 1) = :there || '/'"
                    move = f"UPDATE {table} SET {column} = :here || substr({column}, length(:there) + 1) WHERE {where}"
                    database.execute(move, {"here": here, "there": there})


def first_line(error: BaseException) -> str:
    """The first line of an error, without passwords."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return textwrap.shorten(safe(line), 240, placeholder=" ...")


def _own_address() -> str:
    return f"sqlite:///{DATABASE.absolute()}"


def _advice(error: Exception) -> str:
    """What is wrong with the store, and what to do."""
    text = str(error)
    if match := re.search(r"out-of-date database schema \(found version (\w*)", text):
        return _of_another_version(match[1])
    if isinstance(error, ImportError):
        return f"its driver is not installed ({first_line(error)}): install it into this environment with pip"
    if "database is locked" in text:
        return "another program holds it locked: close that, then run `tav record`"
    if "not a database" in text or "malformed" in text:
        what = f"{DATABASE} is damaged: move it away" if is_own() else "it is damaged: restore it"
        return f"{what}, then run `tav record`, which writes all that dvc.lock has"
    what = "run `tav record` later" if address().startswith("http") else "mend that, then run `tav record`"
    return f"{first_line(error)}; {what}"


def _of_another_version(revision: str) -> str:
    """Of a store whose tables mlflow made in version `revision`."""
    import mlflow.store.db_migrations as migrations

    if not any(Path(*migrations.__path__, "versions").glob(f"{revision}_*.py")):
        return f"a newer MLflow made it than the {_version()} that is installed: use the newer one"
    name = f"sqlite:///{DATABASE}" if is_own() else '"$MLFLOW_TRACKING_URI"'
    return f"an older MLflow made it: make a copy of it, then run `mlflow db upgrade {name}` and `tav record`"


def _version() -> str:
    from importlib.metadata import version

    return version("mlflow")
