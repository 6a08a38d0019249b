"""`python -m flows.repro STAGE`: has DVC make one stage, and tells by its exit code how that ended (flows/ends.py).

With more stages it makes one after the other, until one ends badly, and says so by the lines of `SAYS`.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flows import ends
from tav.processes.lockfile import drop_broken_rwlock

if TYPE_CHECKING:
    from flows.dvc_api import Project

COUNTS = Path("/proc/vmstat")
"""Where Linux counts what it killed for memory, in containers too."""
SAYS = "\x1e"
"""Begins a line of `each`: "STAGE" before it is made, "STAGE CODE" after."""


def main(stage: str, project: "Project | None" = None) -> int:
    """project: as a host (flows/dvc_host.py) read it, which this process is a fork of."""
    from flows import dvc_api

    drop_broken_rwlock()
    kills = kills_for_memory()
    try:
        return dvc_api.reproduce(stage, project)
    except dvc_api.CommandFailed as error:
        return ends.code_of_stage(error.status, killed_for_memory=kills_for_memory() > kills)
    except dvc_api.LockError as error:
        return _end(ends.BUSY, error)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _end(ends.REFUSED, error)


def each(stages: Sequence[str]) -> int:
    """Make one after the other. Gives the code of the last, or of the first that ended badly."""
    code = 0
    for stage in stages:
        print(f"{SAYS}{stage}", flush=True)
        code = main(stage)
        print(f"{SAYS}{stage} {code}", flush=True)
        if not ends.tell(code, "").ok:
            break
    return code


def kills_for_memory() -> int:
    """How often the kernel has killed for memory so far. 0 where it does not tell."""
    with suppress(OSError):
        rows = (line.split() for line in COUNTS.read_text().splitlines())
        return sum(int(count) for name, count in rows if name == "oom_kill")
    return 0


def _end(code: int, error: Exception) -> int:
    print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
    return code


if __name__ == "__main__":
    from tav.processes.ending import end_with_parent

    end_with_parent()
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else each(sys.argv[1:]))
