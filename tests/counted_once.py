"""What a step of the network is expected to take, counted once for each kind of step: counting takes a second."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def counted_once(expect: Callable[..., T]) -> Callable[..., T]:
    """expect: of a pipeline, which is one for as long as it is the same object, and of what can be hashed."""
    known: dict[Any, tuple[Any, T]] = {}

    @wraps(expect)
    def counted(pipe: Any, *settings: Any, **named: Any) -> T:
        asked = id(pipe), settings, tuple(sorted(named.items()))
        if asked not in known:
            known[asked] = pipe, expect(pipe, *settings, **named)  # kept, so that no other gets its number
        return known[asked][1]

    return counted
