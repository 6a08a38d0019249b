"""The one table of metrics, and the pages that show it."""

import math
from pathlib import Path

import pytest

from tav.artifacts import write_json
from tav.commands.table import print_table
from tav.metrics.table import METRICS, Metric, as_markdown
from tav.params import check, read_yaml

ROOT = Path(__file__).parents[2]


def test_the_docs_have_it() -> None:
    page = ROOT.joinpath("docs/metrics.md").read_text(encoding="utf-8")
    assert as_markdown() in page, "run `python docs/metrics.py`"


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
def test_each_fits_a_table(metric: Metric) -> None:
    assert "|" not in metric.meaning
    assert metric.meaning.endswith((".", "?"))
    assert float(metric.text(1.25)) == pytest.approx(1.25, abs=0.01)
    assert metric.text(math.pi, sign="+").startswith("+3.1")
    assert metric.text(None) == ""


def test_tav_table_has_its_titles_and_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = read_yaml(ROOT / "params.yaml")
    data["edits"] = {name: {"video": "red-car", "prompt": "a blue car"} for name in ("measured", "later")}
    metrics = {
        "edit": {"textual_alignment": 31.239, "motion_alignment": -0.5, "of_another_tav": 1.0},
        "source": {"textual_alignment": 25.0},
    }
    write_json(Path("artifacts/evaluate/measured/metrics.json"), metrics)
    print_table(check(data))
    shown = capsys.readouterr().out
    for text in ("Textual alignment", "31.24 (25.00)", "Motion alignment, px", "\N{MINUS SIGN}0.50", "not run"):
        assert text in shown
    assert "another" not in shown
