"""`tav fetch-base`: the models that params.yaml has from the hub as folders that DVC keeps: workers need no hub."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tav.artifacts import atomic
from tav.commands.params_text import parse, read_text, set_value, sole_writer, write_text
from tav.commands.tracking import track
from tav.hashes import commit_of
from tav.params import UserError, load, split_source

PLACES = (
    ("base", "source"),
    ("base", "config"),
    ("caption", "model", "source"),
    ("evaluate", "clip", "source"),
    ("evaluate", "pick_score", "source"),
)
"""Where params.yaml may name a model on the hub."""
MODELS = Path("models")
WANTED = ["*.json", "*.txt", "*.model", "*.safetensors"]
UNWANTED = ["*.fp16.safetensors", "*.non_ema.safetensors", "safety_checker/*"]
"""Copies in another precision, and what is never loaded."""


def fetch_models() -> list[str]:
    """Download each model at the commit that it is at now, have DVC keep and push it, and name its folder instead.

    Returns what to tell the person. Raises UserError.
    """
    load()
    sources = _on_hub(parse(read_text()))
    if not sources:
        return ["params.yaml has no model from the hub: there is nothing to fetch"]
    folders = {source: _download(source) for source in dict.fromkeys(sources.values())}
    track(*folders.values())
    with sole_writer():
        text = read_text()
        for names, source in _on_hub(parse(text)).items():
            if source in folders:
                text = set_value(text, names, str(folders[source]))
        write_text(text)
    return [
        *(f"{source} is now {folder}" for source, folder in folders.items()),
        _pushed(list(folders.values())),
        f"commit params.yaml and {MODELS}/*.dvc. What was made with the old names will be made again",
    ]


def _on_hub(data: Any) -> dict[tuple[str, ...], str]:
    """Path of names in params.yaml -> its source on the hub."""
    sources: dict[tuple[str, ...], str] = {}
    for names in PLACES:
        value = data
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str) and split_source(value)[0]:
            sources[names] = value
    return sources


def _download(source: str) -> Path:
    """The folder with the model: models/NAME-COMMIT. One that is there already is taken as it is."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    hub_id, revision = split_source(source)
    assert hub_id
    commit = commit_of(hub_id, revision)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", hub_id.partition("/")[2])
    place = MODELS / f"{name}-{commit[:8]}"
    if place.is_dir():
        return place
    with atomic(place) as fresh:
        try:
            snapshot_download(hub_id, revision=commit, local_dir=fresh, allow_patterns=WANTED, ignore_patterns=UNWANTED)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise UserError(f"{hub_id} can't be downloaded ({' '.join(str(error).split())[:200]}): try again") from None
        shutil.rmtree(fresh / ".cache", ignore_errors=True)  # the hub's notes of the download
        _check(fresh, hub_id)
        _leave_out_copies(fresh)
    return place


def _check(folder: Path, hub_id: str) -> None:
    if not any(folder.rglob("*.safetensors")) and not any(folder.rglob("*.json")):
        raise UserError(f"{hub_id} holds no .safetensors and no configuration")


def _leave_out_copies(folder: Path) -> None:
    """Of a pipeline in folders, the single files beside them hold the same weights once more."""
    if (folder / "model_index.json").is_file():
        for copy in folder.glob("*.safetensors"):
            copy.unlink()


def _pushed(folders: list[Path]) -> str:
    """Push them to DVC's remote, if there is one. What to say of it."""
    dvc = [sys.executable, "-m", "dvc"]
    remote = subprocess.run([*dvc, "config", "core.remote"], capture_output=True, text=True).stdout.strip()
    if not remote:
        return "there is no DVC remote yet: `dvc remote add -d store ADDRESS`, then `dvc push`"
    done = subprocess.run([*dvc, "push", *(f"{folder}.dvc" for folder in folders)], capture_output=True, text=True)
    if done.returncode:
        return f"not pushed to {remote}: run `dvc push` ({' '.join(done.stderr.split())[:200]})"
    return f"pushed to {remote}"
