"""Nanoseconds of CPU that attention takes for each score, forward and backward, over the widths of the heads.

    python benchmarks/attention.py [--quick] [--json FILE]

Scores materialised, torch's own kernel, that with heads padded to 16, and what tav takes, in turn.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tav.model.attention import Kernel, fused, padded, sdpa
from tav.model.narrow_heads import WIDTH


def materialised(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    return (query @ key.mT * scale).softmax(-1) @ value


KERNELS: dict[str, Kernel] = {"materialised": materialised, "torch": fused, "padded": padded, "ours": sdpa}


def measure(kernel: Kernel, width: int, frames: int, queries: int, repeats: int) -> list[float]:
    """Medians of the forward and of the backward pass. Frames attend to two frames of as many tokens, in 8 heads."""
    shapes = (queries, 2 * queries, 2 * queries, queries)
    query, key, value, upstream = (torch.randn(frames, 8, tokens, width) for tokens in shapes)
    inputs = [part.requires_grad_() for part in (query, key, value)]
    forward, backward = [], []
    for _ in range(repeats + 1):
        began = time.process_time()
        output = kernel(query, key, value, width**-0.5)
        between = time.process_time()
        torch.autograd.grad(output, inputs, upstream)
        forward.append(between - began)
        backward.append(time.process_time() - between)
    scores = frames * 8 * 2 * queries**2
    return [statistics.median(seconds[1:]) / scores * 1e9 for seconds in (forward, backward)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    arguments = parser.parse_args()
    size = (
        {"frames": 2, "queries": 64, "repeats": 1} if arguments.quick else {"frames": 6, "queries": 1024, "repeats": 5}
    )
    print(f"ns of CPU a score, forward + backward; {torch.get_num_threads()} threads")
    rows: list[dict[str, Any]] = []
    for width in (8, 12, 16, 24, 32, 40):
        row: dict[str, Any] = {"width": width}
        for name, kernel in KERNELS.items():
            if width < WIDTH or name in {"materialised", "torch"}:
                row[name] = measure(kernel, width, **size)
        rows.append(row)
        print(f"{width:4} wide", *("   {} {:.2f} + {:.2f}".format(name, *row[name]) for name in KERNELS if name in row))
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": torch.get_num_threads(), **size, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
