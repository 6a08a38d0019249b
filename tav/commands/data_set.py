"""A whole data set into params.yaml: many videos with their edits, at once, in the way of `tav add`."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tav.commands.all_or_nothing import all_or_nothing, no_more_signals
from tav.commands.footage import Footage, look_at
from tav.commands.names import alike, edit_name, free_name, slug
from tav.commands.params_text import add_entries, parse, read_text, set_value, sole_writer, write_text
from tav.commands.tracking import VIDEOS, copy_in, place_of, track
from tav.complaints import listed
from tav.params import Params, Section, UserError, check

Data = dict[str, Any]
PAPER_TUNE: Data = {"steps": 500, "learning_rate": 3e-5, "temporal_learning_rate": None, "seed": 33}
PAPER_EDIT: Data = {"guidance_scale": 12.5, "negative_prompt": "", "seed": 33, "strength": 1.0, "from": "inversion"}
PAPER_INVERT: Data = {"num_inference_steps": 50, "prompt": "", "method": "ddim", "refine": 0}
"""Paper, section 5.1, and showlab/Tune-A-Video's configs."""


class Prompt(NamedTuple):
    text: str
    kind: str | None = None


@dataclass(frozen=True)
class Entry:
    """A video of a data set, with what is asked of it."""

    name: str
    path: Path
    """A file or a folder of images."""
    caption: str | None
    prompts: list[Prompt]
    place: str = ""
    """Folder under videos/ that it is copied to."""
    extract: Data = field(default_factory=dict)
    tune: Data = field(default_factory=dict)
    edit: Data = field(default_factory=dict)
    """What the data set asks of these sections. params.yaml gets what its sections don't say already."""


@dataclass
class Choice:
    """Which videos of a data set are wanted."""

    only: list[str] = field(default_factory=list)
    """Names. Empty: all."""
    split: list[str] = field(default_factory=list)
    """Beginnings of names of splits, in any case. Empty: all."""
    limit: int | None = None
    """At most so many videos."""

    def of(self, named: list[tuple[str, str]]) -> list[int]:
        """Which of some (split, name) are chosen, by number. Raises UserError: a name or split that is not there."""
        splits, names = ([*dict.fromkeys(pair[i] for pair in named)] for i in (0, 1))
        if lost := [n for n in self.only if n not in names]:
            raise UserError(f"no video {listed(lost, ', ')}; there are: {listed(names, ', ')}")
        wanted = [s for s in splits if not self.split or any(s.lower().startswith(b.lower()) for b in self.split)]
        if not wanted:
            raise UserError(f"no split {listed(self.split, ', ')}; there are: {listed(splits, ', ')}")
        chosen = [i for i, (s, n) in enumerate(named) if s in wanted and (not self.only or n in self.only)]
        return chosen[: self.limit]


def import_entries(entries: list[Entry], invert: Data, missing: list[str]) -> list[str]:
    """Add videos and edits. All of them, or, when something is wrong or a signal ends it, nothing.

    What params.yaml has already stays as it is. Returns what to tell the person. Raises UserError.

    entries: videos that are there. invert: what the data set asks of the section `invert`; set where params.yaml has
    no other videos, else told. missing: what was not found, in words.
    """
    if not entries:
        raise UserError(f"nothing to add: {listed(missing, '; ') or 'the data set has no video'}")
    read_text()
    with sole_writer(), all_or_nothing() as undo:
        text = read_text()
        data = parse(text)
        looked, damaged = _look_at_all(entries)
        keys = _keys(looked, data["videos"])
        places = {key: _place(entry, footage, key, data["videos"]) for key, (entry, footage) in keys.items()}
        _changed(text, keys, places, invert)  # what is wrong is said before anything is copied
        _bring(keys, places, undo)
        text, lines = _changed(read_text(), keys, places, invert)  # an editor may have saved meanwhile
        no_more_signals()
        write_text(text)
    return [*lines, *(f"missing: {line}" for line in [*missing, *damaged]), "now run: dvc repro"]


Keys = dict[str, tuple[Entry, Footage]]


