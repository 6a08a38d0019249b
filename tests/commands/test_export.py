"""`tav export`: a folder of an edit, from which the edit can be made again."""

import json
from pathlib import Path

import numpy as np
import pytest

from tav.artifacts import artifact, read_frames, write_frames, write_json
from tav.commands.export import export
from tav.params import Params, UserError, load, read_yaml

ROOT = Path(__file__).parents[2]
EDIT = "red-car--blue"


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The shipped settings, in a project where one edit looks as if it was made."""
    monkeypatch.chdir(tmp_path)
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    write_frames(artifact("edit", EDIT, "frames"), frames)
    for name in ("video.mp4", "preview.gif", "sheet.png"):
        artifact("edit", EDIT, name).write_text(name)
    write_json(artifact("edit", EDIT, "edit.json"), {"prompt": "a blue car on a road"})
    write_json(artifact("evaluate", EDIT, "metrics.json"), {"edit": {}, "source": {}})
    artifact("tune", "red-car").mkdir(parents=True)
    artifact("tune", "red-car", "weights.safetensors").write_text("weights")
    return load(ROOT / "params.yaml")


def test_an_edit_and_the_settings_that_made_it(params: Params) -> None:
    (said,) = export(params, EDIT, Path("out"))
    assert EDIT in said
    assert {path.name for path in Path("out").iterdir()} == {
        *("video.mp4", "preview.gif", "sheet.png", "frames", "edit.json"),
        *("metrics.json", "weights.safetensors", "params.yaml"),
    }
    assert read_frames(Path("out/frames")).shape == (2, 8, 8, 3)
    assert json.loads(Path("out/edit.json").read_text())["prompt"] == "a blue car on a road"
    again = load(Path("out/params.yaml"))
    assert (list(again.videos), list(again.edits)) == (["red-car"], [EDIT])
    assert again.edit_of(EDIT) == params.edit_of(EDIT)
    assert again.tune_of("red-car") == params.tune_of("red-car")
    assert read_yaml(Path("out/params.yaml"))["edits"][EDIT] == {"video": "red-car", "prompt": "a blue car on a road"}


def test_what_is_refused(params: Params) -> None:
    with pytest.raises(UserError, match="no edit 'red-car--bleu'; did you mean 'red-car--blue'"):
        export(params, "red-car--bleu", Path("out"))
    with pytest.raises(UserError, match="run `dvc repro edit@red-car--mushroom` first"):
        export(params, "red-car--mushroom", Path("out"))
    assert not Path("out").exists()
    Path("out").mkdir()
    with pytest.raises(UserError, match="out is there already"):
        export(params, EDIT, Path("out"))
