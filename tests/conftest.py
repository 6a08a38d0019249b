"""One thread a test process, no spinning, no telemetry: set before anything heavy is imported."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from chromium import Chromium

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DO_NOT_TRACK"] = "1"
os.environ["DVC_NO_ANALYTICS"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

# What is started by a shell's `&` ignores SIGINT, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup's ignoring, too

# No clock: a machine that does other work is no fault of what is tested.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")

LONGEST = (
    "flows/remote/test_workers.py",
    "flows/test_pipeline.py",
    "test_dvc_repro.py",
    "running/test_resident.py",
    "test_wheel.py",
    "budget/test_plan.py",
    "stages/test_tune.py",
    "running/test_aside.py",
    "record/test_tracking.py",
    "record/test_live.py",
    "model/test_compilation.py",
    "stages/report/test_report_in_browser.py",
    "studio/test_studio.py",
    "emoji_world/test_training.py",
    "flows/test_process.py",
    "stages/test_bases.py",
)
"""Files that begin first, so that no process is left alone with one in the end (make test: --dist loadfile)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    first = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Chromium]":
    from chromium import CHROMIUM, Chromium

    if not CHROMIUM:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    browser = Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
