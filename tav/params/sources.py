"""Where a model comes from, as params.yaml says it: a folder or a file, or hub:owner/name@revision."""

import re
from typing import Any

from tav.complaints import quoted

HUB = "hub:"
"""What a source on the Hugging Face hub begins with. All else is a path, so that a mistyped path asks no hub."""
_ON_HUB = re.compile(r"hub:(?P<hub_id>\w[\w.-]*(?:/\w[\w.-]*)?)(?:@(?P<revision>\w[\w./-]*))?")
OLD_KEYS = ("path", "hub_id", "revision")


def split_source(source: str) -> tuple[str | None, str | None]:
    """(owner/name, revision) of a source on the hub; (None, None) of a path."""
    match = _ON_HUB.fullmatch(source)
    return (match["hub_id"], match["revision"]) if match else (None, None)


def check_source(source: str) -> str:
    """Raises ValueError: begins as the hub's, and is not."""
    if source.startswith(HUB) and not _ON_HUB.fullmatch(source):
        raise ValueError(f"{quoted(source)} is no model on the hub: write hub:owner/name or hub:owner/name@revision")
    return source


def check_file(source: str) -> str:
    """Raises ValueError: on the hub, where only a path can be."""
    if source.startswith(HUB):
        raise ValueError(f"{quoted(source)} is on the hub: download the file into models/, and give its path")
    return source


def refuse_old_keys(data: Any) -> Any:
    """`data` as it is. Raises ValueError where it names its source by the keys of an older tav."""
    if isinstance(data, dict) and any(key in data for key in OLD_KEYS):
        there = ", ".join(key for key in OLD_KEYS if key in data)
        raise ValueError(
            f"{there} became one key: write source: {quoted(source_of(data))} (`tav upgrade --yes` does it)"
        )
    return data


def source_of(old: dict[str, Any]) -> Any:
    """The source that the keys of an older tav say."""
    if not old.get("hub_id"):
        return old.get("source", old.get("path"))
    revision = old.get("revision")
    return f"{HUB}{old['hub_id']}" + (f"@{revision}" if revision else "")
