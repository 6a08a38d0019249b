"""`tav add`: copy a video in, track it with DVC, and add it and its edits to params.yaml."""

import unicodedata
from pathlib import Path
from typing import Any

from tav.commands.all_or_nothing import all_or_nothing, no_more_signals
from tav.commands.footage import Footage, look_at, told_left_out
from tav.commands.init import template
from tav.commands.like import Own, own_settings, read_made, source_of, told_differences
from tav.commands.names import alike, edit_name, free_name, slug
from tav.commands.params_text import add_entries, parse, read_text, set_value, sole_writer, write_text
from tav.commands.tracking import bring_in, place_of
from tav.complaints import one_line
from tav.params import UserError, check, check_key

NOTHING: Own = {"extract": {}, "tune": {}, "edit": {}}
SAMPLES = ("red-car", "yellow-cat", "blue-fish")


def add_video(
    source: Path | None,
    prompts: list[str],
    caption: str | None,
    name: str | None,
    like: Path | None = None,
    own: Own = NOTHING,
) -> list[str]:
    """Add a video and its edits. All of it, or, when something is wrong or a signal ends it, nothing.

    A video that params.yaml has already gets the new edits only. like: an edited video with its settings in it, which
    become those of this video and its edits; also its source and its prompt, where none are given. own: what this
    video and these edits set for themselves. Returns what to tell the person. Raises UserError.
    """
    made = read_made(like) if like else None
    if made and like:
        source, prompts = source or source_of(made, like), prompts or [made.prompt]
        caption = made.source_prompt if caption is None and source == Path(made.path) else caption
    if source is None:
        raise UserError("no VIDEO was given: give a video file, a folder of images, or --like an edited video")
    prompts = [_typed(prompt) for prompt in prompts]
    caption = None if caption is None else _typed(caption)
    name = None if name is None else check_key(unicodedata.normalize("NFC", _typed(name)))
    read_text()
    with sole_writer(), all_or_nothing() as undo:
        text = read_text()
        footage, videos = look_at(source), parse(text)["videos"]
        video = _video_name(videos, footage, name)
        is_new = video not in videos
        place = place_of(footage, video) if is_new else Path(videos[video]["path"])
        own = own_settings(made, check(parse(text))) if made else own
        changed(text, video, place, caption, prompts, own)  # what is wrong is said before anything is copied
        if is_new:
            bring_in(footage, place, undo)
        text, edits = changed(read_text(), video, place, caption, prompts, own)  # an editor may have saved meanwhile
        no_more_signals()
        write_text(text)
    return [
        f"{'added' if is_new else 'there already:'} video {video} ({footage.size})",
        *(told_left_out(footage) if is_new else []),
        *(f"added edit {edit}: {one_line(prompt)}" for edit, prompt in edits.items()),
        *(told_differences(made, check(parse(text)), video) if made else []),
        *_about_the_toy(text, footage),
        "now run: dvc repro",
    ]


def changed(
    text: str, video: str, place: Path, caption: str | None, prompts: list[str], own: Own = NOTHING
) -> tuple[str, dict[str, str]]:
    """params.yaml's text with a video and its edits, and the new edits: {name: prompt}. Raises UserError."""
    data = parse(text)
    if video not in data["videos"]:
        values: dict[str, Any] = {
            "path": str(place),
            "caption": caption,
            "extract": own["extract"],
            "tune": own["tune"],
        }
        text = add_entries(text, "videos", {video: values})
    elif Path(data["videos"][video]["path"]) != place:
        raise UserError(f"params.yaml has got another video {video!r} meanwhile: run it again")
    elif caption is not None and caption != data["videos"][video]["caption"]:
        text = set_value(text, ("videos", video, "caption"), caption)
    there = {
        edit["prompt"].strip()
        for edit in data["edits"].values()
        if edit["video"] == video and own["edit"].items() <= edit.items()
    }
    edits: dict[str, str] = {}
    for prompt in dict.fromkeys(prompts):
        if prompt not in there:
            edits[edit_name(video, prompt, [*data["edits"], *edits])] = prompt
    if edits:
        text = add_entries(text, "edits", {e: {"video": video, "prompt": p, **own["edit"]} for e, p in edits.items()})
    return text, edits


def _video_name(videos: dict[str, Any], footage: Footage, name: str | None) -> str:
    """The name of the video: that of the same video if it is in already, else a free one. Raises UserError."""
    where = {key: Path(video["path"]) for key, video in videos.items()}
    if name is None:
        same = [key for key, path in where.items() if path.resolve() == footage.path.resolve()]
        same += [key for key, path in where.items() if footage.is_same(path)]
        return same[0] if same else free_name(slug(footage.stem), videos, "video")
    taken = next((key for key in videos if alike(key) == alike(name)), None)
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


def _about_the_toy(text: str, footage: Footage) -> list[str]:
    """A warning where a person's own video meets the shipped base."""
    base = check(parse(text)).base
    samples = [template() / f"videos/{name}.mp4" for name in SAMPLES]
    if "emoji-world" not in Path(base.source).parts or any(footage.is_same(sample) for sample in samples):
        return []
    return [
        "note: the base is Emoji World, which knows twelve emoji and no people: for your own video set real weights "
        "first (README, Real weights)"
    ]
