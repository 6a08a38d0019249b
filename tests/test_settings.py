"""What a stage ran with, written beside its results and into the header of tuned weights."""

import json
from pathlib import Path

import pytest
from test_layers import STAGES as OF_DVC

from tav.params import check, read_yaml
from tav.recipe import numbers
from tav.settings import STAGES, settings_of

ROOT = Path(__file__).parents[1]
PARAMS = check(read_yaml(ROOT / "params.yaml"))
KEYS = {stage: "red-car--blue" if stage in ("edit", "evaluate") else "red-car" for stage in STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_all_that_makes_a_stage_stale_is_written(stage: str) -> None:
    """A new parameter of dvc.yaml: add it to tav/settings.py."""
    said = settings_of(PARAMS, stage, KEYS[stage])
    assert json.loads(json.dumps(said)) == said
    assert said["recipe"] == numbers()[stage]
    wanted = {name.partition(".")[0] for name in OF_DVC[stage]["do"]["params"] if isinstance(name, str)}
    assert wanted - {"videos", "edits"} <= said["sections"].keys()
    assert f"artifacts/{stage}/${{key}}/settings.json" in OF_DVC[stage]["do"]["outs"]


def test_every_stage_of_a_video_or_an_edit_writes_them() -> None:
    assert {stage for stage, entry in OF_DVC.items() if "foreach" in entry} == set(STAGES)


def test_own_settings_lie_over_the_sections() -> None:
    data = read_yaml(ROOT / "params.yaml")
    data["videos"]["red-car"]["tune"] = {"steps": 7}
    data["edits"]["red-car--blue"] |= {"seed": 5, "from": "noise"}
    said = check(data)
    assert settings_of(said, "tune", "red-car")["sections"]["tune"]["steps"] == 7
    edit = settings_of(said, "edit", "red-car--blue")
    assert (edit["sections"]["edit"]["seed"], edit["sections"]["edit"]["from"]) == (5, "noise")
    assert edit["asked"] == {"video": "red-car", "prompt": "a blue car on a road", "kind": None, "variant": None}
    assert settings_of(said, "extract", "red-car")["asked"] == {"path": "videos/red-car.mp4"}
    assert settings_of(said, "caption", "red-car")["asked"] == {"caption": "a red car on a road"}
    assert set(edit["versions"]) == {"tav", "torch", "diffusers", "transformers"}
