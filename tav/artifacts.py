"""Where each artifact lies, and how each kind is read and written.

One folder a stage and key, `artifacts/STAGE/KEY/` (of the stage `model` one file, `artifacts/models/KEY.json`):
    extract   frames/00000.png ..., source/info.json, source/audio.flac (of the same span, where there is sound)
    caption   caption.json {"caption", "by"}
    tune      weights.safetensors, loss.csv, tuning.json, samples/ (prompts.json, STEP.png)
    invert    latents.safetensors (one tensor a step), inversion.json
    condition maps/KIND/00000.png ..., maps/settings.json
    edit      video.mp4, preview.gif, sheet.png, frames/ (as the model made them; mask/ in it, if any), edit.json
    evaluate  metrics.json {"edit": {metric: value}, "source": {metric: value}}
    report    index.html and what it shows
    (each but the report has a settings.json: the settings that it ran with)
    removed   STAGE/KEY of what params.yaml has no more
All writes are atomic: a file is there whole or not at all.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.params import UserError, check_key

if TYPE_CHECKING:
    import numpy as np
    import torch

ROOT = Path("artifacts")
MODELS = ROOT / "models"


def artifact(stage: str, key: str = "", name: str = "") -> Path:
    """The path of what a stage made for a video or an edit, e.g. `artifacts/tune/man-skiing/weights.safetensors`."""
    return ROOT / stage / (check_key(key) if key else "") / name


def model_record(name: str) -> Path:
    """Where the stage `model` writes what a model is: `artifacts/models/base.json`."""
    return MODELS / f"{check_key(name)}.json"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A path to write a file or a folder to. It takes the place of `path` when the block ends well, else it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".tmp-{path.name}.", dir=path.parent))
    try:
        fresh = folder / path.name  # keeps the suffix: encoders choose the container by it
        yield fresh
        if path.is_dir():
            path.rename(folder / "old")
        fresh.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Delete what `atomic` and the weights' writer had begun of a folder and in it, when they were killed.

    For whoever writes there alone.
    """
    begun = [*folder.parent.glob(f".tmp-{folder.name}.*"), *folder.glob(".tmp-*"), *folder.glob(".*.partial")]
    for path in begun:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    with atomic(path) as fresh:
        fresh.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    try:
        return json.loads(_existing(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run `dvc repro`") from None


def write_frames(folder: Path, frames: "np.ndarray") -> None:
    """A folder of PNGs, `00000.png` on. frames: uint8 (f h w 3), RGB."""
    from PIL import Image

    with atomic(folder) as fresh:
        fresh.mkdir()
        for i, frame in enumerate(frames):
            Image.fromarray(frame).save(fresh / f"{i:05d}.png")


def read_frames(folder: Path) -> "np.ndarray":
    """What `write_frames` wrote: uint8 (f h w 3), RGB."""
    import numpy as np
    from PIL import Image

    files = sorted(_existing(folder).glob("*.png"))
    if not files:
        raise UserError(f"{folder} holds no frames: delete it and run `dvc repro`")
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


def write_tensors(path: Path, tensors: dict[str, "torch.Tensor"], metadata: dict[str, str] | None = None) -> None:
    """A safetensors file."""
    from safetensors.torch import save_file

    with atomic(path) as fresh:
        fresh.touch()
        mode = fresh.stat().st_mode  # as the umask has it: save_file's own is readable by its owner only
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, fresh, metadata)
        fresh.chmod(mode)


@contextmanager
def room_on_disk(folder: Path) -> "Iterator[Callable[..., torch.Tensor]]":
    """Makes float32 tensors of a shape that lie in files: the system has of them in memory what there is room for.

    folder: where the files lie until the block ends. `write_tensors` copies them without loading them.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-tensors.", dir=folder) as place:
        numbers = count()

        def room(*shape: int) -> torch.Tensor:
            file = Path(place) / str(next(numbers))
            return torch.from_file(str(file), shared=True, size=prod(shape)).reshape(shape)

        yield room


def read_tensors(path: Path) -> dict[str, "torch.Tensor"]:
    """What `write_tensors` wrote, mapped: read from the file when it is asked for."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(_existing(path))
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run `dvc repro`") from None
    return tensors


def read_header(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(_existing(path), "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run `dvc repro`") from None


def _existing(path: Path) -> Path:
    """`path`, if it is there."""
    if not path.exists():
        raise UserError(f"no {path}: run `dvc repro`, which makes what comes before first")
    return path
