"""What dvc.lock says was made, and of what: one `Made` for each tuning and each edit.

Parameters come from dvc.lock, not from params.yaml as it is now: they are what was really used.
"""

import copy
import csv
import hashlib
import json
import math
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from tav.artifacts import MODELS, artifact, read_json
from tav.params import Params, Section, UserError, check, read_yaml
from tav.record.identity import as_before, hash_of, said
from tav.running.guard import Inputs

Entries = dict[str, dict[str, Any]]
"""Stages of dvc.lock by name, as in `tune@man-skiing`."""
RECORDED = {"precision", "token_merging"}
"""Of `compute`: what dvc.yaml has as parameters."""
KINDS = ("deps", "outs")
WEIGHTS = "models"
"""The folder that DVC watches as a whole. What a result was made with of it, the stage `model` says."""
CODE = "tav/"
"""A dvc.lock from before recipe.yaml has files of code among what a stage was made from."""


class Point(NamedTuple):
    """What was measured at one step of a tuning."""

    step: int
    time: int
    """Milliseconds since 1970."""
    values: dict[str, float]


class Made:
    """A tuning (`tune@VIDEO`) or an edit (`evaluate@EDIT`) that was made, with everything upstream of it."""

    def __init__(self, name: str, entries: Entries, params: Params) -> None:
        """entries: it and what is upstream of it. params: only fills in sections that none of the entries used."""
        self.name, self.entries = name, entries
        self.stage, self.key = name.split("@")
        self._params = _as_recorded(entries, params, self.key)
        self.video = self._params.video_edit(self.key).video if self.is_edit else self.key

    @property
    def is_edit(self) -> bool:
        return self.stage == "evaluate"

    @cached_property
    def identity(self) -> str:
        """Hash of the parameters and the source data upstream. Not of the code, and not of what came out."""
        made = {out["path"] for entry in self.entries.values() for out in entry["outs"]}
        deps = {d["path"]: d["md5"] for entry in self.entries.values() for d in entry["deps"]}
        own = {*made, WEIGHTS}
        data = {path: md5 for path, md5 in deps.items() if path not in own and not path.startswith(CODE)}
        data |= {path: md5 for path, md5 in deps.items() if Path(path).parent == MODELS}
        asked = [self._params.video(self.video).caption, self.is_edit and self._params.video_edit(self.key).prompt]
        sections = {name: said(s.model_dump(mode="json"), name) for name, s in self._sections().items()}
        later = {"compute": self._params.compute.model_dump(include=RECORDED)}  # sections that older rows have not
        if self.is_edit:
            later["condition"] = self._params.condition.model_dump(mode="json")
        sections |= {name: part for name, values in later.items() if (part := said(values, name))}
        return hash_of([self.name, data, asked, sections])

    @cached_property
    def outputs(self) -> str:
        """Hash of what came out, here and upstream."""
        return hash_of([out["md5"] for entry in self.entries.values() for out in entry["outs"]])

    def params(self) -> dict[str, str]:
        """Every parameter that it was made with, resolved, as in {"tune.learning_rate": "3e-05"}."""
        caption = read_json(artifact("caption", self.video, "caption.json"))["caption"]
        own = {"video": self.video, "video.path": self._params.video(self.video).path, "source_prompt": caption}
        if self.is_edit:
            edit = self._params.video_edit(self.key)
            own["target_prompt"] = edit.prompt
            own |= {name: said for name in ("kind", "variant") if (said := getattr(edit, name))}
        used = {name: section.model_dump(mode="json", by_alias=True) for name, section in self._sections().items()}
        used["compute"] = self._params.compute.model_dump(include=RECORDED)
        if self.is_edit:
            used["condition"] = self._params.condition.model_dump(mode="json")
        return own | {name: v if isinstance(v, str) else json.dumps(v) for name, v in _flat(used)}

    def metrics(self) -> dict[str, float]:
        """Of an edit and (as `source.NAME`) of its source, and what tuning and inversion told, as in `tune.seconds`."""
        facts = {"tune": read_json(artifact("tune", self.video, "tuning.json"))}
        found = {}
        if self.is_edit:
            measured = read_json(artifact("evaluate", self.key, "metrics.json"))
            found = {**measured["edit"], "source": measured["source"]}
            facts["invert"] = read_json(artifact("invert", self.video, "inversion.json"))
        return {name: float(v) for name, v in _flat(found | facts) if _is_number(v)}

    def seconds(self) -> float:
        """For how long its stages worked on it: an edit's are tuning, inversion and edit, as far as they tell."""
        told = [value for name, value in self.metrics().items() if name.endswith(".seconds")]
        if self.is_edit:
            told.append(read_json(artifact("edit", self.key, "edit.json")).get("seconds", 0))
        return sum(told)

    def source_video(self) -> tuple[str, str]:
        """Its path, and DVC's hash of it ("unknown" where dvc.lock has not how it was extracted)."""
        path = self._params.video(self.video).path
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
        unread = {p for p in paths if p.suffix == ".safetensors" or p.parts[1] in ("extract", "condition")}
        return all(path.exists() and md5_of(path) == paths[path] for path in paths.keys() - unread)

    def _sections(self) -> dict[str, Section]:
        p = self._params
        used: dict[str, Section] = {
            "base": p.base,
            "extract": p.extract_of(self.video),
            "caption": p.caption,
            "tune": p.tune_of(self.video),
        }
        if self.is_edit:
            used |= {"invert": p.invert, "edit": p.edit_of(self.key), "evaluate": p.evaluate}
        return used


