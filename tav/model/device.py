"""Where models run."""

import os

import torch


def best_device() -> str:
    """The GPU when there is one, else the CPU. The environment variable TAV_DEVICE decides otherwise."""
    return os.environ.get("TAV_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
