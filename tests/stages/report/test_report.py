"""The page, read as a file."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from report_project import EVIL, FPS, FRAMES, SIDE, raw_settings, settings
from tiny import moving_square

from tav import params
from tav.artifacts import artifact, write_frames, write_json
from tav.stages import report
from tav.stages.report import Word, best, changes, loss_curve, settings_of, table


class TestChanges:
    def test_a_word_is_replaced(self):
        assert changes("a man is skiing", "a dog is skiing") == [
            Word("a", "same"),
            Word("man", "gone"),
            Word("dog", "new"),
            Word("is skiing", "same"),
        ]

    def test_words_are_added_at_the_end(self):
        assert changes("a man", "a man, on the beach") == [Word("a man,", "same"), Word("on the beach", "new")]

    def test_case_does_not_count_and_the_prompt_is_shown_as_written(self):
        assert changes("A man is skiing.", "a Man is skiing") == [Word("a Man is skiing", "same")]

    def test_no_caption(self):
        assert changes("", "a cat") == [Word("a cat", "new")]

    @pytest.mark.parametrize("prompt", ["a b c", "c b a", "x", "a x b y c z"])
    def test_the_prompt_can_be_read_off(self, prompt):
        assert " ".join(word.text for word in changes("a b c", prompt) if word.kind != "gone") == prompt


class TestValues:
    def test_the_best_is_the_highest(self):
        assert best([-3.0, -1.0, None]) == [False, True, False]

    def test_the_best_is_the_lowest_where_lower_is_better(self):
        assert best([3.0, 1.0, None], better="lower") == [False, True, False]
        assert best([3.0, 1.0], better="near the source") == [False, False]

    def test_equal_values_are_both_best(self):
        assert best([1.0, 1.0, 0.0]) == [True, True, False]

    def test_one_alone_is_not_best(self):
        assert best([1.0, None]) == [False, False]
        assert best([]) == []

    def test_a_table_has_only_what_was_measured(self):
        metrics = {"edit": {"textual_alignment": 30.0, "motion_alignment": -1.234}, "source": {"textual_alignment": 25}}
        rows = table([{"metrics": metrics}, {"metrics": None}])
        assert [metric.title for metric in rows["metrics"]] == ["Textual alignment", "Motion alignment, px"]
        assert rows["source"] == ["25.00", ""]
        assert [cell["value"] for cell in rows["rows"][0]["cells"]] == ["30.00", "\N{MINUS SIGN}1.23"]
        assert len(rows["rows"]) == 1

    def test_a_still_picture_is_not_the_best(self):
        """The best is marked in alignment alone. The rest tells how far it is from the source."""
        source = {"frame_consistency": 0.95, "consecutive_consistency": 0.97, "textual_alignment": 25, "pick_score": 20}
        still = {"frame_consistency": 1.0, "consecutive_consistency": 1.0, "textual_alignment": 20, "pick_score": 18}
        good = {"frame_consistency": 0.94, "consecutive_consistency": 0.97, "textual_alignment": 31, "pick_score": 21}
        motion = {"source": 0.0, "still": -0.5, "good": -0.25}
        edits = [
            {
                "metrics": {
                    "edit": values | {"motion_alignment": motion[name]},
                    "source": source | {"motion_alignment": 0.0},
                }
            }
            for name, values in (("still", still), ("good", good))
        ]
        of_still, of_good = (row["cells"] for row in table(edits)["rows"])
        names = [metric.title.split()[0] for metric in table(edits)["metrics"]]
        assert [name for name, cell in zip(names, of_still, strict=True) if cell["best"]] == []
        assert [name for name, cell in zip(names, of_good, strict=True) if cell["best"]] == ["Textual", "PickScore"]
        assert [cell["beside"] for cell in of_still] == ["+0.050 from the source", "+0.030 from the source", "", "", ""]
        assert of_good[0]["beside"] == "\N{MINUS SIGN}0.010 from the source"

    def test_settings_mark_what_is_own(self):
        own = {setting.name: setting for setting in settings_of(settings().edit_of("car--blue"), {"guidance_scale"})}
        assert (own["guidance_scale"].value, own["guidance_scale"].own) == ("4.5", True)
        assert not own["seed"].own
        assert "from" in own  # as in params.yaml, not as in Python

    def test_numbers_are_not_taken_for_booleans(self):
        values = {setting.name: setting.value for setting in settings_of(settings().extract_of("car"))}
        assert values["start"] == "0.0"
        assert values["fps"] == "\N{EN DASH}"
        assert {s.name: s.value for s in settings_of(settings().tune)}["official_checkpointing"] == "no"


class TestLossCurve:
    def test_points(self, tmp_path):
        file = tmp_path / "loss.csv"
        file.write_text("step,loss\n1,4\n2,2\n3,0\n")
        curve = loss_curve(file)
        width, height = report.CHART
        assert curve["raw"] == f"0.0,0.0 {width / 2:.1f},{height / 2:.1f} {width:.1f},{height:.1f}"
        assert curve["data"] == [[1, 4.0, 4.0], [2, 2.0, 2.0], [3, 0.0, 0.0]]

    def test_the_mean_runs_over_a_twentieth(self, tmp_path):
        file = tmp_path / "loss.csv"
        losses = np.random.default_rng(0).random(100).round(4)
        file.write_text("step,loss\n" + "".join(f"{i},{loss}\n" for i, loss in enumerate(losses, 1)))
        data = loss_curve(file)["data"]
        assert data[60][2] == pytest.approx(losses[56:61].mean(), rel=1e-3)
        assert data[1][2] == pytest.approx(losses[:2].mean(), rel=1e-3)

    def test_flat_short_and_missing_curves(self, tmp_path):
        file = tmp_path / "loss.csv"
        assert loss_curve(file) is None
        file.write_text("step,loss\n")
        assert loss_curve(file) is None
        file.write_text("step,loss\n1,0.5\n")
        assert "nan" not in str(loss_curve(file))


class Reader(HTMLParser):
    """What a page has: its tags with their attributes, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += " ".join(data.split()) + " "


