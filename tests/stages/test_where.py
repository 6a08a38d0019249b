"""Masks and words in stage edit: what may not change is the source's, to the bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from project import edited, ignore
from tiny_trackers import tiny_tracker

from tav.artifacts import artifact, read_frames
from tav.model.tracker import follow, load_tracker
from tav.params import UserError, check
from tav.stages import caption, extract, invert, tune

FOLDER = Path("artifacts/edit/cat--dog")


@pytest.fixture
def inverted(data: dict[str, Any]) -> dict[str, Any]:
    """params.yaml's content, with two steps tuned and four inverted."""
    data["tune"]["steps"] = 2
    data["invert"]["num_inference_steps"] = 4
    made = check(data)
    for stage in (extract, caption, tune, invert):
        stage.run(made, "cat", ignore)
    return data


def test_masks(inverted: dict[str, Any]) -> None:
    source, plain = read_frames(artifact("extract", "cat", "frames")), edited(inverted)
    assert not (FOLDER / "frames/mask").exists()
    assert (edited(inverted, mask={"box": [0, 0, 1, 1]}) == plain).all()
    assert (edited(inverted, mask={"box": [0, 0, 1, 1], "invert": True}) == source).all()
    half = edited(inverted, mask={"box": [0, 0, 0.5, 1]})
    assert (half[:, :, 20:] == source[:, :, 20:]).all()  # the frames are 40 wide
    assert (half[:, :, :20] != source[:, :, :20]).any()
    mask = read_frames(FOLDER / "frames/mask")
    assert (mask[:, :, :20] == 255).all()
    assert (mask[:, :, 20:] == 0).all()
    sheets = [Image.open(FOLDER / "sheet.png").size[1]]
    assert json.loads((FOLDER / "edit.json").read_text())["mask"]["box"] == [0, 0, 0.5, 1]

    drawn = np.zeros((48, 64, 3), np.uint8)
    drawn[:, :32] = 255
    Image.fromarray(drawn).save("mask.png")  # of the source's size
    assert (edited(inverted, mask={"path": "mask.png"}) == half).all()
    wider = edited(inverted, mask={"path": "mask.png", "grow": 3, "feather": 2})
    assert (wider[:, :, 25:] == source[:, :, 25:]).all()
    assert (wider[:, :, 20:25] != source[:, :, 20:25]).any()
    edited(inverted)
    sheets.append(Image.open(FOLDER / "sheet.png").size[1])
    assert sheets[0] > sheets[1]  # a row more


def test_what_a_tracker_follows(inverted: dict[str, Any]) -> None:
    source = read_frames(artifact("extract", "cat", "frames"))
    tracker = {"source": str(tiny_tracker(Path("models/tracker")))}
    drawn = np.zeros((48, 64, 3), np.uint8)
    drawn[12:36, 16:48] = 255
    Image.fromarray(drawn).save("mask.png")
    masks = {}
    for name, start in {
        "box": {"box": [0.25, 0.25, 0.75, 0.75]},
        "drawn": {"path": "mask.png"},
        "words": {"words": ["cat"]},
        "point": {"point": [0.5, 0.5], "invert": True},
    }.items():
        changed = edited(inverted, mask={**start, "tracker": tracker})
        masks[name] = read_frames(FOLDER / "frames/mask")
        assert (changed[masks[name] == 0] == source[masks[name] == 0]).all()
    box = [(0.25, 0.25), (0.75, 0.75)]
    expected = follow(load_tracker(tracker["source"]), source, box)
    assert (masks["box"][..., 0] == 255 * expected.numpy()).all()
    assert (masks["box"][0] != masks["drawn"][0]).any()
    said = "models/net: no such folder with a tracker; one on the hub is hub:owner/name"
    with pytest.raises(UserError, match=said):
        edited(inverted, mask={"point": [0.5, 0.5], "tracker": {"source": "models/net"}})
    with pytest.raises(UserError, match=r"point \[0.5, 0.5\] is a thing to follow: set tracker"):
        check(inverted | {"edit": inverted["edit"] | {"mask": {"point": [0.5, 0.5]}}})


def test_words(inverted: dict[str, Any]) -> None:
    source, plain = read_frames(artifact("extract", "cat", "frames")), edited(inverted)
    found = edited(inverted, mask={"words": ["cat"], "threshold": 0.9})
    mask = read_frames(FOLDER / "frames/mask")
    assert 0 < mask.mean() < 255
    assert (found[mask == 0] == source[mask == 0]).all()
    with pytest.raises(UserError, match="'tree' is not in 'a cat running'"):
        edited(inverted, mask={"words": ["tree"]})

    featured = edited(inverted, method="plug-and-play")
    assert np.abs(featured - source.astype(float)).mean() < np.abs(plain - source.astype(float)).mean()

    nothing = {"cross_replace": 0.0, "self_replace": 0.0}
    assert (edited(inverted, attention=nothing) == plain).all()
    kept = edited(inverted, attention={"cross_replace": 1.0, "self_replace": 1.0})
    assert np.abs(kept - source.astype(float)).mean() < np.abs(plain - source.astype(float)).mean()
    for more in ({"amplify": {"dog": 3.0}}, {"blend": ["cat", "dog"], "threshold": 0.9}):
        assert (edited(inverted, attention=nothing | more) != plain).any(), more
    with pytest.raises(UserError, match="'tree' is not in 'a dog running'"):
        edited(inverted, attention={"amplify": {"tree": 2.0}})
