"""params.yaml of an older tav: path, hub_id and revision of a model become its `source`. All else stays as it is."""

from collections.abc import Iterator
from typing import Any

from tav.commands.params_text import PARAMS, parse
from tav.commands.yaml_line import in_braces, in_yaml
from tav.params import UserError
from tav.params.sources import OLD_KEYS, source_of

SECTIONS = ("base", "caption", "evaluate")
"""Where models are named. (A video has a `path` too.)"""
Change = tuple[int, int, str]
"""Where a piece of text starts and stops, and what takes its place."""


def with_sources(text: str) -> str:
    """The text with the keys of this tav. Raises UserError: it is written in a way that can't be changed safely."""
    from ruamel.yaml import YAML

    data = parse(text)
    if not isinstance(data, dict):
        return text
    after = {name: _renamed(part) if name in SECTIONS else part for name, part in data.items()}
    if after == data:
        return text
    new = text
    root = YAML(typ="safe", pure=True).compose(text)
    models = [model for key, value in root.value if key.value in SECTIONS for model in _models(value)]
    changes = sorted(change for model in models for change in _changes(text, model))
    for start, stop, piece in reversed(changes):
        new = new[:start] + piece + new[stop:]
    try:
        if parse(new) == after:
            return new
    except UserError:
        pass
    raise UserError(f"can't write `source` in the place of {', '.join(OLD_KEYS)} in {PARAMS}: do it in an editor")


def _renamed(data: Any) -> Any:
    if isinstance(data, list):
        return [_renamed(part) for part in data]
    if not isinstance(data, dict):
        return data
    rest = {key: _renamed(part) for key, part in data.items() if key not in OLD_KEYS}
    return {"source": source_of(data), **rest} if any(key in data for key in OLD_KEYS) else rest


def _models(node: Any) -> Iterator[Any]:
    """The mappings with old keys in a tree of ruamel's nodes."""
    for part in node.value if isinstance(node.value, list) else []:
        yield from _models(part[1] if isinstance(part, tuple) else part)
    if isinstance(node.value, list) and any(isinstance(p, tuple) and p[0].value in OLD_KEYS for p in node.value):
        yield node


def _changes(text: str, model: Any) -> Iterator[Change]:
    """One of the old keys becomes `source`, the others go: a line in a block, a part between commas in braces."""
    entries = model.value
    old = [i for i, (key, _) in enumerate(entries) if key.value in OLD_KEYS]
    kept = next((i for i in old if entries[i][0].value == "path"), old[0])
    source = source_of({key.value: _plain(value) for key, value in entries})
    for i in old:
        key, value = entries[i]
        start, stop = key.start_mark.index, value.end_mark.index
        if i == kept:
            yield start, stop, f"source: {(in_braces if model.flow_style else in_yaml)(source)}"
        elif not model.flow_style:
            yield text.rfind("\n", 0, start) + 1, (text.find("\n", stop) + 1) or len(text), ""
        elif i > kept:
            yield entries[i - 1][1].end_mark.index, stop, ""
        else:
            yield start, entries[i + 1][0].start_mark.index, ""


def _plain(node: Any) -> Any:
    return None if str(node.tag).endswith(":null") else node.value
