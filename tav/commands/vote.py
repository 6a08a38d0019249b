"""`tav vote`: the paper's user study (section 5.2). Pairs of videos of two methods for one prompt, which people judge.

OUT/page/index.html   what voters see: order and sides are shuffled, and no name tells which is which
OUT/key.csv           which side is whose; not for voters
answers-*.csv         what the page saves of one voter: pair, question, side, voter
"""

import csv
import random
import shutil
from pathlib import Path
from typing import NamedTuple

from tav.artifacts import artifact, atomic
from tav.complaints import listed
from tav.metrics.comparison import DEFAULT, Mean, mean_of
from tav.params import Params, UserError

QUESTIONS = {
    "smoother": "Which video is smoother in time?",
    "fits": "Which video fits the text better?",
}
"""As the paper's two: temporal consistency and textual alignment."""
SIDES = ("left", "right")


class Pair(NamedTuple):
    """Two edits of one video with one prompt; `left` stands on the left."""

    left: str
    right: str
    prompt: str


def pairs_of(params: Params, a: str, b: str, seed: int, limit: int | None = None) -> list[Pair]:
    """The pairs of two variants whose videos are made, in an order and on sides that the seed decides.

    a, b: names of variants; `default` is the edits that are none. Raises UserError where there is no pair.
    """
    named = {name: _edits(params, name) for name in (a, b)}
    asked = [(one, named[b][what], what[1]) for what, one in named[a].items() if what in named[b]]
    with_videos = [p for p in asked if all(artifact("edit", key, "video.mp4").exists() for key in p[:2])]
    if a == b or not with_videos:
        variants = dict.fromkeys(edit.variant or DEFAULT for edit in params.edits.values())
        why = (
            "none of them is made: run `dvc repro`"
            if asked and a != b
            else f"there are: {listed(list(variants), ', ')}"
        )
        raise UserError(f"no pair of videos of {a} and {b}: {why}")
    chance = random.Random(seed)
    chance.shuffle(with_videos)
    chosen = with_videos[:limit]
    return [Pair(two, one, prompt) if chance.random() < 0.5 else Pair(one, two, prompt) for one, two, prompt in chosen]


def make_page(params: Params, out: Path, a: str, b: str, seed: int, limit: int | None) -> list[str]:
    """Write the page and its key. Returns what to tell the person. Raises UserError."""
    if out.exists():
        raise UserError(f"{out} is there already: give another name, or delete it")
    pairs = pairs_of(params, a, b, seed, limit)
    with atomic(out) as folder:
        (folder / "page/pairs").mkdir(parents=True)
        for number, pair in enumerate(pairs, 1):
            for side in SIDES:
                shutil.copyfile(
                    artifact("edit", getattr(pair, side), "video.mp4"), folder / f"page/pairs/{number:03d}-{side}.mp4"
                )
        (folder / "page/index.html").write_text(_page(pairs, f"{a}-{b}-{seed}"), encoding="utf-8")
        _write_key(folder / "key.csv", params, pairs)
    page = (out / "page/index.html").absolute()
    return [
        f"{len(pairs)} pairs of {a} and {b}: {page.as_uri()}",
        f"give voters the folder {out / 'page'}; keep {out / 'key.csv'} to yourself",
        f"then: tav vote count {out} answers-*.csv",
    ]


def count(out: Path, answers: list[Path]) -> list[str]:
    """How often each variant was chosen, with 95 % bootstrap intervals over pairs, in words. Raises UserError."""
    key = {row["pair"]: row for row in _rows(out / "key.csv", ("pair", "left", "right"))}
    votes: dict[str, list[tuple[str, str]]] = {question: [] for question in QUESTIONS}
    voters = set()
    for file in answers:
        for row in _rows(file, ("pair", "question", "side", "voter")):
            if row["question"] not in votes or row["side"] not in SIDES or row["pair"] not in key:
                raise UserError(f"{file} is not of {out}: it has {', '.join(row.values())}")
            votes[row["question"]].append((row["pair"], key[row["pair"]][row["side"]]))
            voters.add(row["voter"])
    first, second = sorted({name for row in key.values() for name in (row["left"], row["right"])}, key=_default_first)
    lines = [
        f"{len(voters)} voters, {len(key)} pairs; share that chose {first} over {second} [95 % interval over pairs]"
    ]
    for question, chosen in votes.items():
        share = mean_of([(pair, float(name == first)) for pair, name in chosen]) if chosen else None
        lines.append(f"{QUESTIONS[question]} {_share(share)}")
    return lines


def _default_first(name: str) -> tuple[bool, str]:
    return name != DEFAULT, name


def _share(share: Mean | None) -> str:
    if share is None:
        return "no answers"
    return f"{share.mean:.1%} [{share.low:.1%}, {share.high:.1%}], {share.edits} answers"


def _edits(params: Params, variant: str) -> dict[tuple[str, str], str]:
    """A variant's edits by their footage and prompt."""
    return {
        (params.footage_of(edit.video), edit.prompt): key
        for key, edit in params.edits.items()
        if (edit.variant or DEFAULT) == variant
    }


def _write_key(file: Path, params: Params, pairs: list[Pair]) -> None:
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["pair", "left", "right", "left_edit", "right_edit"])
        for number, pair in enumerate(pairs, 1):
            names = [params.edits[key].variant or DEFAULT for key in (pair.left, pair.right)]
            writer.writerow([number, *names, pair.left, pair.right])


def _rows(file: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            rows = list(table)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read {file}: {error}") from None
    if lost := [name for name in columns if name not in (table.fieldnames or ())]:
        raise UserError(f"{file} has no column {listed(lost, ', ')}; expected {', '.join(columns)}")
    return [{name: row[name] for name in columns} for row in rows]


def _page(pairs: list[Pair], study: str) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    shown = [{"number": number, "prompt": pair.prompt} for number, pair in enumerate(pairs, 1)]
    return jinja.get_template("vote.html.jinja").render(pairs=shown, questions=QUESTIONS, study=study)
