"""Faults on purpose: damaged videos, hostile settings, kills, outages, full disks. Counts how many held.

    python benchmarks/faults.py [--only videos,params,kills,outages,disk] [--videos 2000] [--params 2000]
                                [--kills 200] [--seed 0] [--keep FOLDER]

Prints what did not hold as it comes, and a Markdown table at the end. With --keep a run that was stopped goes on where
it was, and what did not hold lies there. The trials themselves are in tests/trials/, whose tests are a short form.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from trials.trial import Ended, Journal, run_all, table

COUNTS = {"videos": 2000, "params": 3000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"some of {','.join(COUNTS)}")
    for part, count in COUNTS.items():
        parser.add_argument(f"--{part}", type=int, default=count, metavar="N", help=f"default: {count}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and leave it")
    given = parser.parse_args()
    parts = given.only.split(",") if given.only else list(COUNTS)
    if strangers := {*parts} - {*COUNTS}:
        parser.error(f"there is no part {', '.join(strangers)}: expected some of {', '.join(COUNTS)}")
    ended: list[Ended] = []
    with tempfile.TemporaryDirectory() as temporary:
        for part in parts:
            folder = (given.keep or Path(temporary)).absolute() / part
            folder.mkdir(parents=True, exist_ok=True)
            journal = Journal(folder / f"journal-{given.seed}.jsonl")
            with trials(part, folder, given.seed, getattr(given, part)) as (names, trial):
                ended += run_all(names, trial, journal)
    print(table(ended))
    sys.exit(any(one.wrong for one in ended))


@contextmanager
def trials(part: str, folder: Path, seed: int, count: int) -> Iterator[tuple[list[str], Callable[[str], Ended]]]:
    """The names of a part's trials, and what makes one. Imported here: one part needs not what another does."""
    made: Any
    if part == "videos":
        from trials.videos import Videos

        made = Videos(folder, seed, count)
    else:
        from trials.settings import Settings

        made = Settings(folder, seed, count)
    yield made.names, made.trial


if __name__ == "__main__":
    main()
