"""`tav remove`: a video with its edits, or one edit, and no other line."""

from pathlib import Path

import pytest

from tav.commands.remove import remove
from tav.params import UserError, load


def test_an_edit(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    said = remove("red-car--mushroom")
    after = (project / "params.yaml").read_text()
    assert after == before.replace("  red-car--mushroom:\n    video: red-car\n    prompt: a mushroom on a road\n", "")
    assert said[0] == "removed edit red-car--mushroom: a mushroom on a road"
    assert "dvc gc" in said[-1]


def test_a_video_goes_with_its_edits(project: Path) -> None:
    before = load()
    said = remove("red-car")
    after = load()
    assert set(before.videos) - set(after.videos) == {"red-car"}
    assert set(before.edits) - set(after.edits) == {"red-car--blue", "red-car--mushroom"}
    assert "its file stays: videos/red-car.mp4" in said[0]
    for name in list(after.videos):
        remove(name)
    assert (load().videos, load().edits) == ({}, {})
    assert "# How to make it." in (project / "params.yaml").read_text()


def test_unknown_and_ambiguous_names(project: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'red-car'"):
        remove("red-cat")
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("  red-car--blue:", "  yellow-cat:"))
    before = params.read_text()
    with pytest.raises(UserError, match="both a video and an edit"):
        remove("yellow-cat")
    assert params.read_text() == before
