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
        found = self._kept.pop(kind, None)
        if found is None or found[0] != made_from or found[2] != versions(found[1]):
            del found
            made = make()
            found = made_from, made, versions(made)
        self._kept[kind] = found
        return found[1]


HELD = Held()
"""Of this process."""


def files_of(*paths: str | None) -> tuple[tuple[str, int, int, int], ...]:
    """Each file of some paths with its size, time and inode: enough to tell that weights were changed."""
    roots = [Path(path) for path in paths if path is not None]
    files = [file for root in roots for file in ([root] if root.is_file() else sorted(root.rglob("*")))]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats)


def versions(made: Any) -> int:
    """Counts the changes in place of all tensors of a network, a tuple of them, or a pipeline's networks."""
    return sum(tensor._version for module in _networks(made) for tensor in _tensors(module))


def lent(made: Any, own: Callable[[str], bool] = lambda name: False) -> Any:
    """A copy of a network, or of a pipeline, that shares its tensors but for the parameters whose name is `own`.

    Its modules, parameters and their `grad`, `data` and `requires_grad` are its own. The shared numbers must not be
    changed in place: `Held` notices, and makes the next one anew.
    """
    from torch import nn

    if isinstance(made, nn.Module):
        return _copy(made, own)
    pipe = copy.copy(made)
    for name, part in made.components.items():
        if isinstance(part, nn.Module):
            setattr(pipe, name, _copy(part, own))
        elif name == "scheduler" and part is not None:
            setattr(pipe, name, type(part).from_config(part.config))
    return pipe


def _copy(module: "nn.Module", own: Callable[[str], bool]) -> "nn.Module":
    from torch import nn

    memo: dict[int, Any] = {}
    for name, parameter in module.named_parameters():
        shared = parameter.detach()
        memo[id(parameter)] = nn.Parameter(shared.clone() if own(name) else shared, parameter.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = buffer.detach()
    return copy.deepcopy(module, memo)


def _networks(made: Any) -> "list[nn.Module]":
    from torch import nn

    parts = made if isinstance(made, tuple) else getattr(made, "components", {"": made}).values()
    return [part for part in parts if isinstance(part, nn.Module)]


def _tensors(module: "nn.Module") -> "list[Tensor]":
    return [*module.parameters(), *module.buffers()]