class Stale(Exception):
    """What it was made from was made again since."""


def read_lock() -> Entries:
    """The stages of dvc.lock. Empty where there is none yet. Raises UserError where it is none of DVC's."""
    data = (read_yaml(Path("dvc.lock")) if Path("dvc.lock").exists() else None) or {}
    try:
        entries = {name: dict(entry) for name, entry in (data.get("stages") or {}).items()}
        [(part["path"], part["md5"]) for entry in entries.values() for kind in KINDS for part in entry.get(kind) or []]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError("dvc.lock is damaged: take it from git (`git checkout dvc.lock`), or run `dvc repro`") from None
    return entries


def upstream(lock: Entries, name: str) -> Entries:
    """The entry `name` and all that it was made from, in order. Raises Stale."""
    producers = {out["path"]: (n, out["md5"]) for n, entry in lock.items() for out in entry.get("outs") or []}
    found: Entries = {}
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in begun:
            raise Stale(f"{name} was made from itself, says dvc.lock")
        begun.add(name)
        for dep in lock[name].get("deps") or []:
            producer, md5 = producers.get(dep["path"], (None, None))
            if producer is None:
                continue
            if dep["md5"] != md5:
                raise Stale(f"{name} was made from another {dep['path']}")
            if producer not in found:
                visit(producer)
        found[name] = {"deps": [], "outs": [], "params": {}, **lock[name]}

    visit(name)
    return found


def with_running(lock: Entries, name: str, inputs: Inputs) -> Entries:
    """The lock with an entry for a stage that runs right now, as DVC will write it when it ends."""
    made = {out["path"]: out["md5"] for entry in lock.values() for out in entry.get("outs", [])}
    deps = [{"path": dep, "md5": made.get(dep) or md5_of(Path(dep))} for dep in inputs.deps]
    return {**lock, name: {"deps": deps, "params": inputs.params}}


def md5_of(path: Path) -> str:
    """DVC's hash of a file or a folder."""
    if path.is_dir():
        files = sorted((f.relative_to(path).as_posix(), f) for f in path.rglob("*") if f.is_file())
        listing = [{"md5": md5_of(f), "relpath": name} for name, f in files]
        return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _as_recorded(entries: Entries, fill: Params, key: str) -> Params:
    """Params as they were for these stages. Raises UserError when this version of tav doesn't know one of them."""
    data = fill.model_dump(by_alias=True)
    data |= {"videos": {k: v for k, v in data["videos"].items() if k == key}, "edits": {}}
    for entry in entries.values():
        for name, value in entry["params"].get("params.yaml", {}).items():
            *folders, last = name.split(".")
            place = data
            for folder in folders:
                place = place.setdefault(folder, {})
            place[last] = copy.deepcopy(value)
    params = check(data, "dvc.lock")
    sections = {name: part for name in Params.model_fields if isinstance(part := getattr(params, name), Section)}
    return params.model_copy(update={name: as_before(section, name) for name, section in sections.items()})


def _flat(data: Any, name: str = "") -> list[tuple[str, Any]]:
    if not isinstance(data, dict):
        return [(name, data)]
    return [leaf for key, value in data.items() for leaf in _flat(value, f"{name}.{key}".lstrip("."))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
