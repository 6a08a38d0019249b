"""LPIPS: how far apart two pictures look, by the features of a network that was trained to see (Zhang et al. 2018).

The network is the package lpips's (an extra, since it needs torchvision). The package would unpickle its weights and
fetch more; here all of them come from one safetensors file of a folder or of the hub (docs/metrics.md says how to make
it).
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.params import Model, UserError, user_errors

if TYPE_CHECKING:
    import numpy as np
    import torch

FILE = "model.safetensors"


def load_lpips(model: Model) -> Any:
    """An lpips.LPIPS on AlexNet, VGG or SqueezeNet, whichever the weights are of. Raises UserError."""
    if find_spec("lpips") is None:
        raise UserError("evaluate.lpips needs the package lpips, which is not installed: pip install -e '.[lpips]'")
    if model.hub_id is None and not (Path(model.name) / FILE).is_file():
        raise UserError(f"no LPIPS at {model.name}: no {FILE} there; docs/metrics.md says how to make it")
    import lpips
    from safetensors import SafetensorError
    from safetensors.torch import load_model
    from transformers.utils import cached_file

    from tav.model.device import best_device

    try:
        file = cached_file(model.name, FILE, revision=model.revision, local_files_only=model.hub_id is None)
        network = lpips.LPIPS(net=_kind(file), pretrained=False, pnet_rand=True, verbose=False)
        load_model(network, file)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"can't load an LPIPS from {model.name}: {' '.join(str(error).split())}") from None
    with user_errors():
        return network.eval().to(best_device())


def distances(network: Any, frames: "np.ndarray", others: "np.ndarray") -> "torch.Tensor":
    """(f), 0 where two frames are equal. Both uint8 (f h w 3), of one shape."""
    import torch

    device, found = next(network.parameters()).device, []
    for pair in zip(frames, others, strict=True):
        a, b = (torch.from_numpy(frame.copy()).to(device).permute(2, 0, 1)[None] / 127.5 - 1 for frame in pair)
        with torch.inference_mode():
            found.append(network(a, b).flatten())
    return torch.cat(found).cpu()


def _kind(file: Any) -> str:
    """Which network's features the weights are of."""
    from safetensors import safe_open

    first = "net.slice1.0.weight"
    with safe_open(file, "pt") as weights:
        names = set(weights.keys())
        if first not in names:
            raise ValueError(f"it has no {first}")
        if weights.get_slice(first).get_shape()[-1] == 11:
            return "alex"
    return "squeeze" if any("lin6." in name or "lins.6." in name for name in names) else "vgg"
