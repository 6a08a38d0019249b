"""The code that makes each stage's results: a hash of its syntax. `python tests/recipe_code.py` records it.

tests/test_recipe.py compares. When it fails, decide: do results change? Raise the stage's number in tav/recipe.yaml
and recipe.yaml, write the line in CHANGELOG.md, and record. They don't? Record.
"""

import ast
import hashlib
from pathlib import Path

from imports import ROOT, reached
from ruamel.yaml import YAML

RECORD = Path(__file__).with_name("recipe_code.yaml")
RUNNER = {"tav/stages/__init__.py"}
"""What a stage tells its runner with. It has no say in what a stage makes."""


def syntax_of(code: str) -> str:
    """A module's syntax tree as text, without comments, docstrings and places."""
    return ast.dump(tree_of(code))


def tree_of(code: str) -> ast.Module:
    """A module's syntax tree without docstrings, also those of attributes."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [n for n in body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    return tree


def code_of(stage: str) -> str:
    """A hash of all our code that runs when a stage does."""
    files = sorted(reached(f"tav/stages/{stage}.py") - RUNNER)
    assert len(files) > 3, files
    texts = [f"{file}\n{syntax_of(ROOT.joinpath(file).read_text())}" for file in files]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def record() -> None:
    numbers = YAML(typ="safe").load(ROOT / "tav/recipe.yaml")
    lines = [f"{stage}: {{number: {number}, code: '{code_of(stage)}'}}\n" for stage, number in numbers.items()]
    RECORD.write_text("# Written by `python tests/recipe_code.py`; its first lines say when.\n" + "".join(lines))


if __name__ == "__main__":
    record()
