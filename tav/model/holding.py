"""What a process that runs many stages keeps of loaded models, and lends to each stage so that none changes it."""

import copy
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class Held:
    """Keeps the last of each kind, while what it was made from is the same."""

    def __init__(self) -> None:
        self.on = False
        """Off: everything is made anew, as in a process that runs one stage."""
        self._kept: dict[str, tuple[Hashable, Any, int]] = {}

    def get(self, kind: str, made_from: Hashable, make: Callable[[], Any]) -> Any:
        """What is kept of a kind, if it was made from this and nobody has changed it since; else a new one."""
        if not self.on:
            return make()
        entry = self._kept.pop(kind, None)
        if entry is None or entry[0] != made_from or entry[2] != versions(entry[1]):
            del entry
            model = make()
            entry = made_from, model, versions(model)
        self._kept[kind] = entry
        return entry[1]


HELD = Held()
"""Of this process."""


def files_of(*paths: str | None) -> tuple[tuple[str, int, int, int], ...]:
    """Each file of some paths with its size, time and inode: enough to tell that weights were changed."""
    roots = [Path(path) for path in paths if path is not None]
    files = [file for root in roots for file in ([root] if root.is_file() else sorted(root.rglob("*")))]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats)


def versions(model: Any) -> int:
    """Counts the changes in place of all tensors of a network, a tuple of them, or a pipeline's networks."""
    return sum(tensor._version for module in _networks(model) for tensor in _tensors(module))


def lent(model: Any, is_copied: Callable[[str], bool] = lambda name: False) -> Any:
    """A copy of a network, or of a pipeline, that shares its tensors but for the parameters that `is_copied` names.

    Its modules, parameters and their `grad`, `data` and `requires_grad` are its own. The shared numbers must not be
    changed in place: `Held` notices, and makes the next one anew.
    """
    from torch import nn

    if isinstance(model, nn.Module):
        return _copy(model, is_copied)
    pipe = copy.copy(model)
    for name, part in model.components.items():
        if isinstance(part, nn.Module):
            setattr(pipe, name, _copy(part, is_copied))
        elif name == "scheduler" and part is not None:
            setattr(pipe, name, type(part).from_config(part.config))
    return pipe


def _copy(module: "nn.Module", is_copied: Callable[[str], bool]) -> "nn.Module":
    from torch import nn

    memo: dict[int, Any] = {}
    for name, parameter in module.named_parameters():
        shared = parameter.detach()
        memo[id(parameter)] = nn.Parameter(shared.clone() if is_copied(name) else shared, parameter.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.detach()
    return copy.deepcopy(module, memo)


def _networks(model: Any) -> "list[nn.Module]":
    from torch import nn

    parts = model if isinstance(model, tuple) else getattr(model, "components", {"": model}).values()
    return [part for part in parts if isinstance(part, nn.Module)]


def _tensors(module: "nn.Module") -> "list[Tensor]":
    return [*module.parameters(), *module.buffers()]
