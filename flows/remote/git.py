"""Git commands. What goes wrong is one line, without passwords."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from flows.remote.secret import hidden
from tav.params import UserError

TIMEOUT = 600.0
"""Seconds, for a push or a fetch on a slow line."""


def git(*arguments: str, cwd: Path | None = None, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """What git prints. It never asks for a password. Raises UserError."""
    done = _run(arguments, cwd, stdin, env)
    if done.returncode:
        raise UserError(f"git {arguments[0]} failed: {_why(done.stderr)}")
    return done.stdout


def succeeds(*arguments: str, cwd: Path | None = None) -> bool:
    return _run(arguments, cwd, "", None).returncode == 0


def _run(
    arguments: tuple[str, ...], cwd: Path | None, stdin: str, env: Mapping[str, str] | None
) -> "subprocess.CompletedProcess[str]":
    quiet = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            ["git", "-c", "core.quotePath=false", *arguments],
            cwd=cwd,
            input=stdin,
            env={**os.environ, **quiet, **(env or {})},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except FileNotFoundError:
        raise UserError("git is not installed: workers need it") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"git {arguments[0]} took longer than {TIMEOUT:.0f} s: is its server there?") from None


def _why(stderr: str) -> str:
    """The line that says most: git's own error, else the last one."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith(("fatal:", "error:", "! [", "remote:"))]
    return hidden((reasons or lines or ["it did not say why"])[0])
