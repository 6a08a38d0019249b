"""`python -m flows.repro STAGE`: has DVC make one stage, and tells by its exit code how that ended (flows/ends.py)."""

import sys
from contextlib import suppress
from pathlib import Path

from flows import ends

COUNTS = Path("/proc/vmstat")
"""Where Linux counts what it killed for memory, in containers too."""


def main(stage: str) -> int:
    from flows import dvc_api

    kills = kills_for_memory()
    try:
        return dvc_api.reproduce(stage)
    except dvc_api.CommandFailed as error:
        return ends.code_of_stage(error.status, killed_for_memory=kills_for_memory() > kills)
    except dvc_api.LockError as error:
        return _end(ends.BUSY, error)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return _end(ends.REFUSED, error)


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
    from tav.running.ending import end_with_parent

    end_with_parent()
    sys.exit(main(sys.argv[1]))
