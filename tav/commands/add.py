"""`tav add`: copy videos in, track them with DVC, and add them and their edits to params.yaml."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tav.commands.all_or_nothing import all_or_nothing, no_more_signals
from tav.commands.footage import Footage, lines_on_left_out, look_at
from tav.commands.init import template
from tav.commands.like import Overrides, lines_on_differences, own_settings, read_embedded, source_of
from tav.commands.names import alike, edit_name, free_name, slug
from tav.commands.params_text import add_entries, parse, read_text, set_value, sole_writer, write_text
from tav.commands.tracking import bring_in, place_of
from tav.commands.wanted import Wanted, wanted_from
from tav.complaints import listed, one_line
from tav.params import Embedded, UserError, check, check_key

NOTHING: Overrides = {"extract": {}, "tune": {}, "edit": {}}
SAMPLES = ("red-car", "yellow-cat", "blue-fish")


@dataclass(frozen=True)
class Entry:
    """A video as params.yaml is to have it, with its edits."""

    name: str
    place: Path
    """Where it lies, or will."""
    caption: str | None
    """None: none was given."""
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Found(Entry):
    """A video to add, as it was looked at."""

    footage: Footage
    is_new: bool


def add_video(
    source: Path | None,
    prompts: list[str],
    caption: str | None,
    name: str | None,
    like: Path | None = None,
    overrides: Overrides = NOTHING,
) -> list[str]:
    """Add one video and its edits, as `add_videos` does.

    like: an edited video with its settings in it, which become those of this video and its edits; also its source and
    its prompt, where none are given. overrides: what this video and these edits set for themselves. Raises UserError.
    """
    embedded = read_embedded(like) if like else None
    if embedded and like:
        source, prompts = source or source_of(embedded, like), prompts or [embedded.prompt]
        caption = embedded.source_prompt if caption is None and source == Path(embedded.path) else caption
    if source is None:
        raise UserError(
            "no VIDEO was given: give a video file, a folder of images, --like an edited video, or --from a list"
        )
    name = None if name is None else check_key(unicodedata.normalize("NFC", _typed(name)))
    return add_videos([Wanted(source, tuple(prompts), caption, name)], overrides, embedded)


def add_many(source: Path, prompts: list[str]) -> list[str]:
    """Add the videos of a list or a folder, each with these prompts too, as `add_videos` does."""
    wanted, notes = wanted_from(source, tuple(prompts))
    return notes + add_videos(wanted)


def add_videos(wanted: Sequence[Wanted], overrides: Overrides = NOTHING, embedded: Embedded | None = None) -> list[str]:
    """Add videos and their edits. All of it, or, when something is wrong or a signal ends it, nothing.

    A video that params.yaml has already gets the new edits only. overrides: what these videos and edits set for
    themselves; with `embedded`, the settings within an edited video, instead what differs there from params.yaml.
    Returns what to tell the person. Raises UserError with all that is wrong.
    """
    read_text()
    with sole_writer(), all_or_nothing() as undo:
        text = read_text()
        entries = _look_at_all(wanted, parse(text)["videos"])
        overrides = own_settings(embedded, check(parse(text))) if embedded else overrides
        changed(text, entries, overrides)  # what is wrong is said before anything is copied
        bring_in([(one.footage, one.place) for one in entries if one.is_new], undo)
        text, edits = changed(read_text(), entries, overrides)  # an editor may have saved meanwhile
        no_more_signals()
        write_text(text)
    differences = lines_on_differences(embedded, check(parse(text)), entries[0].name) if embedded else []
    return [*_lines_about(entries, edits), *differences, *_about_the_toy(text, entries), "now run: dvc repro"]


def _look_at_all(wanted: Sequence[Wanted], videos: dict[str, Any]) -> list[Found]:
    """Open each video and see that it can be added. Raises UserError with all that is wrong."""
    places = {key: Path(video["path"]) for key, video in videos.items()}
    new: dict[str, Path] = {}
    entries, wrong = [], []
    for one in wanted:
        try:
            prompts, caption = tuple(map(_typed, one.prompts)), None if one.caption is None else _typed(one.caption)
            footage = look_at(one.source)
            name = _video_name(places | new, footage, one.name)
            if name in new:
                raise UserError(f"{one.source} is the same video as {new[name]}: give it once")
            place = places[name] if name in places else place_of(footage, name)
            entries.append(Found(name, place, caption, prompts, footage, name not in places))
            if name not in places:
                new[name] = one.source
        except UserError as error:
            wrong.append(f"{one.where}: {error}" if one.where else str(error))
    if wrong:
        raise UserError(listed(wrong, "; ") + ". Nothing was added" * (len(wanted) > 1))
    return entries


def _lines_about(entries: list[Found], edits: dict[str, str]) -> list[str]:
    """What was added, a line each."""
    lines = []
    for one in entries:
        lines.append(f"{'added' if one.is_new else 'there already:'} video {one.name} ({one.footage.size})")
        lines += lines_on_left_out(one.footage) if one.is_new else []
    return lines + [f"added edit {edit}: {one_line(prompt)}" for edit, prompt in edits.items()]


def changed(text: str, entries: Sequence[Entry], overrides: Overrides = NOTHING) -> tuple[str, dict[str, str]]:
    """params.yaml's text with videos and their edits, and the new edits: {name: prompt}. Raises UserError."""
    data = parse(text)
    videos = data["videos"]
    new: dict[str, dict[str, Any]] = {}
    for one in entries:
        if one.name not in videos:
            new[one.name] = {
                "path": str(one.place),
                "caption": one.caption,
                "extract": overrides["extract"],
                "tune": overrides["tune"],
            }
        elif Path(videos[one.name]["path"]) != one.place:
            raise UserError(f"params.yaml has got another video {one.name!r} meanwhile: run it again")
        elif one.caption is not None and one.caption != videos[one.name]["caption"]:
            text = set_value(text, ("videos", one.name, "caption"), one.caption)
    text = add_entries(text, "videos", new) if new else text
    edits = _new_edits(data["edits"], entries, overrides["edit"])
    text = add_entries(text, "edits", edits) if edits else text
    return text, {name: values["prompt"] for name, values in edits.items()}


