"""One trial of a fault, how it ended, and many of them: told one by one, kept on disk, counted in a table."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a trial ended."""

    kind: str
    """What was tried, as a row of the table has it: "videos: HEVC"."""
    wrong: str = ""
    """What did not hold. Empty: all held."""
    told: str = ""
    """What came of it, in a word or two, to be counted: "an error", "frames"."""
    tried: int = 1
    """More where one trial tries many."""


class Journal:
    """The trials that were made, a JSON line each, so that a run that was stopped goes on."""

    def __init__(self, path: Path | None) -> None:
        """path: None keeps them in memory alone."""
        self.path = path
        self.ended: dict[str, Ended] = {}
        if path and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                name, *values = json.loads(line)
                self.ended[name] = Ended(*values)

    def add(self, name: str, ended: Ended) -> None:
        self.ended[name] = ended
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, *ended]) + "\n")


def run_all(names: Iterable[str], trial: Callable[[str], Ended], journal: Journal) -> list[Ended]:
    """Make those trials that were not made yet. What did not hold is printed at once."""
    found = []
    for name in names:
        if name not in journal.ended:
            journal.add(name, trial(name))
            if wrong := journal.ended[name].wrong:
                print(f"{name}: {wrong}", flush=True)
        found.append(journal.ended[name])
    return found


def table(trials: Iterable[Ended]) -> str:
    """Markdown: what was tried, how often, how often it held, what came of it."""
    rows: dict[str, list[Ended]] = {}
    for trial in trials:
        rows.setdefault(trial.kind, []).append(trial)
    lines = ["| what | tried | held | what came of it |", "| --- | --- | --- | --- |"]
    for kind, ended in rows.items():
        told = ", ".join(f"{what} {count}" for what, count in Counter(e.told for e in ended if e.told).most_common())
        tried, wrong = sum(e.tried for e in ended), sum(bool(e.wrong) for e in ended)
        lines.append(f"| {kind} | {tried} | {tried - wrong} | {told} |")
    return "\n".join(lines)
