"""benchmarks/gpu.py runs where there is no GPU, at a small size, goes on where it was, and says what it is."""

import importlib
import json
import os
import sys
from pathlib import Path

import pytest
import torch

from tav.model.tuned_weights import tuned_parameters

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAME = "guided | 8 | fp16, sdpa"


@pytest.fixture(scope="module")
def gpu():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("gpu")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def real_size(gpu):
    return importlib.import_module("real_size")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_runs_on_the_cpu_and_goes_on(gpu, tmp_path, monkeypatch, capsys):
    file = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu, "in_own_process", lambda work, *arguments: work(*arguments))
    monkeypatch.setattr("sys.argv", ["gpu.py", "--json", str(file), "--only", NAME])
    gpu.main()
    assert capsys.readouterr().out.startswith("NOT A RESULT")
    table = json.loads(file.read_text())
    assert (table["device"], table["quick"], [*table["rows"]]) == ("cpu", True, [NAME])
    row = table["rows"][NAME]
    assert row["status"] == "ok"
    assert row["share"] == pytest.approx(row["flops"] / row["seconds"] / table["matmul_flops"]["fp16"])
    row["seconds"] = 1234.0  # measured anew, it would be another
    file.write_text(json.dumps(table))
    monkeypatch.setattr("sys.argv", ["gpu.py", "--resume", str(file), "--only", NAME])
    gpu.main()
    assert f"| {NAME} | 1.23e+03 |" in capsys.readouterr().out


def test_a_row_has_a_process_of_its_own(gpu):
    assert gpu.in_own_process(os.getpid) != os.getpid()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_another_machines_table_is_not_gone_on_with(gpu, tmp_path):
    file = tmp_path / "gpu.json"
    file.write_text(json.dumps({"device": "NVIDIA H100", "torch": torch.__version__, "quick": False, "rows": {}}))
    with pytest.raises(SystemExit, match="NVIDIA H100, here it is cpu"):
        gpu.start(file, quick=True)


def test_what_fails_is_a_row_and_is_tried_again(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "in_own_process", lambda work, *arguments: work(*arguments))
    row = gpu.fill(gpu.Cell("no such step", 8, precision="none"), {"matmul_flops": {"none": 1.0}}, quick=True)
    assert row["failed"]
    assert row["status"].startswith("KeyError")


@pytest.mark.parametrize("options", [{"checkpointed": True, "cap_gb": 12}, {"token_merging": 0.5}])
def test_rows_with_options(real_size, options):
    row = real_size.measure(real_size.Cell("tuning", 8, precision="fp32", **options), quick=True)
    assert row["status"] == "ok"


def test_a_whole_edit(real_size):
    row = real_size.measure(real_size.Cell(real_size.EDIT, 8, precision="fp32"), quick=True)
    assert row["seconds"] > 0


def test_flops_of_a_step_are_those_of_the_real_network(real_size):
    """SD 1.4's UNet takes about 0.8 TFLOP a picture of 512x512; frames 2 and on attend to twice the tokens."""
    inversion = real_size.count_flops("inversion", 8, quick=False)
    one = inversion / 8
    assert 0.75e12 < one < 1.1e12
    guided = real_size.count_flops("guided", 8, quick=False)
    assert guided == 2 * inversion
    assert 2 < real_size.count_flops("tuning", 8, quick=False) / (8 * one) < 3


def test_the_networks_are_those_of_stable_diffusion_1(real_size):
    pipe = real_size.build(real_size.REAL, "meta", torch.bfloat16)
    numbers = {name: sum(p.numel() for p in getattr(pipe, name).parameters()) for name in ("vae", "text_encoder")}
    assert numbers == {"vae": 83_653_863, "text_encoder": 123_060_480}
    tuned = tuned_parameters(pipe.unet)
    assert (len(tuned), sum(p.numel() for p in tuned.values())) == (112, 74_354_880)
    image_unet = [p for name, p in pipe.unet.named_parameters() if "_temp" not in name]
    assert sum(p.numel() for p in image_unet) == 859_520_964
