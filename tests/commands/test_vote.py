"""`tav vote`: pairs that don't tell which is which, and answers counted back."""

import csv
from pathlib import Path

import pytest
from chromium import Chromium
from tiny import tiny_video

from tav import params
from tav.artifacts import artifact
from tav.commands.vote import QUESTIONS, count, make_page, pairs_of
from tav.params import UserError

ROOT = Path(__file__).parents[2]


def project(pairs: int, *, made: bool = True) -> params.Params:
    """A video with so many edits, each with an untuned variant; in the current folder."""
    data = params.read_yaml(ROOT / "params.yaml")
    car = data["videos"]["red-car"]
    data["videos"] = {"car": car, "car--untuned": {**car, "tune": {"steps": 0}, "variant_of": "car"}}
    data["edits"] = {}
    for i in range(pairs):
        data["edits"][f"e{i}"] = {"video": "car", "prompt": f"<b>a car</b> & {i}"}
        data["edits"][f"e{i}--u"] = {"video": "car--untuned", "prompt": f"<b>a car</b> & {i}", "variant": "untuned"}
    if made:
        for seed, key in enumerate(data["edits"]):
            artifact("edit", key).mkdir(parents=True)
            tiny_video(artifact("edit", key, "video.mp4"), width=32, height=32, num_frames=4, seed=seed)
    return params.check(data)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def key_of(out: Path) -> list[dict[str, str]]:
    with (out / "key.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_order_and_sides_are_the_seeds(tmp_path: Path) -> None:
    settings = project(12)
    pairs = pairs_of(settings, "default", "untuned", seed=1)
    assert pairs == pairs_of(settings, "default", "untuned", seed=1)
    assert pairs != pairs_of(settings, "default", "untuned", seed=2)
    assert {frozenset(pair[:2]) for pair in pairs} == {frozenset((f"e{i}", f"e{i}--u")) for i in range(12)}
    sides = [pair.left.endswith("--u") for pair in pairs]
    assert 0 < sum(sides) < 12
    assert [pair.prompt for pair in pairs] != sorted(pair.prompt for pair in pairs)
    assert len(pairs_of(settings, "default", "untuned", seed=1, limit=5)) == 5


def test_the_page_does_not_tell_and_the_key_does(tmp_path: Path) -> None:
    said = make_page(project(3), Path("study"), "default", "untuned", 0, None)
    assert said[0].startswith("3 pairs of default and untuned: file://")
    page = Path("study/page/index.html").read_text()
    assert "e0" not in page.replace("tav-vote-default-untuned-0", "")
    assert "&lt;b&gt;a car&lt;/b&gt; &amp; 0" in page
    assert len(list(Path("study/page/pairs").iterdir())) == 6
    for row in key_of(Path("study")):
        for side in ("left", "right"):
            shown = Path(f"study/page/pairs/{int(row['pair']):03d}-{side}.mp4").read_bytes()
            assert shown == artifact("edit", row[f"{side}_edit"], "video.mp4").read_bytes()
            assert row[side] == ("untuned" if row[f"{side}_edit"].endswith("--u") else "default")
    with pytest.raises(UserError, match="is there already"):
        make_page(project(3, made=False), Path("study"), "default", "untuned", 0, None)


def test_answers_are_counted_by_whose_side_they_are(tmp_path: Path) -> None:
    make_page(project(8), Path("study"), "default", "untuned", 3, None)
    rows = ["pair,question,side,voter"]
    for voter in ("x", "y"):
        for row in key_of(Path("study")):
            default = "left" if row["left"] == "default" else "right"
            other = "right" if default == "left" else "left"
            rows.append(f"{row['pair']},smoother,{default},{voter}")  # all for the default
            rows.append(f"{row['pair']},fits,{default if int(row['pair']) <= 2 else other},{voter}")  # 2 of 8 pairs
    Path("answers.csv").write_text("\n".join(rows) + "\n")
    told = count(Path("study"), [Path("answers.csv")])
    assert told[0].startswith("2 voters, 8 pairs; share that chose default over untuned")
    assert told[1] == "Which video is smoother in time? 100.0% [100.0%, 100.0%], 16 answers"
    assert told[2].startswith("Which video fits the text better? 25.0% [")
    low, high = (float(part.strip("[]%, ")) for part in told[2].split("25.0% ")[1].split("]")[0].split(","))
    assert low <= 12.5 < 25 < 37.5 <= high


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    settings = project(2, made=False)
    for a, b, said in (("default", "untuned", "none of them is made"), ("default", "x", "there are: default, untuned")):
        with pytest.raises(UserError, match=said):
            pairs_of(settings, a, b, 0)
    make_page(project(2), Path("study"), "default", "untuned", 0, None)
    Path("other.csv").write_text("pair,question,side,voter\n9,fits,left,x\n")
    with pytest.raises(UserError, match=r"other.csv is not of study: it has 9, fits, left, x"):
        count(Path("study"), [Path("other.csv")])
    Path("bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="has no column pair, question, side, voter"):
        count(Path("study"), [Path("bad.csv")])


def test_a_person_votes(chromium: Chromium, tmp_path: Path) -> None:
    """Click through all pairs, always left; the answers survive a reload, and are counted as the key says."""
    make_page(project(3), Path("study"), "default", "untuned", 0, None)
    page = tmp_path / "study/page/index.html"
    chromium.open(page)
    assert chromium.js("[...document.querySelectorAll('.one')].filter(s => !s.hidden).length") == 1
    for _ in range(3):
        chromium.js("document.querySelectorAll('.one:not([hidden]) input[value=left]').forEach(box => box.click())")
        chromium.js("document.getElementById('next').click()")
    chromium.open(page)
    text = chromium.js("answersCsv()")
    rows = list(csv.DictReader(text.splitlines()))
    assert {(row["pair"], row["question"]) for row in rows} == {(str(n), q) for n in (1, 2, 3) for q in QUESTIONS}
    Path("answers.csv").write_text(text)
    left = sum(row["left"] == "default" for row in key_of(Path("study"))) / 3
    assert f" {left:.1%} [" in count(Path("study"), [Path("answers.csv")])[1]
    assert chromium.js("document.documentElement.scrollWidth <= innerWidth")
