"""`tav compare`: means, spread and intervals of many edits, beside what was published."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from tav import params
from tav.artifacts import artifact, write_json
from tav.commands.compare import NOT_COMPARABLE, compared, read_published
from tav.commands.compare_forms import FORMS
from tav.metrics.comparison import compare, mean_of, measured
from tav.params import UserError
from tav.settings import settings_of

ROOT = Path(__file__).parents[2]
CLIP_L = "openai/clip-vit-large-patch14"
KINDS = ("style", "object", "background", "multiple")


def project(videos: int, clip: str | None = None, kinds: tuple[str, ...] = KINDS) -> params.Params:
    """A project of so many videos with four edits each, all evaluated; written into the current folder."""
    data = params.read_yaml(ROOT / "params.yaml")
    names = [f"v{i}" for i in range(videos)]
    data["videos"] = {n: {"path": f"{n}.mp4", "caption": "a_b", "extract": {}, "tune": {}} for n in names}
    data["edits"] = {
        f"{n}--{i}": {"video": n, "prompt": "50 % [red]", "kind": k} for n in names for i, k in enumerate(kinds)
    }
    if clip:
        data["evaluate"]["clip"] = {"source": f"hub:{clip}"}
    settings, rng = params.check(data), np.random.default_rng(0)
    for i, key in enumerate(data["edits"]):
        values = {"frame_consistency": 0.9 + 0.01 * (i % 4), "textual_alignment": rng.normal(25 + i // 4, 1)}
        values["motion_alignment"] = -1.5
        write_json(artifact("evaluate", key, "metrics.json"), {"edit": values, "source": {}})
        write_json(artifact("evaluate", key, "settings.json"), settings_of(settings, "evaluate", key))
    return settings


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_means_are_over_edits_and_intervals_over_videos() -> None:
    rng = np.random.default_rng(1)
    of_video = rng.normal(20, 3, 30)
    values = [(f"v{i}", of_video[i] + e) for i in range(30) for e in rng.normal(0, 0.1, 4)]
    found = mean_of(values)
    numbers = np.array([value for _, value in values])
    assert found.mean == pytest.approx(numbers.mean())
    assert found.std == pytest.approx(numbers.std(ddof=1))
    assert (found.edits, found.videos) == (120, 30)
    # the edits of a video are alike, so the error of the mean is that of 30 values and not of 120
    half = 1.96 * of_video.std(ddof=1) / np.sqrt(30)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)
    assert mean_of(values) == found
    alike = mean_of((str(i), value) for i, (_, value) in enumerate(values))
    assert alike.high - alike.low == pytest.approx(half, rel=0.15)


def test_one_edit_has_no_spread() -> None:
    assert mean_of([("v", 3.0)]) == (3, 0, 3, 3, 1, 1)


def test_groups_are_kinds_or_videos() -> None:
    settings = project(3)
    edits = measured(settings)
    kinds = compare(settings, edits, "kind")
    assert [(g.name, g.edits, g.videos) for g in kinds] == [(kind, 3, 3) for kind in KINDS]
    assert [g.means["frame_consistency"].mean for g in kinds] == pytest.approx([0.9, 0.91, 0.92, 0.93])
    assert [g.name for g in compare(settings, edits, "video")] == ["v0", "v1", "v2"]
    (whole,) = compare(settings, edits)
    assert list(whole.means) == ["frame_consistency", "textual_alignment", "motion_alignment"]


def test_a_variant_is_a_row_and_no_video_of_its_own() -> None:
    data = params.read_yaml(ROOT / "params.yaml")
    car = data["videos"]["red-car"]
    data["videos"] = {"a": car, "a--untuned": {**car, "tune": {"steps": 0}, "variant_of": "a"}}
    data["edits"] = {
        "a--dog": {"video": "a", "prompt": "a dog"},
        "a--dog--untuned": {"video": "a--untuned", "prompt": "a dog", "variant": "untuned"},
    }
    for key, value in (("a--dog", 30.0), ("a--dog--untuned", 20.0)):
        write_json(artifact("evaluate", key, "metrics.json"), {"edit": {"textual_alignment": value}, "source": {}})
    settings = params.check(data)
    rows = compare(settings, measured(settings), "variant")
    assert [(row.name, row.means["textual_alignment"].mean) for row in rows] == [("default", 30.0), ("untuned", 20.0)]
    (whole,) = compare(settings, measured(settings))
    assert (whole.edits, whole.videos) == (2, 1)


def test_published_values_of_other_models_are_marked() -> None:
    table = compared(project(2), "all", "v2vbench")
    text = FORMS["text"](table)
    assert f"\N{MINUS SIGN}5.60{NOT_COMPARABLE}" in text
    assert "* Motion alignment, px: not comparable, here by optical flow (DIS), published by GMFlow (sintel)" in text
    assert "models/emoji-world/clip" in text
    assert "commit 20afc6f" in text
    (row,) = [r for r in csv.DictReader(io.StringIO(FORMS["csv"](table))) if r["group"] == "Tune-A-Video"]
    assert (row["metric"], row["mean"], row["from"], row["comparable"]) == (
        "motion_alignment",
        "-5.599",
        "published",
        "no",
    )


def test_a_published_table_is_whole() -> None:
    table = read_published("v2vbench")
    assert len(table.rows) == 16
    assert all(set(values) == set(table.models) and len(values) == 8 for values in table.rows.values())
    assert table.rows["Text2Video-Zero"]["motion_alignment"] == -17.226
    assert table.models["frames_text_alignment"] == CLIP_L
    with pytest.raises(UserError, match="no published table 'vbench'; there are: loveu, v2vbench"):
        read_published("vbench")


def test_loveus_leaderboard_is_in_our_units() -> None:
    table = read_published("loveu")
    assert table.rows["Tune-A-Video"] == {"frame_consistency": 0.924, "textual_alignment": 27.12, "pick_score": 20.36}
    assert all(0.8 < values["frame_consistency"] < 1 for values in table.rows.values())
    assert "loveu-tgve-leaderboard, commit 3cb92b9" in table.source
    shown = FORMS["text"](compared(project(1, CLIP_L), "all", "loveu"))
    assert "Tune-A-Video (published)" in shown
    assert f"27.12{NOT_COMPARABLE}" not in shown


@pytest.mark.parametrize("form", FORMS)
def test_each_form_has_every_number_and_the_models(form: str) -> None:
    table = compared(project(2, CLIP_L), "kind", None)
    text = FORMS[form](table)
    assert CLIP_L in text.replace("\n", "") or form == "text"
    for kind in KINDS:
        assert kind in text
    assert ("0.930 ± 0.000" if form in ("text", "markdown") else "0.93") in text


def test_latex_and_markdown_are_escaped() -> None:
    table = compared(project(1, kinds=("50 %_a|b",)), "kind", None)
    assert r"50 \%\_a|b & 1 / 1 & 0.900 $\pm$ 0.000" in FORMS["latex"](table)
    assert r"| 50 %\_a\|b | 1 / 1 |" in FORMS["markdown"](table)


def test_models_are_those_that_the_values_were_made_with() -> None:
    """settings.json beside the values says what was used; params.yaml may say another since."""
    settings = project(1)
    before = project(1, CLIP_L)
    write_json(artifact("evaluate", "v0--1", "settings.json"), settings_of(settings, "evaluate", "v0--1"))
    for now in (settings, before):
        table = compared(now, "all", None)
        assert table.models["textual_alignment"] == f"{CLIP_L} / models/emoji-world/clip"
        assert any("3 by openai/clip-vit-large-patch14, 1 by models" in note for note in table.notes)


def test_without_readable_settings_those_of_params_count() -> None:
    settings = project(1, CLIP_L)
    artifact("evaluate", "v0--0", "settings.json").unlink()
    write_json(artifact("evaluate", "v0--1", "settings.json"), {"sections": {"evaluate": {"a later knob": 1}}})
    assert compared(settings, "all", None).models["textual_alignment"] == CLIP_L


def test_nothing_is_evaluated() -> None:
    settings = params.check(params.read_yaml(ROOT / "params.yaml"))
    with pytest.raises(UserError, match="no edit is evaluated yet"):
        compared(settings, "all", None)


def test_a_whole_benchmark_reads_each_file_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """76 videos x 4: what takes the time is reading, and that is two small files for each edit."""
    from tav.commands import compare as command
    from tav.metrics import comparison

    settings, read, read_json = project(76), [], comparison.read_json
    for module in (comparison, command):
        monkeypatch.setattr(module, "read_json", lambda path: read.append(path) or read_json(path))
    table = compared(settings, "kind", "v2vbench")
    assert [group.edits for group in table.groups] == [76] * 4
    assert len(read) == len(set(read)) == 608
