"""LPIPS, with the package's own networks and random weights. The package is an extra: where it isn't, it is told."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import moving_square

from tav.metrics.measures import MEASURES, Subject
from tav.metrics.perceptual import distances, load_lpips
from tav.params import Model, UserError
from tav.params.evaluating import Evaluate

SOURCE, EDIT = moving_square(2, 64, 64, seed=0), moving_square(2, 64, 64, seed=1)
needs_lpips = pytest.mark.skipif(find_spec("lpips") is None, reason="lpips is not installed")
quiet = pytest.mark.filterwarnings("ignore::UserWarning:torchvision")  # lpips names its weights as one did in 2021


def saved(folder: Path, net: str) -> Path:
    """Random weights, as docs/metrics.md says to write the published ones."""
    import lpips
    from safetensors.torch import save_model

    torch.manual_seed(0)
    network = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    for lin in network.lins:
        torch.nn.init.uniform_(lin.model[1].weight)  # the published ones are not negative
    folder.mkdir()
    save_model(network, str(folder / "model.safetensors"))
    return folder


@needs_lpips
@quiet
@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_the_weights_say_which_network_it_is(tmp_path: Path, net: str) -> None:
    import lpips

    network = load_lpips(Model(source=str(saved(tmp_path / net, net))))
    assert network.pnet_type == net
    a, b = (lpips.im2tensor(frames[0]) for frames in (EDIT, SOURCE))  # the package's own way to its range
    with torch.inference_mode():
        expected = network(a, b).item()
    found = distances(network, EDIT, SOURCE)
    assert found.shape == (2,)
    assert found[0].item() == pytest.approx(expected, rel=1e-5)
    assert distances(network, EDIT, EDIT).tolist() == [0, 0]


@needs_lpips
@quiet
def test_outside_of_the_mask_what_is_within_does_not_count(tmp_path: Path) -> None:
    mask = np.zeros(SOURCE.shape[:3], bool)
    mask[:, :32] = True
    within = np.where(mask[..., None], EDIT, SOURCE)
    clip, weights = {"source": "models/emoji-world/clip"}, {"source": str(saved(tmp_path / "squeeze", "squeeze"))}
    settings = Evaluate.model_validate({"clip": clip, "lpips": weights})
    subject = Subject({"edit": within, "source": SOURCE}, "a dog", "a cat", settings, mask)
    assert MEASURES["background_lpips"].of(subject) == {"edit": {"background_lpips": 0}}
    assert MEASURES["source_lpips"].of(subject)["edit"]["source_lpips"] > 0
    subject.frames["edit"] = EDIT
    assert MEASURES["background_lpips"].of(subject)["edit"]["background_lpips"] > 0


@needs_lpips
def test_what_is_no_lpips_is_told(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(UserError, match=r"no LPIPS at nowhere: no model.safetensors there; docs/metrics.md"):
        load_lpips(Model(source="nowhere"))
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"can't load an LPIPS from .*: it has no net.slice1.0.weight"):
        load_lpips(Model(source=str(tmp_path)))


@pytest.mark.skipif(find_spec("lpips") is not None, reason="lpips is installed")
def test_without_the_extra_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lpips, which is not installed: pip install -e '.\[lpips\]'"):
        load_lpips(Model(source=str(tmp_path)))
