from collections.abc import Iterator
from pathlib import Path

import pytest
from report_project import make_report_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with its page made."""
    folder = tmp_path_factory.mktemp("a project")  # a space in the path, as people have
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_report_project()
        yield folder


@pytest.fixture(scope="module")
def page(project: Path) -> Path:
    return project / "artifacts/report/index.html"