def _look_at_all(entries: list[Entry]) -> tuple[list[tuple[Entry, Footage]], list[str]]:
    """The videos, and what is wrong with those that are none. Raises UserError where none is one."""
    looked, damaged = [], []
    for entry in entries:
        try:
            looked.append((entry, look_at(entry.path)))
        except UserError as error:
            damaged.append(str(error))
    if not looked:
        raise UserError(f"nothing to add: {listed(damaged, '; ')}")
    return looked, damaged


def _keys(looked: list[tuple[Entry, Footage]], videos: Data) -> Keys:
    """Each video under its key: that which it has already, or a free one."""
    keys: Keys = {}
    for entry, footage in looked:
        name = slug(entry.name)
        taken = next((key for key in videos if alike(key) == alike(name)), None)
        if taken and taken not in keys and footage.is_same(Path(videos[taken]["path"])):
            keys[taken] = entry, footage
        else:
            keys[free_name(name, [*videos, *keys], "video")] = entry, footage
    return keys


def _place(entry: Entry, footage: Footage, key: str, videos: Data) -> Path:
    """Where a video lies: where it is, if params.yaml has it or it is under videos/; else in the data set's folder."""
    if key in videos:
        return Path(videos[key]["path"])
    if entry.path.resolve().is_relative_to(VIDEOS.resolve()):
        return place_of(footage, key)
    return VIDEOS / entry.place / f"{slug(entry.name) or key}{footage.suffix}"


def _bring(keys: Keys, places: dict[str, Path], undo: ExitStack) -> None:
    """Copy and track the videos that params.yaml has not yet."""
    there = {Path(video["path"]) for video in parse(read_text())["videos"].values()}
    fresh = [(footage, places[key]) for key, (_, footage) in keys.items() if places[key] not in there]
    for footage, place in fresh:
        copy_in(footage, place, undo)
    track(*(place for _, place in fresh))


def _changed(text: str, keys: Keys, places: dict[str, Path], invert: Data) -> tuple[str, list[str]]:
    """params.yaml's text with the new videos and edits, and what to tell. Raises UserError."""
    data = parse(text)
    params = check(data)
    videos: dict[str, Data] = {}
    for key, (entry, _) in keys.items():
        if key not in data["videos"]:
            overrides = {
                "extract": _differing(params.extract, entry.extract),
                "tune": _differing(params.tune, entry.tune),
            }
            videos[key] = {"path": str(places[key]), "caption": entry.caption, **overrides}
    edits = _new_edits(keys, params, data["edits"])
    text, lines = _with_inversion(text, params, invert)
    text = add_entries(text, "videos", videos) if videos else text
    text = add_entries(text, "edits", edits) if edits else text
    there = len(keys) - len(videos)
    return text, [f"added {len(videos)} videos and {len(edits)} edits ({there} videos were there already)", *lines]


def _new_edits(keys: Keys, params: Params, there: Data) -> dict[str, Data]:
    """The edits that params.yaml has not yet, by name."""
    edits: dict[str, Data] = {}
    for key, (entry, _) in keys.items():
        asked = {edit["prompt"].strip() for edit in there.values() if edit["video"] == key}
        for text, kind in entry.prompts:
            if text not in asked:
                name = edit_name(key, kind or text, [*there, *edits])
                labels = {"kind": kind} if kind else {}
                edits[name] = {"video": key, "prompt": text, **labels, **_differing(params.edit, entry.edit)}
    return edits


def _with_inversion(text: str, params: Params, invert: Data) -> tuple[str, list[str]]:
    """The text with the data set's settings of the inversion, or, where other videos have others, what to tell."""
    differing = _differing(params.invert, invert)
    if differing and params.videos:
        notes = [f"invert.{name} is {getattr(params.invert, name)!r}, there {v!r}" for name, v in differing.items()]
        return text, [f"note: other settings than the data set's, which all videos share: {', '.join(notes)}"]
    for name, value in differing.items():
        text = set_value(text, ("invert", name), value)
    return text, []


def _differing(section: Section, asked: Data) -> Data:
    """Of some settings, those that a section has not already."""
    has = section.model_dump(by_alias=True, mode="json")
    return {name: value for name, value in asked.items() if has[name] != value}
