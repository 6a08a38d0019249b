"""Where models run."""

import os

import torch


def best_device() -> str:
    """The GPU when there is one, else the CPU. The environment variable TAV_DEVICE decides otherwise.

    Raises:
        ValueError: torch can use no such device here.
    """
    asked = os.environ.get("TAV_DEVICE")
    if not asked:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=asked)
    except (RuntimeError, AssertionError) as error:  # the latter where torch is built without CUDA
        why = str(error).splitlines()[0]
        raise ValueError(
            f"TAV_DEVICE is {asked!r}; expected a device that torch has here, as cpu or cuda:0: {why}"
        ) from error
    return asked
