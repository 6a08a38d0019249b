"""The lock of a GPU. There is no card here: `nvidia-smi` is a script that names two."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tav.running import gpu

DVC_YAML = """
stages:
  tune: {foreach: [a], do: {cmd: x, meta: {pool: gpu}}}
  report: {cmd: x, meta: {pool: cpu}}
"""
HOLD = """
import sys
from pathlib import Path
from tav.running import gpu
gpu.PLACE = Path(sys.argv[1])
with gpu.alone_on_gpu("tune"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project on a machine with two cards."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(DVC_YAML)
    Path("nvidia-smi").write_text("#!/bin/sh\nprintf 'GPU-0aaa\\nGPU-1bbb\\n'\n")
    Path("nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("CUDA_VISIBLE_DEVICES", "TAV_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpu, "PLACE", tmp_path / "locks")
    return tmp_path


@pytest.mark.parametrize(
    ("env", "card"),
    [
        ({}, "GPU-0aaa"),
        ({"TAV_DEVICE": "cuda:1"}, "GPU-1bbb"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "GPU-1bbb"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1bbb", "TAV_DEVICE": "cuda"}, "GPU-1bbb"),
        ({"CUDA_VISIBLE_DEVICES": "1,0", "TAV_DEVICE": "cuda:1"}, "GPU-0aaa"),
        ({"TAV_DEVICE": "cpu"}, None),
        ({"CUDA_VISIBLE_DEVICES": ""}, None),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, None),
    ],
)
def test_the_card_of_a_process(
    cards: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], card: str | None
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert gpu.card_in_use() == card


def test_without_nvidia_smi_there_is_no_card(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu.card_in_use() is None


def test_a_stage_waits_for_the_card_and_says_for_whom(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", HOLD, str(gpu.PLACE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert _line(first) == "held\n"
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as second:
            assert _line(second).startswith(f"GPU GPU-0aaa is in use by process {first.pid} (")
            with gpu.alone_on_gpu("report"):  # needs none
                pass
            monkeypatch.setenv("TAV_DEVICE", "cuda:1")
            with gpu.alone_on_gpu("tune"):  # the other card
                pass
            first.communicate("")
            assert _line(second) == "held\n"
            second.communicate("")
    assert (first.returncode, second.returncode) == (0, 0)


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline()
