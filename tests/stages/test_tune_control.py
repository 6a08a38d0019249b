"""Stage tune with a control on a tiny Stable Diffusion: it makes its own maps, and an edit asks for the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from project import ignore
from safetensors.torch import load_file
from tiny_controls import tiny_controlnet
from tiny_detectors import tiny_depth_estimator

from tav.artifacts import artifact, read_frames, read_header, read_json, write_frames
from tav.params import Params, UserError, check
from tav.stages import condition, edit, invert, tune
from tav.video import condition_maps

WEIGHTS = Path("artifacts/tune/cat/weights.safetensors")


@pytest.fixture
def data_of(data: dict[str, Any], params: Params) -> dict[str, Any]:
    """params.yaml's content, with a ControlNet in `models`."""
    tiny_controlnet(Path("models/net"), Path(data["base"]["source"]))
    data["tune"]["steps"] = 1
    data["condition"] = {"canny": [20, 40]}
    return data


def tuned(data: dict[str, Any], control: dict[str, Any] | None, own: dict[str, Any] | None = None) -> dict[str, Any]:
    data["tune"]["control"] = control
    data["videos"]["cat"]["tune"] = own or {}
    tune.run(check(data), "cat", ignore)
    tune.forget_checkpoints("cat")
    return load_file(WEIGHTS)


def differ(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return any(bool((ours[name] != theirs[name]).any()) for name in theirs)


def test_it_tunes_under_maps_that_it_makes(data_of: dict[str, Any], tmp_path: Path) -> None:
    canny = {"kind": "canny", "model": {"source": "models/net"}}
    data_of["tune"]["steps"] = 2
    plain = tuned(data_of, None)
    assert "control" not in read_header(WEIGHTS)
    assert not artifact("condition", "cat", "maps").exists()  # the stage was not asked
    followed = tuned(data_of, canny)
    assert differ(followed, plain)
    frames = read_frames(artifact("extract", "cat", "frames"))
    write_frames(Path("mine"), condition_maps.canny(frames, (20, 40)))
    assert not differ(tuned(data_of, {"frames": "mine", "model": canny["model"]}), followed)  # bit for bit
    assert not differ(tuned(data_of, canny, {"control": None}), plain)  # one video without it
    assert differ(tuned(data_of, canny | {"scale": 0.2}), followed)
    data_of["condition"]["depth"] = {"source": str(tiny_depth_estimator(tmp_path / "depth"))}
    assert differ(tuned(data_of, canny | {"kind": "depth"}), followed)


def test_an_edit_asks_for_the_same_weights_and_maps(data_of: dict[str, Any]) -> None:
    """DVC has no dependencies under a condition, so it does not see what changes there."""
    tuned(data_of, {"kind": "canny", "model": {"source": "models/net"}})
    made = check(data_of)
    invert.run(made, "cat", ignore)
    condition.run(made, "cat", ignore)
    edit.run(made, "cat--dog", ignore)
    said = r"was tuned with another control, or with other maps, than there are now: run `dvc repro -f tune@cat`"
    data_of["condition"]["canny"] = [30, 60]
    with pytest.raises(UserError, match=said):
        edit.run(check(data_of), "cat--dog", ignore)
    data_of["condition"] = {"canny": [20, 40], "blur": 3.0}  # of no map that is followed
    edit.run(check(data_of), "cat--dog", ignore)
    tiny_controlnet(Path("models/net"), Path(data_of["base"]["source"]), seed=1)
    with pytest.raises(UserError, match=said):
        edit.run(check(data_of), "cat--dog", ignore)
    tune.run(check(data_of), "cat", ignore)
    edit.run(check(data_of), "cat--dog", ignore)
    assert read_json(artifact("edit", "cat--dog", "edit.json"))["controls"] == []


@pytest.mark.parametrize(
    ("control", "said"),
    [
        ({"kind": "canny", "model": {"source": "nowhere"}}, "nowhere: no such folder with a ControlNet or a T2I-Adap"),
        ({"kind": "depth", "model": {"source": "models/net"}}, "videos.cat is tuned with depth, which needs a model"),
        ({"model": {"source": "models/net"}}, "tune.control: got neither of kind and frames: give one of them"),
        ({"frames": "few", "model": {"source": "models/net"}}, "few has 3 frames; expected 4, one for each frame"),
    ],
)
def test_what_is_wrong_is_one_line(data_of: dict[str, Any], control: dict[str, Any], said: str) -> None:
    write_frames(Path("few"), np.zeros((3, 32, 40, 3), np.uint8))
    with pytest.raises(UserError, match=said) as error:
        tuned(data_of, control)
    assert "\n" not in str(error.value)
    assert not WEIGHTS.exists()
