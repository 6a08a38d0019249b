"""The base model as it lies in its files: loaded anew, or lent by a process that holds it for many stages."""

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.hashes import known_sha256
from tav.model.holding import HELD, files_of, lent
from tav.params import Base
from tav.params.sources import HUB

if TYPE_CHECKING:
    import torch

    from tav.model.pretrained import BaseIdentity


def loaded(base: Base, dtype: "torch.dtype", device: str) -> Any:
    """A pipeline on its device, for the caller alone to change."""
    from tav.model.pretrained import load_pipeline
    from tav.model.tuned_weights import TUNED

    def load(where: str) -> Any:
        return load_pipeline(
            base.place, revision=base.revision, config=base.config, loras=_loras(base), dtype=dtype, device=where
        )

    if not (HELD.on and _stays(base)):
        return load(device)
    pipe = HELD.get("base", (made_from(base), dtype), lambda: load("cpu"))  # on the CPU: a GPU has room for one
    return lent(pipe, lambda name: bool(TUNED.search(name))).to(device)


def identity_of(base: Base) -> "BaseIdentity":
    """What tuned weights of this base are bound to."""
    from tav.model.pretrained import identity

    def make() -> "BaseIdentity":
        return identity(base.place, base.revision, loras=_loras(base), digest=known_sha256)

    return HELD.get("identity", made_from(base), make) if _stays(base) else make()


def made_from(base: Base) -> Hashable:
    """What tells that a base is still what its files hold."""
    loras = [lora.source for lora in base.loras]
    return base.model_dump_json(), files_of(base.source, base.config, *loras)


def _loras(base: Base) -> list[tuple[str, float]]:
    """Each LoRA's file or folder, downloaded where it is on the hub, and its scale."""
    from tav.model.loras import lora_path

    return [(lora_path(lora.place, lora.file, lora.revision), lora.scale) for lora in base.loras]


def _stays(base: Base) -> bool:
    """Whether only a change of its files can change a base: a branch on the hub moves."""
    hub = any(
        source.startswith(HUB) for source in (base.source, base.config or "", *(lora.source for lora in base.loras))
    )
    return not hub and (base.config is not None or Path(base.source).is_dir())
