"""Out of memory: go on in the next way that takes less."""

import gc
from collections.abc import Callable
from typing import TypeVar

from tav.budget.plan import Savings, Work, machine, ways
from tav.params import Params

T = TypeVar("T")


def with_less_memory(params: Params, work: Work, first: Savings, attempt: Callable[[Savings], T]) -> T:
    """What `attempt` returns, called with `first`, and where memory runs out with each way that takes less, in turn.

    What a GPU is expected to need is a guess; what it says when it is full is not.

    Raises:
        torch.OutOfMemoryError: of the last way.
    """
    import torch

    all_ways = list(ways(params, work, machine()))
    later = all_ways[all_ways.index(first) + 1 :] if first in all_ways else []
    savings = first
    for following in later:
        try:
            return attempt(savings)
        except torch.OutOfMemoryError:
            pass  # the error holds the tensors that filled the memory: it is gone after this line
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(f"{work.stage}@{work.key}: out of memory ({savings}). It goes on with {following}", flush=True)
        savings = following
    return attempt(savings)
