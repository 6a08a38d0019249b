"""`tav run` and `python -m flows`: arguments, and all that is told before Prefect's server is needed."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tav.complaints import one_line
from tav.params import UserError
from tav.processes.ending import end_in_order

KINDS = ("process", "docker", "kubernetes")
"""Of work pools."""
SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # it takes longer than Prefect's own 20 s
    "PREFECT_CLI_PROMPT": "false",
}


def main(given: list[str] | None = None) -> int:
    arguments = parse(given)
    return run_flow(arguments.targets, arguments.jobs, arguments.workers)


def run_flow(targets: list[str], jobs: int | None = None, workers: str | None = None) -> int:
    """Run the flow in the current folder. Gives the exit code: 0; 1 when something failed; 130 for Ctrl-C.

    workers: the kind of pool that the videos go to; None: all runs here. Call it once and leave
    with its code: it sets what Prefect reads of the environment, and what signals do.
    """
    return _ended(lambda: run(targets, jobs, workers))


def run_workers(pool: str, checkpoint_minutes: float) -> int:
    """Start workers in the current folder, and wait for them. Gives the exit code, as `run_flow`."""

    def start() -> int:
        if pool not in ("gpu", "cpu"):
            raise UserError(f"there is no pool {pool!r}: expected gpu or cpu")
        check_prefects_home()
        from flows.remote.server import start_workers

        return start_workers("gpu" if pool == "gpu" else "cpu", checkpoint_minutes)

    return _ended(start)


def run_dvc(words: list[str]) -> int:
    """A command of DVC's, with what DVC does anew for each stage done once. Gives its exit code."""
    from flows.dvc_api import command
    from tav.processes.lockfile import drop_broken_rwlock

    drop_broken_rwlock()
    return command(words)


def _ended(act: Callable[[], int]) -> int:
    """What `act` gives, or how it went wrong. For a process that does nothing else: it sets up Prefect and signals."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    end_in_order()  # so that Prefect's temporary server ends too
    try:
        return act()
    except UserError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: nothing of it runs any more. The same command goes on from here", file=sys.stderr)
        return 130


def parse(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flows",
        description="Run dvc.yaml's stages through Prefect: what DVC finds stale, side by side, with retries and logs.",
        epilog="Needs no server. To watch it: `prefect server start`, then PREFECT_API_URL=http://127.0.0.1:4200/api.",
    )
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="stages to make, and what they need: tune, tune@man-skiing. Default: all",
    )
    parser.add_argument("--jobs", type=_count, help="stages at once, at most (default: as many as there are cores)")
    parser.add_argument(
        "--workers",
        nargs="?",
        const="process",
        choices=KINDS,
        help="send each video to a worker of this kind of pool (default: process); docs/scale.md",
    )
    return parser.parse_args(given)


def run(targets: list[str], jobs: int | None = None, workers: str | None = None) -> int:
    """Make the targets. Prefect is not even imported when there is nothing to do."""
    from flows import dag
    from tav.params import load

    load()
    needs = dag.needs(dag.read(targets)).values()
    if all(need == "up to date" for need in needs):
        print(f"all {len(needs)} stages are up to date")
        return 0
    check_prefects_home()
    if workers:
        os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")  # seconds; the fewest that Prefect takes
        from flows.remote.driver import on_workers
        from flows.remote.server import check_address

        check_address()
        state = on_workers(targets, workers, return_state=True)
    else:
        from flows.local import pipeline, reach_server

        reach_server()
        state = pipeline(targets, jobs, return_state=True)
    print(state.message or "", file=sys.stdout if state.is_completed() else sys.stderr)
    return 0 if state.is_completed() else 1


def check_prefects_home() -> None:
    """Prefect writes there, and without it its server fails in thousands of lines. Raises UserError."""
    home = os.environ.get("PREFECT_HOME", "~/.prefect")
    try:
        place = Path(home).expanduser()
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody knows where ~ is
        raise UserError(
            f"Prefect's folder {home} can't be written ({error}): set PREFECT_HOME to a folder that can"
        ) from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
