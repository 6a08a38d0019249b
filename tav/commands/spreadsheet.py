"""Videos and prompts from a CSV into params.yaml: a row an edit."""

import csv
from pathlib import Path

from tav.commands.data_set import Choice, Entry, Prompt, import_entries
from tav.complaints import listed
from tav.params import UserError

COLUMNS = ("video", "caption", "prompt", "kind", "name", "split")
"""`video` is needed: a path, relative to the CSV. The rest may be missing or empty."""


def import_csv(file: Path, choice: Choice) -> list[str]:
    """Add what a CSV lists, with the settings of params.yaml. Returns what to tell the person. Raises UserError."""
    rows = _rows(file)
    videos: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        videos.setdefault(row["video"], []).append(row)
    named = [(of_video[0]["split"], of_video[0]["name"] or Path(video).stem) for video, of_video in videos.items()]
    entries, missing = [], []
    for i in choice.of(named):
        (video, of_video), (_, name) = list(videos.items())[i], named[i]
        path = file.parent / video
        if not path.exists():
            missing.append(video)
            continue
        caption = next((row["caption"] for row in of_video if row["caption"]), None)
        prompts = [Prompt(row["prompt"], row["kind"] or None) for row in of_video if row["prompt"]]
        entries.append(Entry(name, path, caption, list(dict.fromkeys(prompts))))
    return import_entries(entries, {}, missing)


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            columns = list(table.fieldnames or [])
            rows = [{name: (row.get(name) or "").strip() for name in COLUMNS} for row in table]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read {file} as a CSV in UTF-8: {error}") from None
    unknown = [name for name in columns if name not in COLUMNS]
    if "video" not in columns or unknown:
        raise UserError(
            f"{file} has the columns {listed(columns, ', ')}; expected video, and of {', '.join(COLUMNS[1:])} any"
        )
    if empty := [str(i) for i, row in enumerate(rows, 2) if not row["video"]]:
        raise UserError(f"{file}: no video in row {listed(empty, ', ')}")
    return rows