class TestPage:
    def test_links_are_relative_and_lead_somewhere(self, page):
        tags = Reader(page.read_text()).tags
        links = [value for _, attrs in tags for name in ("src", "href") if (value := attrs.get(name))]
        ids = {attrs["id"] for _, attrs in tags if "id" in attrs}
        assert len(links) > 8
        for link in links:
            assert link == "data:," or (link[0] == "#" and link[1:] in ids) or (page.parent / link).is_file(), link

    def test_it_names_no_other_place(self, page):
        assert not re.findall(r"""(?:https?:)?//[a-z][\w.]+|@import|url\(""", page.read_text())

    def test_text_is_escaped(self, page):
        reader = Reader(page.read_text())
        assert sum(tag == "script" for tag, _ in reader.tags) == 1
        assert not any(tag == "img" for tag, _ in reader.tags)
        labels = [attrs.get("aria-label") for tag, attrs in reader.tags if tag == "video"]
        assert f"Edited video: {EVIL}" in labels

    def test_every_picture_and_control_has_a_name(self, page):
        for tag, attrs in Reader(page.read_text()).tags:
            if tag in ("video", "input", "select", "svg"):
                assert attrs.get("aria-label"), (tag, attrs)

    def test_source_video_is_the_picked_frames_at_their_cadence(self, page):
        from tav.video import probe

        info = probe(page.parent / "sources/car.mp4")
        assert (info.num_frames, info.fps, info.width, info.height) == (FRAMES, FPS, SIDE, SIDE)

    def test_edits_are_the_videos_as_they_were_made(self, page, project):
        for key in ("car--dog", "car--evil"):
            made = project / artifact("edit", key, "video.mp4")
            assert (page.parent / f"edits/{key}.mp4").read_bytes() == made.read_bytes()

    def test_maps_that_edits_may_follow_are_videos_too(self, page):
        from tav.video import probe

        info = probe(page.parent / "maps/car--canny.mp4")
        assert (info.num_frames, info.fps, info.width, info.height) == (FRAMES, FPS, SIDE, SIDE)
        labels = [attrs.get("aria-label") for tag, attrs in Reader(page.read_text()).tags if tag == "video"]
        assert "Condition canny of car" in labels

    def test_a_mask_is_a_video_too(self, page):
        from tav.video import probe

        info = probe(page.parent / "maps/car--blue--mask.mp4")
        assert (info.num_frames, info.fps, info.width, info.height) == (FRAMES, FPS, SIDE, SIDE)
        labels = [attrs.get("aria-label") for tag, attrs in Reader(page.read_text()).tags if tag == "video"]
        assert [label for label in labels if label.startswith("Mask")] == ["Mask of car--blue"]

    def test_it_says_what_is_there(self, page):
        text = Reader(page.read_text()).text
        for said in (
            "24.1 dB",
            "27.6 dB",
            "48 s",
            "source 18.25",
            "30.00 (best)",
            "steps 77 own",
            "guidance_scale 4.5",
        ):
            assert said in text, said

    def test_it_says_what_is_missing_and_how_to_make_it(self, page):
        text = Reader(page.read_text()).text
        missing = ("edit@car--missing", "evaluate@car--evil", "extract@later", "caption@later", "tune@later")
        for stage in (*missing, "invert@later", "edit@later--cat"):
            assert f"yet dvc repro {stage}" in text or f"yet: dvc repro {stage}" in text, stage

    def test_it_is_the_same_again(self, project, page):
        before = {file.name: file.read_bytes() for file in page.parent.rglob("*.*")}
        report.run(settings(), "", lambda progress: None)
        assert {file.name: file.read_bytes() for file in page.parent.rglob("*.*")} == before

    def test_nothing_at_all(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        data = params.read_yaml(Path(__file__).parents[3] / "params.yaml")
        report.run(params.check({**data, "videos": {}, "edits": {}}), "", print)
        assert "No videos yet" in (tmp_path / "artifacts/report/index.html").read_text()

    def test_no_torch(self, project):
        code = (
            "import json, sys; from tav import params; from tav.stages import report;"
            "report.run(params.check(json.loads(sys.argv[1])), '', print);"
            "print([m for m in ('torch', 'transformers', 'mlflow', 'prefect') if m in sys.modules])"
        )
        call = [sys.executable, "-c", code, json.dumps(raw_settings())]
        done = subprocess.run(call, cwd=project, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"


def test_large_videos_are_not_made_of_squares(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(artifact("extract", "car", "frames"), moving_square(2, 32, 48))
    write_json(
        artifact("extract", "car", "source/info.json"), {"width": 480, "height": 320, "fit": "stretch", "fps": 8.0}
    )
    report.run(settings(), "", lambda progress: None)
    assert 'class="player enlarged"' not in Path("artifacts/report/index.html").read_text()


def test_means_by_kind_stand_below_the_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = raw_settings()
    assert report.tables(params.check(data)) == []  # nothing is measured
    for key, kind, value in (
        ("car--dog", "object", 30.0),
        ("car--blue", "style", 20.0),
        ("later--cat", "object", 26.0),
    ):
        data["edits"][key]["kind"] = kind
        write_json(artifact("evaluate", key, "metrics.json"), {"edit": {"textual_alignment": value}, "source": {}})
    (shown,) = report.tables(params.check(data))
    assert shown["head"] == ["kind", "edits", "Textual alignment"]
    assert shown["rows"] == [
        ["object", "2", "28.00 ± 2.83 [26.00, 30.00]"],
        ["style", "1", "20.00 ± 0.00 [20.00, 20.00]"],
    ]
    page = report.render([], {}, [shown])
    assert "All edits, by kind" in page
    assert "28.00 ± 2.83 [26.00, 30.00]" in page
    assert "All edits" not in report.render([], {}, [])


def test_a_variant_stands_beside_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = raw_settings()
    data["videos"]["car--untuned"] = {**data["videos"]["car"], "tune": {"steps": 0}, "variant_of": "car"}
    data["edits"] = {
        "car--dog": {"video": "car", "prompt": "a dog on a road"},
        "car--dog--untuned": {"video": "car--untuned", "prompt": "a dog on a road", "variant": "untuned"},
    }
    report.run(params.check(data), "", lambda progress: None)
    page = Path("artifacts/report/index.html").read_text()
    assert "2 edits of 2 videos" in page  # car and later: a variant is no video of its own
    assert '<span class="tag">untuned</span>' in page
