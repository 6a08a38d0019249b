import signal

import pytest

from flows import ends
from flows.ends import Exit, code_of_stage, tell


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (ends.RAN, Exit(True, False, "ran")),
        (ends.UNCHANGED, Exit(True, False, "did not change")),
        (ends.CACHED, Exit(True, False, "came from the cache")),
        (ends.BUSY, Exit(False, True, "found another DVC at work on it: {(PID 1)}")),
        (ends.REFUSED, Exit(False, False, "was refused by DVC: {(PID 1)}")),
        (ends.TEMPORARY, Exit(False, True, "exited with 75: {(PID 1)}")),
        (1, Exit(False, False, "exited with 1: {(PID 1)}")),
        (255, Exit(False, False, "exited with 255: {(PID 1)}")),
        (137, Exit(False, True, "killed by SIGKILL")),
        (143, Exit(False, True, "killed by SIGTERM")),
        (129, Exit(False, True, "killed by SIGHUP")),
        (130, Exit(False, False, "killed by SIGINT")),
        (-9, Exit(False, True, "killed by SIGKILL")),
    ],
)
def test_ends_are_told_apart_by_code(code: int, end: Exit) -> None:
    assert tell(code, "{(PID 1)}") == end


def test_silence_is_no_colon() -> None:
    assert tell(3, "").text == "exited with 3"


def test_what_was_killed_for_memory_is_not_tried_again() -> None:
    for status in (-signal.SIGKILL, 137):  # a shell between says 137
        code = code_of_stage(status, killed_for_memory=True)
        assert (tell(code, "").curable, "memory" in tell(code, "").text) == (False, True)
    assert code_of_stage(-signal.SIGTERM, killed_for_memory=True) == 143


@pytest.mark.parametrize(
    ("status", "code"), [(1, 1), (75, 75), (-9, 137), (137, 137), (-1, 129), (ends.CACHED, 1), (ends.BUSY, 1)]
)
def test_a_stages_own_code_comes_through_unless_it_is_one_of_ours(status: int, code: int) -> None:
    assert code_of_stage(status, killed_for_memory=False) == code
