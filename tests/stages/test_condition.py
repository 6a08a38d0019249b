"""Stage condition: a folder of maps for each kind, of the frames as the model sees them."""

from typing import Any

import numpy as np
import pytest
from tiny_detectors import tiny_depth_estimator

from tav.artifacts import artifact, read_frames, read_json
from tav.params import Params, UserError, check
from tav.stages import Progress, condition
from tav.video import condition_maps

KINDS = ["canny", "lineart", "scribble", "luma", "tile", "blur"]


def made(data: dict[str, Any], **settings: Any) -> dict[str, np.ndarray]:
    data["condition"] = settings
    seen: list[Progress] = []
    condition.run(check(data), "cat", seen.append)
    assert [p.done for p in seen] == list(range(1, len(settings.get("kinds", [])) + 1))
    folder = artifact("condition", "cat", "maps")
    return {path.name: read_frames(path) for path in sorted(folder.iterdir()) if path.is_dir()}


def test_maps_of_the_kinds_that_are_asked_for(data: dict[str, Any], params: Params) -> None:
    frames = read_frames(artifact("extract", "cat", "frames"))
    maps = made(data, kinds=KINDS, canny=[50, 100], tile=4, blur=2.0)
    assert set(maps) == set(KINDS)
    assert {m.shape for m in maps.values()} == {frames.shape}
    assert (maps["canny"] == condition_maps.canny(frames, (50, 100))).all()
    assert (maps["tile"] == condition_maps.tile(frames, 4)).all()
    assert (maps["blur"] == condition_maps.blur(frames, 2.0)).all()
    assert made(data) == {}  # nothing is left of what was asked for before
    assert read_json(artifact("condition", "cat", "maps/settings.json"))["kinds"] == []


def test_depth_by_a_network(data: dict[str, Any], params: Params, tmp_path: Any) -> None:
    folder = tiny_depth_estimator(tmp_path / "depth")
    assert made(data, kinds=["depth"], depth={"source": str(folder)})["depth"].max() == 255
    with pytest.raises(UserError, match="nowhere: no such folder"):
        made(data, kinds=["depth"], depth={"source": "nowhere"})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kinds": ["depth"]}, "condition: kinds has depth, which needs a model: set condition.depth"),
        ({"kinds": ["canni"]}, "condition.kinds.0: input should be 'canny', 'lineart'"),
        ({"canny": [200, 100]}, r"canny \(200, 100\): the first must not be above the second"),
    ],
)
def test_what_makes_no_sense_is_told(data: dict[str, Any], settings: dict[str, Any], said: str) -> None:
    data["condition"] = settings
    with pytest.raises(UserError, match=said):
        check(data)


def test_an_edit_asks_for_maps_that_are_made(data: dict[str, Any]) -> None:
    control = {"kind": "canny", "model": {"source": "net"}}
    data["edits"]["cat--dog"]["controls"] = [control]
    with pytest.raises(UserError, match=r"edits.cat--dog follows canny: set condition.kinds to \[canny\]"):
        check(data)
    data["condition"] = {"kinds": ["canny"]}
    (kept,) = check(data).edit_of("cat--dog").controls
    assert (kept.kind, kept.scale, kept.start, kept.end) == ("canny", 1.0, 0.0, 1.0)
    for wrong, said in (
        ({"frames": "mine.mp4"}, "got both of kind and frames"),
        ({"kind": None}, "got neither of kind and frames"),
        ({"start": 0.8, "end": 0.2}, r"start \(0.8\) must be less than end \(0.2\)"),
        ({"scale": "much"}, "edits.cat--dog.controls.0.scale"),
    ):
        data["edits"]["cat--dog"]["controls"] = [control | wrong]
        with pytest.raises(UserError, match=said):
            check(data)
