"""What Stable Diffusion 1.4 is expected to take of memory at 512x512, by the shapes alone: any machine will do.

    python benchmarks/expected.py [--json FILE]

Prints a Markdown table. gpu.py measures the same on a card.
"""

import argparse
import json
from pathlib import Path

from real_size import REAL, build

from tav.budget.expectation import Expectation, expect_sampling, expect_tuning
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    arguments = parser.parse_args()
    pipe, size = build(REAL, "meta", DTYPES["fp32"]), (REAL["pixels"], REAL["pixels"])

    def gigabytes(expected: Expectation) -> float:
        return round(expected.memory("cuda") / 1e9, 1)

    table = {
        name: [gigabytes(expect_tuning(pipe, frames, size, settings)) for frames in FRAMES]
        for name, settings in TUNING.items()
    }
    for name, (precision, split) in EDITING.items():
        table[name] = [
            gigabytes(expect_sampling(pipe, frames, size, DTYPES[precision], guided=True, split_guidance=split))
            for frames in FRAMES
        ]
    print("| GB |", *(f"{frames} frames |" for frames in FRAMES))
    print("| --- |" + " --- |" * len(FRAMES))
    for name, row in table.items():
        print(f"| {name} |", *(f"{value} |" for value in row))
    if arguments.json:
        arguments.json.write_text(json.dumps({"frames": FRAMES, "gigabytes": table}, indent=2))


if __name__ == "__main__":
    main()
