"""What was measured of an edit before, so that a metric more costs that metric alone.

It lies outside of the stage's outputs, which DVC deletes before a run; to delete it costs time and nothing else.
"""

import hashlib
import json
from pathlib import Path

from tav.artifacts import ROOT, read_json, write_json
from tav.metrics.measures import Measure, Metrics, Subject
from tav.params import Model, UserError, check_key
from tav.recipe import numbers

FOLDER = ROOT / ".measured"


class Memo:
    """Of one edit."""

    def __init__(self, key: str) -> None:
        self.file = FOLDER / f"{check_key(key)}.json"
        try:
            self.known = dict(read_json(self.file)) if self.file.exists() else {}
        except (UserError, TypeError, ValueError):
            self.known = {}

    def recall(self, measure: Measure, subject: Subject) -> Metrics | None:
        """What was found, if it was of the same frames and texts, with the same model, by the same code."""
        kept = self.known.get(measure.name)
        return kept["found"] if kept and kept["of"] == mark(measure, subject) else None

    def keep(self, measure: Measure, subject: Subject, values: Metrics) -> None:
        of = mark(measure, subject)
        if self.known.get(measure.name) != {"of": of, "found": values}:
            self.known[measure.name] = {"of": of, "found": values}
            write_json(self.file, self.known)


def mark(measure: Measure, subject: Subject) -> str:
    """Hash of all that a value depends on."""
    seen = [*subject.frames.values(), *([] if subject.mask is None else [subject.mask])]
    frames = subject.once("frames", lambda: [hashlib.sha256(f.tobytes()).hexdigest() for f in seen])
    shape = [*subject.frames["edit"].shape]
    model = (
        subject.once(("mark", measure.knob), lambda: model_mark(subject.model(measure.knob))) if measure.knob else ""
    )
    parts = [measure.name, numbers()["evaluate"], frames, shape, subject.prompt, subject.caption, model]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def model_mark(model: Model) -> str:
    """What tells one model from another: its source and, of a folder, each file's name, size and time."""
    files = sorted(Path(model.name).rglob("*")) if model.hub_id is None else []
    stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    return json.dumps([model.source, stats])
