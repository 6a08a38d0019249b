"""Stage edit with controls on a tiny Stable Diffusion: they steer, are shown, and are told what is wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from project import ignore
from tiny_controls import tiny_adapter, tiny_controlnet, tiny_ip_adapter

from tav.artifacts import artifact, read_frames, write_frames
from tav.model.latents import decode, encode_moments
from tav.model.pretrained import load_pipeline
from tav.params import Params, UserError, check
from tav.stages import condition, edit, invert, tune

FOLDER = Path("artifacts/edit/cat--dog")


@pytest.fixture
def inverted(data: dict[str, Any], params: Params) -> dict[str, Any]:
    """params.yaml's content, with one step tuned, two inverted, and canny maps made."""
    data["tune"]["steps"] = 1
    data["condition"] = {"kinds": ["canny", "luma"], "canny": [20, 40]}
    data["edit"]["strength"] = 1.0
    made = check(data)
    for stage in (tune, invert, condition):
        stage.run(made, "cat", ignore)
    base = Path(data["base"]["source"])
    tiny_controlnet(Path("models/net"), base)
    tiny_adapter(Path("models/adapter"))
    return data


def edited(data: dict[str, Any], *controls: dict[str, Any], **own: Any) -> np.ndarray:
    data["edits"]["cat--dog"] = {"video": "cat", "prompt": "a dog running", "controls": list(controls), **own}
    edit.run(check(data), "cat--dog", ignore)
    return read_frames(FOLDER / "frames")


def test_controls_of_an_edit(inverted: dict[str, Any]) -> None:
    plain = edited(inverted)
    height = Image.open(FOLDER / "sheet.png").height
    net, adapter = {"source": "models/net"}, {"source": "models/adapter"}
    by_net = edited(inverted, {"kind": "canny", "model": net})
    assert Image.open(FOLDER / "sheet.png").height > height * 1.3  # a row more
    (told,) = json.loads((FOLDER / "edit.json").read_text())["controls"]
    assert (told["kind"], told["scale"]) == ("canny", 1.0)
    by_both = edited(inverted, {"kind": "canny", "model": net}, {"kind": "luma", "model": adapter})
    assert (by_net != plain).any()
    assert (by_both != by_net).any()
    write_frames(Path("mine"), read_frames(artifact("condition", "cat", "maps/canny")))
    assert (edited(inverted, {"frames": "mine", "model": net}) == by_net).all()  # bit for bit

    picture = 255 - read_frames(artifact("extract", "cat", "frames"))[:1]
    Image.fromarray(picture[0]).save("first.png")
    vae = load_pipeline(inverted["base"]["source"], components=("vae",)).vae
    held = edited(inverted, first_frame="first.png")
    assert np.abs(held[:1].astype(int) - decode(vae, encode_moments(vae, picture).mean)).max() <= 1
    assert (held[1:] != plain[1:]).any()

    ip = {"source": str(tiny_ip_adapter(Path("models/ip"), Path(inverted["base"]["source"])))}
    asked = {"picture": "first.png", "scale": 0.5, "model": ip}
    seen = edited(inverted, {"kind": "canny", "model": net}, reference=asked)
    assert (seen != by_net).any()
    assert json.loads((FOLDER / "edit.json").read_text())["reference"]["scale"] == 0.5
    assert Image.open(FOLDER / "sheet.png").height > height * 1.6  # two rows more
    with pytest.raises(UserError, match=r"no picture at nowhere.png: no such file"):
        edited(inverted, reference=asked | {"picture": "nowhere.png"})
    with pytest.raises(UserError, match=r"net/models/ip-adapter_sd15.safetensors: no such file; there are diff"):
        edited(inverted, reference=asked | {"model": net})

    # what is wrong is one line
    write_frames(Path("few"), np.zeros((3, 32, 40, 3), np.uint8))
    for control, said in (
        ({"frames": "few", "model": net}, "few has 3 frames; expected 4, one for each frame of the edit, or one for"),
        ({"frames": "nowhere.mp4", "model": net}, "nowhere.mp4"),
        ({"kind": "canny", "model": {"source": "nowhere"}}, "nowhere: no such folder with a ControlNet"),
        ({"kind": "canny", "model": inverted["base"]}, "is no ControlNet and no T2I-Adapter"),
        ({"kind": "depth", "model": net}, r"set condition.kinds to \[canny, luma, depth\]"),
    ):
        control["model"] = {"source": control["model"]["source"]}  # type: ignore[index]
        with pytest.raises(UserError, match=said) as error:
            edited(inverted, control)
        assert "\n" not in str(error.value)
