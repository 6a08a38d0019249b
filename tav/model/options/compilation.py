"""torch.compile of an inflated UNet's transformer blocks: less time a step, after a minute or more of compiling."""

import os
import shutil
import sys
from typing import Any

RECOMPILE_LIMIT = 64
"""Graphs. Each kind of step (tuning, inversion, guided) takes one for each level of the UNet. Torch's limit is 8."""


def compile_blocks(unet: Any, backend: str = "inductor") -> None:
    """Compile an inflated UNet's blocks, in place; what they compute is compiled when it is first run.

    One graph for all blocks of a level, with fixed sizes: another number of frames or another size compiles again.
    backend: torch.compile's name of what makes code of a graph; all but inductor are for finding faults.

    A bare `unet.compile_repeated_blocks()` goes back to eager after eight graphs with a warning only.

    Raises:
        ValueError: there is no compiler for the UNet's device.
    """
    if unet.device.type == "cpu" and backend == "inductor":
        compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
        if shutil.which(compiler) is None:
            raise ValueError(
                f"torch.compile needs a C++ compiler and found no {compiler}: install one (Debian: g++), "
                "name one in the environment variable CXX, or do not compile"
            )
    unet.compile_repeated_blocks(backend=backend, dynamic=False, recompile_limit=RECOMPILE_LIMIT)
