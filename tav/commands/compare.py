"""`tav compare`: means of all metrics with spread and intervals, beside published rows, with the models' names."""

import csv
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tav.artifacts import artifact, read_json
from tav.complaints import listed
from tav.metrics.comparison import By, Group, compare, measured
from tav.metrics.table import METRICS
from tav.params import Evaluate, Params, UserError
from tav.settings import FILE

PUBLISHED = Path(__file__).parents[1] / "published"
NOT_COMPARABLE = "*"


class Published(NamedTuple):
    """A benchmark's table as it was published."""

    name: str
    source: str
    models: dict[str, str]
    """By metric."""
    rows: dict[str, dict[str, float]]
    """By method, then by metric."""


class Table(NamedTuple):
    """What is compared, before it has a form."""

    groups: list[Group]
    metrics: list[str]
    models: dict[str, str]
    """What each metric was measured with here."""
    published: Published | None
    notes: list[str]

    def theirs(self) -> list[tuple[str, dict[str, float]]]:
        """Published methods with their values of the metrics that are measured here too."""
        if self.published is None:
            return []
        known = [metric for metric in self.metrics if metric in self.published.models]
        rows = self.published.rows.items()
        return [(name, {metric: values[metric] for metric in known}) for name, values in rows] if known else []

    def is_comparable(self, metric: str) -> bool:
        """Whether a published value was made with the model that is used here."""
        return self.published is not None and self.published.models.get(metric) == self.models[metric]


def compared(params: Params, by: By, published: str | None) -> Table:
    """The table of this project's edits. published: the benchmark whose rows stand beside. Raises UserError."""
    edits = measured(params)
    if not edits:
        raise UserError("no edit is evaluated yet: run `dvc repro` first")
    groups = compare(params, edits, by)
    names = [name for name in METRICS if any(name in group.means for group in groups)]
    models, notes = _models(params, [edit.key for edit in edits], names)
    missing = len(params.edits) - len(edits)
    notes += [f"{missing} of {len(params.edits)} edits are not evaluated yet"] if missing else []
    notes.append("mean ± standard deviation over edits [95 % bootstrap interval of the mean, over videos]")
    theirs = read_published(published) if published else None
    notes += _about(theirs, names, models) if theirs else []
    return Table(groups, names, models, theirs, notes)


def read_published(name: str) -> Published:
    """A table that tav brings along. Raises UserError: no such."""
    file = PUBLISHED / f"{name}.csv"
    known = sorted(path.stem for path in PUBLISHED.glob("*.csv"))
    if name not in known:
        raise UserError(f"no published table {name!r}; there are: {listed(known, ', ')}")
    lines = file.read_text(encoding="utf-8").splitlines()
    words = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    models, *rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    values = {row.pop("method"): {metric: float(value) for metric, value in row.items()} for row in rows}
    return Published(
        words[0], words[1].removeprefix("Source: "), {k: v for k, v in models.items() if k != "method"}, values
    )


def _about(published: Published, metrics: list[str], models: dict[str, str]) -> list[str]:
    """Where published values come from, and which can't be compared with those here, and why."""
    lines = [f"published: {published.name} Their videos, not yours. {published.source}"]
    for metric in metrics:
        theirs = published.models.get(metric)
        if theirs and theirs != models[metric]:
            title = METRICS[metric].title
            lines.append(f"{NOT_COMPARABLE} {title}: not comparable, here by {models[metric]}, published by {theirs}")
    return lines


def _models(params: Params, keys: list[str], metrics: list[str]) -> tuple[dict[str, str], list[str]]:
    """What each metric was measured with, and a note where edits differ in it."""
    settings = {key: recorded_settings(key) or params.evaluate for key in keys}
    models, notes = {}, []
    for metric in metrics:
        counts: dict[str, int] = {}
        for key in keys:
            name = model_of(metric, settings[key])
            counts[name] = counts.get(name, 0) + 1
        models[metric] = " / ".join(counts)
        if len(counts) > 1:
            by_model = ", ".join(f"{count} by {name}" for name, count in counts.items())
            notes.append(f"{METRICS[metric].title}: {by_model}; they don't compare: run `dvc repro`")
    return models, notes


def model_of(metric: str, settings: Evaluate) -> str:
    """The model that a metric is measured with: a hub id, a folder, or a method's name."""
    model = getattr(settings, METRICS[metric].knob, None) if METRICS[metric].knob else None
    return model.name if model else METRICS[metric].model


def recorded_settings(key: str) -> Evaluate | None:
    """The section `evaluate` that an edit was measured with, as settings.json beside its metrics has it.

    None where there is none, or one of another version of tav that this one can't read.
    """
    file = artifact("evaluate", key, FILE)
    return _evaluate(json.dumps(read_json(file)["sections"]["evaluate"])) if file.exists() else None


@cache
def _evaluate(section: str) -> Evaluate | None:
    """Edits of a project have one section as a rule: it is checked once."""
    try:
        return Evaluate.model_validate_json(section)
    except ValueError:
        return None
