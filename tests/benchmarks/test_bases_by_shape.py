"""benchmarks/bases.py has the real networks' shapes: their numbers of parameters are those of the published weights."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bases(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("bases")
    sys.modules.pop("bases", None)


@pytest.mark.parametrize(
    ("base", "unet", "text"), [("sd21", 865_910_724, 340_387_840), ("xl", 2_567_463_684, 123_060_480)]
)
def test_the_published_sizes(bases: ModuleType, base: str, unet: int, text: int) -> None:
    build, _ = bases.BASES[base]
    pipe = build()
    sizes = {name: sum(p.numel() for p in getattr(pipe, name).parameters()) for name in ("unet", "text_encoder")}
    assert sizes == {"unet": unet, "text_encoder": text}
