"""A change of code that makes results asks for a decision; a comment asks for nothing."""

import ast
from pathlib import Path

import pytest
from imports import ROOT
from recipe_code import RECORD, code_of, syntax_of, tree_of
from ruamel.yaml import YAML
from test_layers import STAGES

from tav import recipe
from tav.params import UserError

NUMBERS = YAML(typ="safe").load(ROOT / "tav/recipe.yaml")
RECORDED = YAML(typ="safe").load(RECORD)


@pytest.mark.parametrize("stage", STAGES)
def test_a_change_of_code_was_decided_on(stage: str) -> None:
    assert {"number": NUMBERS[stage], "code": code_of(stage)} == RECORDED[stage], (
        f"code that {stage} runs was changed. Do its results change? Raise its number in tav/recipe.yaml and "
        "recipe.yaml, and write the line in CHANGELOG.md. Then, or when they don't: python tests/recipe_code.py"
    )


def test_this_projects_numbers_are_tavs() -> None:
    assert YAML(typ="safe").load(ROOT / "recipe.yaml") == NUMBERS
    assert list(NUMBERS) == list(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_has_the_number_as_a_parameter_and_no_code(stage: str) -> None:
    entry = STAGES[stage].get("do", STAGES[stage])
    assert {"recipe.yaml": [stage]} in entry["params"]
    assert not [dep for dep in entry["deps"] if dep.startswith(("tav/", "flows/"))]


def test_words_are_not_syntax() -> None:
    code = 'def f(x: int) -> int:\n    return x + 1\n\n\nRATE = 0.5\n"""A rate."""\n'
    worded = f'"""A module."""\n# why\n{code.replace(": int:", ": int:", 1)}'.replace(
        "    return", '    """Doc."""\n    return'
    )
    assert syntax_of(code) == syntax_of(worded)


def test_every_constant_of_the_inflation_counts() -> None:
    code = (ROOT / "tav/model/inflation.py").read_text()
    tree, whole = tree_of(code), syntax_of(code)
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert len(constants) > 20
    for constant in constants:
        kept, constant.value = constant.value, "another"
        assert ast.dump(tree) != whole, ast.unparse(constant)
        constant.value = kept


def test_a_project_with_other_numbers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"this project has tune without a number.*`tav upgrade`"):
        recipe.number_of("tune")
    (tmp_path / "recipe.yaml").write_text((ROOT / "recipe.yaml").read_text())
    assert recipe.number_of("tune") == NUMBERS["tune"]
    (tmp_path / "recipe.yaml").write_text("tune: 0\n")
    with pytest.raises(UserError, match=rf"has tune 0, this tav has {NUMBERS['tune']}.*`tav upgrade`"):
        recipe.number_of("tune")
    (tmp_path / "recipe.yaml").write_text("just words\n")
    with pytest.raises(UserError, match="expected a number for each stage"):
        recipe.number_of("tune")
