"""A project with tiny models, the current folder of the test; frames and caption are made."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project import ignore, make_models, make_project

from tav.model.holding import HELD
from tav.params import Params, check
from tav.stages import caption, extract


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="package", autouse=True)
def resident() -> Iterator[None]:
    """The stages of a process share the base and what a step is expected to take, as in a resident worker."""
    HELD.on = True
    yield
    HELD.on = False


@pytest.fixture
def data(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """params.yaml's content, of a project that is the current folder."""
    made = make_project(tmp_path / "project", models, audio=True)
    monkeypatch.chdir(tmp_path / "project")
    return made


@pytest.fixture
def params(data: dict[str, Any]) -> Params:
    made = check(data)
    extract.run(made, "cat", ignore)
    caption.run(made, "cat", ignore)
    return made
