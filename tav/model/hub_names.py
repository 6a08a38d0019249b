"""Names of models on the Hugging Face hub, and what is told of one that is not there."""

from typing import Any

HUB = "hub:"
"""What a source on the Hugging Face hub begins with, as in "hub:owner/name@revision". All else is a path, and asks no
hub."""


def place(source: str, revision: str | None) -> dict[str, Any]:
    """A source as `from_pretrained` takes it."""
    if source.startswith(HUB):
        hub_id, revision = on_hub(source, revision)
        return {"pretrained_model_name_or_path": hub_id, "revision": revision}
    return {"pretrained_model_name_or_path": source, "local_files_only": True}


def on_hub(source: str, revision: str | None) -> tuple[str, str | None]:
    """owner/name of a source on the hub, and its revision: the one given, else the one that it names."""
    hub_id, _, named = source.removeprefix(HUB).partition("@")
    return hub_id, revision or named or None


def not_found(source: str, error: Exception) -> FileNotFoundError:
    return FileNotFoundError(f"{source.removeprefix(HUB)}: not found on the hub, nor in its cache here ({line(error)})")


def line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
