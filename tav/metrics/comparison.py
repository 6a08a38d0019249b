"""The metrics of many edits as means with their spread, by kind, video or variant: numbers for a paper's table."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from tav.artifacts import artifact, read_json
from tav.metrics.table import METRICS
from tav.params import Params

By = Literal["all", "kind", "video", "variant"]
DEFAULT = "default"
"""The group of the edits that are no variant."""
GROUPINGS: tuple[By, ...] = ("kind", "variant")
"""By which the report has a table."""
RESAMPLES = 2000
"""Of the bootstrap."""
SEED = 0
SHARE = 0.95
"""Of the resampled means that an interval holds."""


class Measured(NamedTuple):
    """The metrics of one edit."""

    key: str
    video: str
    """Whose footage it is: of a variant, the video of which it is one."""
    values: dict[str, float]


class Mean(NamedTuple):
    """Of a metric over the edits of a group."""

    mean: float
    std: float
    """Over the edits, of a sample (n - 1); 0 for one edit."""
    low: float
    high: float
    """Bootstrap interval of the mean, over videos: the edits of one video are not independent."""
    edits: int
    videos: int


class Group(NamedTuple):
    name: str
    edits: int
    videos: int
    means: dict[str, Mean]
    """By metric, in the table's order. A metric that no edit of the group has is not in it."""


def measured(params: Params) -> list[Measured]:
    """All edits that are evaluated."""
    files = {key: artifact("evaluate", key, "metrics.json") for key in params.edits}
    return [
        Measured(key, params.footage_of(params.edits[key].video), read_json(file)["edit"])
        for key, file in files.items()
        if file.exists()
    ]


def compare(params: Params, edits: list[Measured], by: By = "all") -> list[Group]:
    """A group for each kind, video or variant, in the order of params.yaml; or one of all edits."""
    groups: dict[str, list[Measured]] = {}
    for edit in edits:
        groups.setdefault(group_of(params, edit, by), []).append(edit)
    return [_group(name, members) for name, members in groups.items()]


def group_of(params: Params, edit: Measured, by: By) -> str:
    """The name of the group that an edit is in."""
    if by == "kind":
        return params.edits[edit.key].kind or "no kind"
    if by == "variant":
        return params.edits[edit.key].variant or DEFAULT
    if by == "video":
        return edit.video
    return "all"


def tables(params: Params) -> list[dict[str, Any]]:
    """What the report shows: tables by kind and by variant, where there are several, as heads and rows of texts."""
    edits, shown = measured(params), []
    for by in GROUPINGS:
        groups = compare(params, edits, by)
        if len(groups) > 1:
            names = [name for name in METRICS if any(name in group.means for group in groups)]
            rows = [[group.name, str(group.edits), *(_cell(group, name) for name in names)] for group in groups]
            shown.append({"by": by, "head": [by, "edits", *(METRICS[name].title for name in names)], "rows": rows})
    return shown


def _cell(group: Group, metric: str) -> str:
    if metric not in group.means:
        return ""
    mean, show = group.means[metric], METRICS[metric].text
    return f"{show(mean.mean)} ± {show(mean.std)} [{show(mean.low)}, {show(mean.high)}]"


def _group(name: str, edits: list[Measured]) -> Group:
    means = {}
    for metric in METRICS:
        values = [(edit.video, edit.values[metric]) for edit in edits if metric in edit.values]
        if values:
            means[metric] = mean_of(values)
    return Group(name, len(edits), len({edit.video for edit in edits}), means)


def mean_of(values: Iterable[tuple[str, float]]) -> Mean:
    """The mean of (video, value) pairs, with its bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Videos are drawn with replacement, each with all of its edits. Seeded: the same values give the same interval.
    """
    import numpy as np

    values = list(values)
    numbers = np.array([value for _, value in values])
    videos = {video: i for i, video in enumerate(dict.fromkeys(video for video, _ in values))}
    which = np.array([videos[video] for video, _ in values])
    sums, counts = np.bincount(which, numbers), np.bincount(which)
    drawn = np.random.default_rng(SEED).integers(len(videos), size=(RESAMPLES, len(videos)))
    resampled = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(resampled, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    std = float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0
    return Mean(float(numbers.mean()), std, float(low), float(high), len(numbers), len(videos))
