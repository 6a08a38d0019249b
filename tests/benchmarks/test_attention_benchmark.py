"""benchmarks/attention.py runs, and has each kernel at each width that it is for."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "attention.py"


def test_each_kernel_is_measured(tmp_path):
    subprocess.run([sys.executable, BENCHMARK, "--quick", "--json", tmp_path / "table.json"], check=True)
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    for row in rows:
        kernels = {"materialised", "torch"} | ({"padded", "ours"} if row.pop("width") < 16 else set())
        assert set(row) == kernels
        assert all(nanoseconds > 0 for passes in row.values() for nanoseconds in passes)
    assert len(rows) == 6
