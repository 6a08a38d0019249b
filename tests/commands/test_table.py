"""`tav table` shows prompts as they are."""

from pathlib import Path

import pytest

from tav import params
from tav.commands.table import print_table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("prompt", ["a [red] car", "a car [/]", "[bold]a car", "a :smile: face", "[link=x]car[/link]"])
def test_brackets_and_colons_are_no_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], prompt: str
) -> None:
    monkeypatch.chdir(tmp_path)
    data = params.read_yaml(ROOT / "params.yaml")
    data["videos"] = {"cat": {"path": "cat.mp4", "caption": "a cat", "extract": {}, "tune": {}}}
    data["edits"] = {"cat--car": {"video": "cat", "prompt": prompt}}
    print_table(params.check(data))
    assert prompt in capsys.readouterr().out
