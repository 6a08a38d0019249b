"""Faults on purpose: damaged videos, hostile settings, kills, outages, full disks. Counts how many held.

    python benchmarks/faults.py [--only videos,params,commands,kills,disk,outages,servers,workers] [--videos 2000]
                                [--kills 200] ... [--seed 0] [--keep FOLDER]

Prints what did not hold as it comes, and a Markdown table at the end, also where Ctrl-C ends a part. With --keep a run
that was stopped goes on where it was, and damaged videos that did not hold lie there. The trials themselves are in
tests/trials/. tests/benchmarks/test_faults.py makes a few of them.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))  # before it: tests/flows must not pass for our flows

from trials.trial import Ended, Journal, run_all, table

SMALL = ("commands", "kills", "disk", "outages", "servers", "workers")
"""Parts that share a small project."""
COUNTS = {"videos": 2000, "params": 3000, "commands": 24, "kills": 200, "disk": 45, "outages": 30, "servers": 4}
COUNTS |= {"workers": 8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"some of {','.join(COUNTS)}")
    for part, count in COUNTS.items():
        parser.add_argument(f"--{part}", type=int, default=count, metavar="N", help=f"default: {count}")
    parser.add_argument("--stages", help="that kills, disk and outages are about. Default: all of a small project")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and leave it")
    given = parser.parse_args()
    parts = given.only.split(",") if given.only else list(COUNTS)
    if strangers := {*parts} - {*COUNTS}:
        parser.error(f"there is no part {', '.join(strangers)}: expected some of {', '.join(COUNTS)}")
    ended: list[Ended] = []
    with tempfile.TemporaryDirectory() as temporary:
        for part in parts:
            small = part in SMALL
            folder = (given.keep or Path(temporary)).absolute() / ("small" if small else part)
            folder.mkdir(parents=True, exist_ok=True)
            journal = Journal(folder / f"{part}-{given.seed}.jsonl")
            try:
                made = trials(part, folder, given, getattr(given, part))
                run_all(made.names, made.trial, journal)
            except KeyboardInterrupt:
                print("stopped", file=sys.stderr)
            ended += journal.ended.values()
    print(table(ended))
    sys.exit(any(one.wrong for one in ended))


def trials(part: str, folder: Path, given: argparse.Namespace, count: int) -> Any:
    """Of a part: its `names`, and `trial`, which makes one. Imported here: one part needs not what another does."""
    if part == "videos":
        from trials.videos import Videos

        return Videos(folder, given.seed, count)
    if part == "params":
        from trials.settings import Settings

        return Settings(folder, given.seed, count)
    from trials.commands import Commands
    from trials.disk import FullDisk
    from trials.kills import Kills
    from trials.made import Made
    from trials.outages import Outages
    from trials.servers import Servers
    from trials.workers import Workers

    made = Made(folder, given.stages.split(",")) if given.stages else Made(folder)
    kinds: dict[str, Any] = {"commands": Commands, "kills": Kills, "disk": FullDisk}
    kinds |= {"outages": Outages, "servers": Servers, "workers": Workers}
    return kinds[part](made, given.seed, count)


if __name__ == "__main__":
    main()
