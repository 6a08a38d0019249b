"""A tuning run on disk: one safetensors file a checkpoint, with all that the run needs to go on bit for bit."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tav.model.tuned_weights import put_tensors, read_safetensors, write_safetensors


@dataclass(frozen=True)
class Step:
    step: int
    """From 1."""
    loss: float
    grad_norm: float
    """Of all tuned tensors together, before clipping."""
    lr: float
    """Of the queries."""
    seconds: float
    replayed: bool = False
    """Told again from the checkpoint that the run goes on from."""


@dataclass
class Run:
    """The state of a tuning run."""

    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: Any
    """GradScaler; does nothing but in fp16."""
    generator: torch.Generator
    history: list[Step] = field(default_factory=list)
    """The steps done."""
    moved: set[str] = field(default_factory=set)
    """Names of the parameters that have had a gradient other than zero."""


UNSAID = {
    "self_attention": "sparse-causal",
    "temporal": True,
    "temporal_after": "feed-forward",
    "window_frames": None,
    "windows": "one",
    "prior_weight": 0.0,
    "pictures_weight": 0.0,
}
"""Settings that came later, with what was so before: a run of that time goes on."""


def fingerprint(settings: Any, tensors: Iterable[Tensor]) -> str:
    """Hash of what makes a run: its settings (a dataclass) and what it starts from.

    Gradient checkpointing is not in it: a run that ran out of memory goes on with it.
    """
    free = {"checkpoint_every", "keep_checkpoints", "gradient_checkpointing"}
    values = {entry.name: getattr(settings, entry.name) for entry in fields(settings) if entry.name not in free}
    made_of = {name: value for name, value in values.items() if (name, value) not in UNSAID.items()}
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode())
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_checkpoint(run: Run, folder: Path, mark: str, *, keep: int) -> None:
    """Write the run's state, atomically, and delete all but this run's last `keep` checkpoints.

    Those of another run stay until this one has a checkpoint of its own, and never count as its own.
    """
    tensors: dict[str, Tensor] = {f"parameter.{name}": tensor.detach() for name, tensor in run.parameters.items()}
    for index, state in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in _flat(state).items()}
    tensors["generator"] = run.generator.get_state()
    header = {
        "fingerprint": mark,
        "history": json.dumps([asdict(step) for step in run.history]),
        "scaler": json.dumps(run.scaler.state_dict()),
    }
    write_safetensors(tensors, folder / f"step-{len(run.history):06d}.safetensors", header)
    kept = _of_run(folder, mark)[:keep]
    for path in (*folder.glob("step-*.safetensors"), *folder.glob(".step-*.partial")):  # partial: of a kill
        if path not in kept:
            path.unlink()


def resume(run: Run, folder: Path, mark: str) -> None:
    """Put the run into the state of the last checkpoint that is whole and of this run, if there is one; in place."""
    for path in _of_run(folder, mark)[:1]:
        _restore(run, path, *read_safetensors(path))


def _restore(run: Run, path: Path, header: dict[str, str], tensors: dict[str, Tensor]) -> None:
    put_tensors(
        {f"parameter.{name}": tensor for name, tensor in run.parameters.items()},
        {name: tensor for name, tensor in tensors.items() if name.startswith("parameter.")},
        path,
    )
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            # AdamW's count of steps is a float32 tensor, that of 8-bit AdamW an int
            state.setdefault(int(index), {})[name] = tensor.item() if tensor.dtype == torch.int64 else tensor
    run.optimizer.load_state_dict({**run.optimizer.state_dict(), "state": state})
    run.generator.set_state(tensors["generator"])
    run.scaler.load_state_dict(json.loads(header["scaler"]))
    run.history = [Step(**step) for step in json.loads(header["history"])]


def _flat(state: dict[str, Any]) -> dict[str, Any]:
    """8-bit AdamW wraps its tensors in one more dict, which it does not need for loading them.

    Its maps (qmap1, qmap2) are one tensor for all parameters, and safetensors takes no tensor twice.
    """
    return {
        inner: content.clone() if inner.startswith("qmap") else content
        for name, value in state.items()
        for inner, content in (value if isinstance(value, dict) else {name: value}).items()
    }


def _of_run(folder: Path, mark: str) -> list[Path]:
    """The checkpoints that are whole and bear the mark, the newest first."""
    files = [path for path in folder.glob("step-*.safetensors") if _mark_of(path) == mark]
    return sorted(files, key=lambda path: (len(path.name), path.name), reverse=True)  # a million steps has a digit more


def _mark_of(path: Path) -> str | None:
    """None: damaged or not a checkpoint. Reads no tensor; a file that is cut short is known by its length."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("fingerprint")
    except SafetensorError:
        return None
