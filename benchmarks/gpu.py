"""Real size on a GPU: Stable Diffusion 1.4's networks with random weights, which are as slow as trained ones, 512x512.

    python benchmarks/gpu.py [--json FILE] [--only WORD ...]     the table, in Markdown; FILE has it after each row
    python benchmarks/gpu.py --resume FILE                       goes on where a run was stopped

Each row is measured in a process of its own. Without a GPU, or with --quick, networks and pictures are small: that
shows that it runs, and its figures mean nothing.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from real_size import EDIT, STEPS, TUNE, Cell, Row, matmul_peak, measure, useful_flops

AIMS = {TUNE: 120, EDIT: 15}
"""Seconds, on an H100, for 24 frames."""
HEAD = """| step | frames | how | seconds | of peak | GB allocated / reserved / of the card | |
| --- | --- | --- | --- | --- | --- | --- |"""


def cells() -> list[Cell]:
    """The most telling first."""
    capped = [
        Cell("tuning", 24, checkpointed=True, cap_gb=12),
        Cell("tuning", 32, checkpointed=True, cap_gb=16),
        Cell("guided", 24, split_guidance=True, cap_gb=12),
    ]
    whole = [Cell(kind, 24, compiled=compiled) for compiled in (False, True) for kind in AIMS]
    plain = [Cell(kind, frames) for frames in (24, 8, 32) for kind in STEPS]
    options = [
        Cell(kind, frames, attention=attention, compiled=compiled, checkpointed=checkpointed)
        for frames, checkpointed, compiled, attention, kind in product(
            (24, 8, 32), (False, True), (True, False), ("sdpa", "xformers"), STEPS
        )
        if kind == "tuning" or not checkpointed
    ]
    half = [Cell(kind, frames, precision="fp16") for frames in (24, 8, 32) for kind in STEPS]
    others = [Cell("tuning", 24, checkpointed=True, adam8bit=True)]
    others += [Cell(kind, 24, token_merging=0.5) for kind in STEPS]
    at_24 = [cell for cell in options if cell.frames == 24]
    return list(dict.fromkeys([*whole, *capped, *plain, *at_24, *others, *half, *options]))


def in_own_process(work: Callable[..., Any], *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def fill(cell: Cell, results: dict[str, Any], quick: bool) -> Row:
    """Measure a row, whatever becomes of it."""
    if cell.precision not in results["matmul_flops"]:
        results["matmul_flops"][cell.precision] = in_own_process(matmul_peak, cell.precision, quick)
    try:
        row: Row = in_own_process(measure, cell, quick)
    except Exception as error:  # a child that was killed is one, too
        return {"status": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", "failed": True}
    if "seconds" in row and not cell.token_merging:  # which leaves work out
        flops = useful_flops(cell, quick)
        row |= {"flops": flops, "share": flops / row["seconds"] / results["matmul_flops"][cell.precision]}
    return row


def line(name: str, row: Row, quick: bool) -> str:
    share = f"{row['share']:.0%}" if "share" in row else ""
    sizes = [f"{row[f'{name}_gb']:.1f}" for name in ("allocated", "reserved", "card") if f"{name}_gb" in row]
    notes = [] if row["status"] == "ok" else [row["status"]]
    if (aim := AIMS.get(name.split(" | ")[0])) and "seconds" in row and not quick:
        notes.append(f"aim: {aim} s")
    seconds = f"{row['seconds']:.3g}" if "seconds" in row else ""
    return f"| {name} | {seconds} | {share} | {' / '.join(sizes)} | {'; '.join(notes)} |"


def write(results: dict[str, Any], path: Path) -> None:
    """Atomically: a run may be stopped at any time."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(results, indent=2) + "\n")
    partial.replace(path)


def start(path: Path | None, quick: bool) -> dict[str, Any]:
    """An empty table, or that of a run before, if it is of this machine."""
    # asking for its name takes memory on the card, which a row with a cap would miss
    device = in_own_process(torch.cuda.get_device_name) if torch.cuda.is_available() else "cpu"
    fresh = {"device": device, "torch": torch.__version__, "quick": quick, "matmul_flops": {}, "rows": {}}
    if path is None or not path.exists():
        return fresh
    before: dict[str, Any] = json.loads(path.read_text())
    for fact in ("device", "torch", "quick"):
        if before[fact] != fresh[fact]:
            raise SystemExit(f"{path} has {fact} {before[fact]}, here it is {fresh[fact]}: its rows can't be compared")
    return before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it runs")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="rows whose name has one of these words")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too, after each row")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="go on with the table there")
    asked = parser.parse_args()
    quick = asked.quick or not torch.cuda.is_available()
    results, path = start(asked.resume, quick), asked.json or asked.resume
    if quick:
        print("NOT A RESULT: a small size" + ("" if torch.cuda.is_available() else ", on the CPU: there is no GPU"))
    print(f"{results['device']}, torch {results['torch']}\n\n{HEAD}", flush=True)
    for cell in cells():
        row = results["rows"].get(cell.name)
        if (row is None or "failed" in row) and (asked.only is None or any(word in cell.name for word in asked.only)):
            row = results["rows"][cell.name] = fill(cell, results, quick)
            if path:
                write(results, path)
        if row is not None:
            print(line(cell.name, row, quick), flush=True)
    rates = [f"{precision} {rate / 1e12:.3g} TFLOP/s" for precision, rate in results["matmul_flops"].items()]
    print("\nMatrix products:", ", ".join(rates))


if __name__ == "__main__":
    main()