def _new_edits(edits: dict[str, Any], entries: Sequence[Entry], overrides: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The edits that are asked for and not there, with names of their own."""
    there = {(edit["video"], edit["prompt"].strip()) for edit in edits.values() if overrides.items() <= edit.items()}
    new: dict[str, dict[str, Any]] = {}
    for one in entries:
        for prompt in dict.fromkeys(one.prompts):
            if (one.name, prompt) not in there:
                new[edit_name(one.name, prompt, [*edits, *new])] = {"video": one.name, "prompt": prompt, **overrides}
    return new


def _video_name(where: dict[str, Path], footage: Footage, name: str | None) -> str:
    """The name of the video: that of the same video if it is in already, else a free one. Raises UserError.

    where: each video that there is, or will be.
    """
    if name is None:
        same = [key for key, path in where.items() if path.resolve() == footage.path.resolve()]
        same += [key for key, path in where.items() if footage.is_same(path)]
        return same[0] if same else free_name(slug(footage.stem), where, "video")
    taken = next((key for key in where if alike(key) == alike(name)), None)
    if taken is None or (taken == name and footage.is_same(where[taken])):
        return name
    raise UserError(f"params.yaml has a video {taken!r} already ({where[taken]}): give this one another --name")


def _typed(text: str) -> str:
    """A text from the command line, without the blanks at its ends. Raises UserError."""
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8 come as halves of pairs
        raise UserError(f"{text!r} is not UTF-8: type it in a terminal that is set to UTF-8") from None
    return text.strip()


def _about_the_toy(text: str, entries: list[Found]) -> list[str]:
    """A warning where a person's own video meets the shipped base."""
    base = check(parse(text)).base
    samples = [template() / f"videos/{name}.mp4" for name in SAMPLES]
    not_samples = [one for one in entries if not any(one.footage.is_same(sample) for sample in samples)]
    if "emoji-world" not in Path(base.source).parts or not not_samples:
        return []
    return [
        "note: the base is Emoji World, which knows twelve emoji and no people: for your own video set real weights "
        "first (README, Real weights)"
    ]
