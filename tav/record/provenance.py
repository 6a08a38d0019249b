"""What dvc.lock says was made, and of what: one `Result` for each tuning and each edit.

Settings come from what the stages wrote beside their results, not from params.yaml as it is now.
"""

import csv
import hashlib
import json
import math
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from tav.artifacts import MODELS, artifact, model_record, read_json
from tav.params import UserError, read_quickly
from tav.record.identity import hash_of, without_unsaid
from tav.settings import FILE, LABELS, OF_EDITS, STAGES

Entries = dict[str, dict[str, Any]]
"""Stages of dvc.lock by name, as in `tune@man-skiing`."""
Producers = dict[str, tuple[str, str]]
Settings = dict[str, dict[str, Any]]
"""Stage -> its settings.json."""
RECORDED = {"precision", "token_merging"}
"""Of `compute`: what dvc.yaml has as parameters."""
KINDS = ("deps", "outs")
OF_CONTROLS = ("condition", "controls")
OF_AN_EDIT = ("clip", *OF_CONTROLS, "pick_score")
"""Models that edits are made and measured with, besides the base."""


class Point(NamedTuple):
    """What was measured at one step of a tuning."""

    step: int
    time: int
    """Milliseconds since 1970."""
    values: dict[str, float]


class Result:
    """A tuning (`tune@VIDEO`) or an edit (`evaluate@EDIT`) that was made, with everything upstream of it."""

    def __init__(self, name: str, entries: Entries, settings: Settings) -> None:
        """entries: it, where it is made, and what is upstream of it."""
        self.name, self.entries, self.settings = name, entries, settings
        self.stage, self.key = name.split("@")
        self.video: str = settings["evaluate"]["asked"]["video"] if self.is_edit else self.key

    @property
    def is_edit(self) -> bool:
        return self.stage == "evaluate"

    @cached_property
    def identity(self) -> str:
        """Hash of the settings, the source video and the models. Not of the code, and not of what came out."""
        followed = OF_CONTROLS if self.settings["tune"]["sections"]["tune"].get("control") else ()
        models = ("base", "blip2", *(OF_AN_EDIT if self.is_edit else followed))
        data = [self.source_video(), [md5_of(model_record(model)) for model in models]]
        asked = [self.settings["caption"]["asked"], self.is_edit and self.settings["edit"]["asked"]["prompt"]]
        sections = {name: without_unsaid(section, name) for name, section in self._sections.items()}
        return hash_of([self.name, data, asked, {name: values for name, values in sections.items() if values}])

    @cached_property
    def outputs(self) -> str:
        """Hash of what came out, here and upstream."""
        outs = [out for entry in self.entries.values() for out in entry["outs"]]
        return hash_of([out["md5"] for out in outs if Path(out["path"]).parent != MODELS])

    def params(self) -> dict[str, str]:
        """Every parameter that it was made with, resolved, as in {"tune.learning_rate": "3e-05"}."""
        caption = read_json(artifact("caption", self.video, "caption.json"))["caption"]
        settings = {"video": self.video, "video.path": self.source_video()[0], "source_prompt": caption}
        if self.is_edit:
            edit = self.settings["edit"]["asked"]
            settings |= {"target_prompt": edit["prompt"]} | {name: edit[name] for name in LABELS if edit.get(name)}
        return settings | {name: v if isinstance(v, str) else json.dumps(v) for name, v in _flat(self._sections)}

    def metrics(self) -> dict[str, float]:
        """Of an edit and (as `source.NAME`) of its source, and what tuning and inversion told, as in `tune.seconds`."""
        facts = {"tune": read_json(artifact("tune", self.video, "tuning.json"))}
        values = {}
        if self.is_edit:
            measured = read_json(artifact("evaluate", self.key, "metrics.json"))
            values = {**measured["edit"], "source": measured["source"]}
            facts["invert"] = read_json(artifact("invert", self.video, "inversion.json"))
        return {name: float(v) for name, v in _flat(values | facts) if _is_number(v)}

    def seconds(self) -> float:
        """For how long its stages worked on it: an edit's are tuning, inversion and edit, as far as they tell."""
        seconds = [value for name, value in self.metrics().items() if name.endswith(".seconds")]
        if self.is_edit:
            seconds.append(read_json(artifact("edit", self.key, "edit.json")).get("seconds", 0))
        return sum(seconds)

    def source_video(self) -> tuple[str, str]:
        """Its path, and DVC's hash of it ("unknown" where dvc.lock has not how it was extracted)."""
        path: str = self.settings["extract"]["asked"]["path"]
        deps = {dep["path"]: dep["md5"] for entry in self.entries.values() for dep in entry["deps"]}
        return path, deps.get(path, "unknown")

    def curve(self, start: int = 0) -> list[Point]:
        """The tuning's loss.csv; of an edit only the loss. start: milliseconds since 1970."""
        with artifact("tune", self.video, "loss.csv").open(newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        if not rows:
            return []
        columns = ["loss"] if self.is_edit else [name for name in rows[0] if name != "step"]
        times = accumulate(int(1000 * row["seconds"]) for row in rows)
        return [Point(int(r["step"]), start + t, {c: r[c] for c in columns}) for r, t in zip(rows, times, strict=True)]

    def files(self) -> list[Path]:
        """What to look at."""
        if self.is_edit:
            return [artifact("edit", self.key, name) for name in ("video.mp4", "preview.gif", "sheet.png")]
        return sorted(f for f in artifact("tune", self.key, "samples").glob("*") if f.is_file())

    def is_here(self) -> bool:
        """Whether the files read here are those of dvc.lock. Frames and tensors aren't read."""
        paths = {Path(out["path"]): out["md5"] for entry in self.entries.values() for out in entry["outs"]}
        bulk = {p for p in paths if p.parts[1] in ("extract", "condition") and p.name != FILE}
        unread = bulk | {p for p in paths if p.suffix == ".safetensors"}
        return all(path.exists() and md5_of(path) == paths[path] for path in paths.keys() - unread)

    @cached_property
    def _sections(self) -> dict[str, dict[str, Any]]:
        """The sections of params.yaml that made it, as the stages wrote them."""
        sections: dict[str, dict[str, Any]] = {}
        for settings in self.settings.values():
            sections |= settings["sections"]
        return sections | {"compute": {name: sections["compute"][name] for name in RECORDED}}


def settings_here(name: str) -> Settings:
    """What the stages wrote that made `tune@VIDEO` or `evaluate@EDIT`. Raises UserError where a file is missing."""
    stage, key = name.split("@")
    if stage == "tune":
        return {of_video: read_json(artifact(of_video, key, FILE)) for of_video in ("extract", "caption", "tune")}
    video = read_json(artifact("evaluate", key, FILE))["asked"]["video"]
    return {one: read_json(artifact(one, key if one in OF_EDITS else video, FILE)) for one in STAGES}


class Stale(Exception):
    """What it was made from was made again since."""


def read_lock() -> Entries:
    """The stages of dvc.lock. Empty where there is none yet. Raises UserError where it is none of DVC's."""
    data = (read_quickly(Path("dvc.lock")) if Path("dvc.lock").exists() else None) or {}
    try:
        entries = {name: dict(entry) for name, entry in (data.get("stages") or {}).items()}
        [(part["path"], part["md5"]) for entry in entries.values() for kind in KINDS for part in entry.get(kind) or []]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError("dvc.lock is damaged: take it from git (`git checkout dvc.lock`), or run `dvc repro`") from None
    return entries


def producers(lock: Entries) -> Producers:
    """Path -> the stage that made it, and its hash."""
    return {out["path"]: (name, out["md5"]) for name, entry in lock.items() for out in entry.get("outs") or []}


def upstream(lock: Entries, name: str, made_by: Producers | None = None) -> Entries:
    """The entry `name` and all that it was made from, in order. Raises Stale.

    made_by: of the lock, for who asks for many.
    """
    made_by = producers(lock) if made_by is None else made_by
    before: Entries = {}
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in begun:
            raise Stale(f"{name} was made from itself, says dvc.lock")
        begun.add(name)
        for dep in lock[name].get("deps") or []:
            producer, md5 = made_by.get(dep["path"], (None, None))
            if producer is None:
                continue
            if dep["md5"] != md5:
                raise Stale(f"{name} was made from another {dep['path']}")
            if producer not in before:
                visit(producer)
        before[name] = {"deps": [], "outs": [], "params": {}, **lock[name]}

    visit(name)
    return before


def md5_of(path: Path) -> str:
    """DVC's hash of a file or a folder."""
    if path.is_dir():
        files = sorted((f.relative_to(path).as_posix(), f) for f in path.rglob("*") if f.is_file())
        listing = [{"md5": md5_of(f), "relpath": name} for name, f in files]
        return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _flat(data: Any, name: str = "") -> list[tuple[str, Any]]:
    if not isinstance(data, dict):
        return [(name, data)]
    return [leaf for key, value in data.items() for leaf in _flat(value, f"{name}.{key}".lstrip("."))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
