"""What a base is expected to take of a GPU's memory, by the shapes alone: any machine will do.

    python benchmarks/expected.py [--base sd14 | sd21 | xl] [--pixels 512] [--json FILE]

Prints a Markdown table. gpu.py measures the same on a card, for Stable Diffusion 1.4 at 512x512.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bases import BASES

from tav.budget.expectation import Expectation, expect_sampling, expect_tuning
from tav.model.size import Size
from tav.model.tuning import DTYPES, TuneSettings

FRAMES = (8, 24, 32)
TUNING = {
    "tuning, fp32": TuneSettings(),
    "tuning, bf16": TuneSettings(precision="bf16"),
    "tuning, fp32, checkpointed": TuneSettings(gradient_checkpointing=True),
    "tuning, bf16, checkpointed": TuneSettings(precision="bf16", gradient_checkpointing=True),
    "tuning, bf16, checkpointed, 8-bit Adam": TuneSettings(
        precision="bf16", gradient_checkpointing=True, adam8bit=True
    ),
}
EDITING = {
    "edit, fp32": ("fp32", False),
    "edit, bf16": ("bf16", False),
    "edit, bf16, split guidance": ("bf16", True),
}


def expect(name: str, pipe: Any, frames: int, size: Size) -> Expectation:
    if name in TUNING:
        return expect_tuning(pipe, frames, size, TUNING[name])
    precision, split = EDITING[name]
    return expect_sampling(pipe, frames, size, DTYPES[precision], guided=True, split_guidance=split)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", choices=BASES, default="sd14")
    parser.add_argument("--pixels", type=int, help="of both sides. Default: what the base was trained at")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    arguments = parser.parse_args()
    build, pixels = BASES[arguments.base]
    pipe, size = build(), Size(*[arguments.pixels or pixels] * 2)

    def gigabytes(expected: Expectation) -> float:
        return round(expected.memory("cuda") / 1e9, 1)

    print("| GB |", *(f"{frames} frames |" for frames in FRAMES))
    print("| --- |" + " --- |" * len(FRAMES))
    table: dict[str, list[float]] = {}
    for name in (*TUNING, *EDITING):
        table[name] = [gigabytes(expect(name, pipe, frames, size)) for frames in FRAMES]
        print(f"| {name} |", *(f"{value} |" for value in table[name]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"frames": FRAMES, "gigabytes": table}, indent=2))


if __name__ == "__main__":
    main()
