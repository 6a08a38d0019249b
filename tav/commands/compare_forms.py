"""The forms of `tav compare`: text for the screen, CSV, Markdown and LaTeX."""

import csv
import io
from collections.abc import Callable

from tav.commands.compare import NOT_COMPARABLE, Table
from tav.metrics.comparison import Mean
from tav.metrics.table import METRICS, Metric

Form = Callable[[Metric, Mean], str]
COLUMNS = ("group", "metric", "model", "edits", "videos", "mean", "std", "low", "high", "from", "comparable")


def as_text(table: Table) -> str:
    """For the screen, its notes below."""
    from rich.console import Console
    from rich.table import Table as Shown
    from rich.text import Text

    shown = Shown(show_lines=True)
    head, *rows = _cells(table, lambda metric, mean: "\n".join(_parts(metric, mean)))
    for name in head:
        shown.add_column(Text(name))
    for row in rows:
        shown.add_row(*map(Text, row))
    console = Console(width=None if Console().is_terminal else 200)
    with console.capture() as captured:
        console.print(shown)
    return captured.get() + "\n".join(table.notes) + "\n"


def as_csv(table: Table) -> str:
    """A line for each group and metric: every number, its model and where it comes from."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(COLUMNS)
    for group in table.groups:
        for metric, mean in group.means.items():
            numbers = [f"{value:.6g}" for value in (mean.mean, mean.std, mean.low, mean.high)]
            lines.writerow(
                [group.name, metric, table.models[metric], mean.edits, mean.videos, *numbers, "measured", ""]
            )
    for name, values in table.theirs():
        for metric, value in values.items():
            model = table.published.models[metric] if table.published else ""
            same = "yes" if table.is_comparable(metric) else "no"
            lines.writerow([name, metric, model, "", "", f"{value:.6g}", "", "", "", "published", same])
    return out.getvalue()


def as_markdown(table: Table) -> str:
    head, *rows = _cells(table, lambda metric, mean: " ".join(_parts(metric, mean)))
    lines = [_bar(head), _bar(["---"] * len(head)), *map(_bar, rows)]
    return "\n".join([*lines, "", *(f"- {_escaped(note)}" for note in table.notes)]) + "\n"


def as_latex(table: Table) -> str:
    """A `tabular` with booktabs' rules; the notes are comments above it."""
    head, *rows = _cells(table, lambda metric, mean: " ".join(_parts(metric, mean)))
    lines = [" & ".join(map(_tex, row)) + r" \\" for row in (head, *rows)]
    notes = [f"% {note}" for note in table.notes]
    begin = rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}"
    body = [begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*notes, *body]) + "\n"


FORMS: dict[str, Callable[[Table], str]] = {
    "text": as_text,
    "csv": as_csv,
    "markdown": as_markdown,
    "latex": as_latex,
}


def _cells(table: Table, form: Form) -> list[list[str]]:
    """A head and rows of texts: groups as `form` writes them, then published methods."""
    heads = [f"{METRICS[metric].title} ({table.models[metric]})" for metric in table.metrics]
    lines = [["", "edits / videos", *heads]]
    for group in table.groups:
        cells = [form(METRICS[m], group.means[m]) if m in group.means else "" for m in table.metrics]
        lines.append([group.name, f"{group.edits} / {group.videos}", *cells])
    for name, values in table.theirs():
        marks = {metric: "" if table.is_comparable(metric) else NOT_COMPARABLE for metric in values}
        shown = [METRICS[m].text(values[m]) + marks[m] if m in values else "" for m in table.metrics]
        lines.append([f"{name} (published)", "", *shown])
    return lines


def _parts(metric: Metric, mean: Mean) -> list[str]:
    """Mean and deviation; the interval."""
    show = metric.text
    return [f"{show(mean.mean)} ± {show(mean.std)}", f"[{show(mean.low)}, {show(mean.high)}]"]


def _bar(cells: list[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|" else c for c in text)


def _tex(text: str) -> str:
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\^{}",
        "±": r"$\pm$",
        "\N{MINUS SIGN}": "$-$",
    }
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
