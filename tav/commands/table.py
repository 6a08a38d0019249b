"""The edits and their metrics, as a table on the screen."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tav.artifacts import artifact, read_json
from tav.complaints import one_line
from tav.metrics.table import METRICS
from tav.params import Params


def print_table(params: Params) -> None:
    """Print a row for each edit, with its metrics and, small, its source's. Ends with where the page is.

    Prompts are shown as they are: brackets in them are no markup.
    """
    measured = {key: artifact("evaluate", key, "metrics.json") for key in params.edits}
    metrics = {key: read_json(path) for key, path in measured.items() if path.exists()}
    names = [name for name in METRICS if any(name in values["edit"] for values in metrics.values())]
    table = Table(title="Edits (in brackets: the source video)", title_justify="left")
    table.add_column("video", no_wrap=True)
    table.add_column("prompt")
    for name in names:
        table.add_column(METRICS[name].title, justify="right")
    for key, edit in params.edits.items():
        table.add_row(edit.video, Text(one_line(edit.prompt)), *_cells(metrics.get(key), names))
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
    page = Path("artifacts/report/index.html").absolute()
    if page.exists():
        console.print(f"Report page:  {page.as_uri()}", soft_wrap=True)
    console.print("Compare runs: tav ui   (then open http://127.0.0.1:5000)", soft_wrap=True)


def _cells(metrics: dict[str, dict[str, float]] | None, names: list[str]) -> list[str]:
    if metrics is None:
        return ["not run"] + [""] * (len(names) - 1)
    return [_cell(name, metrics) for name in names]


def _cell(name: str, metrics: dict[str, dict[str, float]]) -> str:
    show, edit, source = METRICS[name].text, metrics["edit"].get(name), metrics["source"].get(name)
    return show(edit) if source is None else f"{show(edit)} ({show(source)})"
