"""How a stage ended, as an exit code and in words: one table. `flows.repro` exits with these codes.

A stage's own exit code comes through as it is, and 128 + N where signal N killed it.
"""

import signal
from typing import NamedTuple


class Exit(NamedTuple):
    """How a command ended."""

    ok: bool
    curable: bool
    """Another try, with the same settings, may end well."""
    text: str
    """In words: "ran", "exited with 1: error: no such file"."""


RAN, UNCHANGED, CACHED = 0, 90, 91
BUSY, REFUSED, OUT_OF_MEMORY = 92, 93, 94
TEMPORARY = 75
"""EX_TEMPFAIL of sysexits.h."""
ENDS = {  # {said} is the last line of the output
    RAN: Exit(True, False, "ran"),
    UNCHANGED: Exit(True, False, "did not change"),
    CACHED: Exit(True, False, "came from the cache"),
    BUSY: Exit(False, True, "found another DVC at work on it: {said}"),
    REFUSED: Exit(False, False, "was refused by DVC: {said}"),
    OUT_OF_MEMORY: Exit(False, False, "was killed for memory: ask less of it (`tav plan`), or run fewer (--jobs 1)"),
    TEMPORARY: Exit(False, True, "exited with 75: {said}"),
}
FREE = "exited with {code}: {said}"
KILLED = "killed by {name}"


def tell(code: int, last_line: str) -> Exit:
    """What an exit code means. last_line: the last line of the output."""
    if code in ENDS:
        end = ENDS[code]
    elif name := _signal_of(code):
        end = Exit(False, name != "SIGINT", KILLED)  # who presses Ctrl-C wants no other try
        return end._replace(text=KILLED.format(name=name))
    else:
        end = Exit(False, False, FREE)
    return end._replace(text=end.text.format(code=code, said=last_line).rstrip(": "))


def code_of_stage(status: int, *, killed_for_memory: bool) -> int:
    """The code for a command that ended with `status`, as subprocess gives it: negative for a signal."""
    code = 128 - status if status < 0 else status
    if code == 128 + signal.SIGKILL and killed_for_memory:
        return OUT_OF_MEMORY
    ours = {UNCHANGED, CACHED, BUSY, REFUSED, OUT_OF_MEMORY}
    return 1 if code in ours else code


def _signal_of(code: int) -> str:
    """SIGKILL for 137 (and -9). "" for what no signal did."""
    number = -code if code < 0 else code - 128
    return signal.Signals(number).name if number in set(signal.Signals) else ""
