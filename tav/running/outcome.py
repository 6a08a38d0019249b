"""What a person is told at the end of a command, and its exit code."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable

from tav.complaints import one_line
from tav.params import UserError


def outcome(run: Callable[[], object]) -> int:
    """The exit code of a command, which tells what went wrong."""
    try:
        run()
    except Exception as error:
        line = explain(error)
        if line is None or os.environ.get("TAV_TRACEBACK"):
            traceback.print_exc()
        else:
            print(f"error: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def explain(error: BaseException) -> str | None:
    """What a person is told of an error, or None where only a traceback helps."""
    text = one_line(str(error))
    if isinstance(error, UserError | FloatingPointError):
        return text
    if _errno(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"the disk is full ({text}): make room and run it again. `dvc gc --workspace --all-commits` drops what no "
            "commit needs from DVC's cache (commit what you want to keep; with --workspace alone it drops the results "
            "of all other commits too)"
        )
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
        return f"not allowed: {text}"
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return (
            f"out of memory ({text.split('. ')[0]}): set compute.memory to less than there is (`tav plan` tells what "
            "is expected), tune.gradient_checkpointing: true, or a smaller extract.size or extract.num_frames"
        )
    return None


def _errno(error: BaseException) -> int | None:
    """The system's number of an error. safetensors has it in its words alone."""
    if type(error).__name__ == "SafetensorError" and (match := re.search(r"\(os error (\d+)\)", str(error))):
        return int(match[1])
    return error.errno if isinstance(error, OSError) else None
