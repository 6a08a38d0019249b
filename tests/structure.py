"""Draws docs/structure.svg from the imports: `python tests/structure.py`. tests/test_layers.py says when it is due."""

from functools import cache
from pathlib import Path

from imports import ROOT, rooms

PICTURE = Path(ROOT, "docs/structure.svg")
WORDS = {
    "emoji_world": "the world of the shipped models",
    "flows": "when and where stages run, by Prefect",
    "tav.__main__": "the command tav",
    "tav.artifacts": "where results lie, read and written",
    "tav.budget": "what a run takes of memory and time",
    "tav.commands": "what a person types",
    "tav.complaints": "errors in words",
    "tav.from_params": "the bridge from settings to the method",
    "tav.hashes": "what lies at a model's source",
    "tav.metrics": "how good an edit is",
    "tav.model": "the method",
    "tav.params": "params.yaml as types",
    "tav.params_schema": "the schema for editors",
    "tav.processes": "how processes end, who holds a lock",
    "tav.recipe": "recipe numbers",
    "tav.record": "results told to MLflow",
    "tav.running": "a stage alone, guarded",
    "tav.settings": "what a stage ran with",
    "tav.stages": "files in, the method, files out",
    "tav.studio": "the page in the browser",
    "tav.video": "reading and writing videos",
    "tav.yaml_files": "YAML as data",
}
BY_NAME = {"tav.running": "tav.stages"}
"""What is imported by a name that is put together as it runs."""
CELL, LEFT, TOP = 20, 350, 30
STYLE = (
    ".n{fill:#1f2a30}.w,.c{fill:#5b6b73;font-size:11px}.c{text-anchor:middle}"
    ".d{fill:#cfd8dc}.u{fill:#37647a}.f{stroke:#cfd8dc}"
)
HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="Which room of the code \
imports from which" font-family="system-ui, sans-serif" font-size="13">
<style>{STYLE}</style>
<rect width="100%%" height="100%%" fill="#ffffff" rx="8"/>
"""


def drawing() -> str:
    """The SVG: a row and a column for each room, a dot where the row's room imports from the column's.

    A room stands above all that it imports from, so each dot is right of the diagonal. Lines part the floors.
    """
    used = {room: names | {BY_NAME[room]} if room in BY_NAME else names for room, names in rooms().items()}

    @cache
    def floor(room: str) -> int:
        return 1 + max(map(floor, used[room]), default=-1)

    order = sorted(used, key=lambda room: (-floor(room), room))
    end = TOP + len(order) * CELL
    parts = [HEAD % (LEFT + len(order) * CELL + 20, end + 10)]
    for i, room in enumerate(order):
        y, middle = TOP + i * CELL, LEFT + i * CELL + CELL / 2
        if i and floor(room) != floor(order[i - 1]):
            parts.append(f'<path class="f" d="M10 {y}H{LEFT + len(order) * CELL}"/>')
        parts.append(f'<rect class="d" x="{LEFT + i * CELL}" y="{y}" width="{CELL}" height="{CELL}"/>')
        parts.append(f'<text class="c" x="{middle:g}" y="{TOP - 8}">{i + 1}</text>')
        parts.append(f'<text class="n" x="10" y="{y + 15}">{i + 1} {room.removeprefix("tav.")}</text>')
        parts.append(f'<text class="w" x="140" y="{y + 14}">{WORDS[room]}</text>')
        for name in sorted(used[room], key=order.index):
            x = LEFT + order.index(name) * CELL + CELL / 2
            parts.append(f'<circle class="u" cx="{x:g}" cy="{y + CELL / 2:g}" r="5"/>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(drawing(), encoding="utf-8")
