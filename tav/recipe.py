"""The recipe numbers: what makes results stale when tav itself changes.

tav has a number for each stage (recipe.yaml beside this file). A project holds a copy, of which dvc.yaml makes a
parameter. So a user pays for a new tav only where its results differ.
"""

from functools import cache
from pathlib import Path

from tav.params import UserError, read_yaml

PROJECT = Path("recipe.yaml")
"""A project's copy of the numbers."""


@cache
def numbers() -> dict[str, int]:
    """This tav's number for each stage."""
    return dict(read_yaml(Path(__file__).with_name("recipe.yaml")))


def number_of(stage: str) -> int:
    """This tav's number for a stage that the current project holds too. Raises UserError where they differ."""
    there = of_project()
    if stage not in there or there[stage] != numbers()[stage]:
        raise UserError(
            f"this project has {stage} {there.get(stage, 'without a number')}, this tav has {numbers()[stage]} "
            f"({PROJECT}): run `tav upgrade`, which says first what will run again"
        )
    return there[stage]


def of_project() -> dict[str, int]:
    """The numbers in the current project's recipe.yaml; none where it has no such file. Raises UserError."""
    if not PROJECT.exists():
        return {}
    numbers_here = read_yaml(PROJECT)
    if not isinstance(numbers_here, dict):
        raise UserError(
            f"{PROJECT}: expected a number for each stage, got {str(numbers_here)[:80]!r}: run `tav upgrade`"
        )
    return numbers_here
