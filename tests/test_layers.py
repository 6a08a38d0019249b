"""Imports keep to the layers. Read from the source with ast."""

import ast
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tav.record.provenance import RECORDED

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
RUNNER = {"tav/stages/__init__.py"}
"""What a stage tells its runner with. It has no say in what a stage makes."""
FILES = sorted(
    file.relative_to(ROOT).as_posix()
    for top in ("tav", "flows", "emoji_world")
    for file in ROOT.joinpath(top).rglob("*.py")
)


def file_of(module: str) -> str | None:
    """tav.model.inflation -> tav/model/inflation.py; None when it is not ours."""
    path = module.replace(".", "/")
    return next((f for f in (f"{path}.py", f"{path}/__init__.py") if f in FILES), None)


@cache
def modules_of(file: str) -> frozenset[str]:
    """Every module that a file imports, at its top or in a function; not what only type checkers read."""
    found = set()
    for node in _running(ast.parse(ROOT.joinpath(file).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def _running(tree: ast.AST) -> list[ast.AST]:
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        return [node for child in tree.orelse for node in _running(child)]
    return [tree, *(node for child in ast.iter_child_nodes(tree) for node in _running(child))]


def ours(file: str) -> set[str]:
    """Our files that a file imports, with the packages that they lie in, where those hold any code."""
    names = {".".join(m.split(".")[:n]) for m in modules_of(file) for n in range(1, m.count(".") + 2)}
    return {f for name in names if (f := file_of(name)) and _has_code(f)} - {file}


@cache
def _has_code(file: str) -> bool:
    body = ast.parse(ROOT.joinpath(file).read_text()).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def reached(file: str) -> set[str]:
    """All our files that run when a file does."""
    found, new = set(), {file}
    while new:
        found |= new
        new = set().union(*map(ours, new)) - found
    return found


def test_what_is_on_record_of_compute() -> None:
    """tav.record.provenance tells rows apart by what dvc.yaml has as parameters."""
    for stage in ("tune", "invert", "edit"):
        names = {name for name in STAGES[stage]["do"]["params"] if "compute" in name}
        assert names == {f"compute.{name}" for name in RECORDED}


LAYERS = {  # who may import which of ours: the longest name that fits a file is its layer
    "emoji_world": {"emoji_world", "tav.model", "tav.metrics", "tav.video", "tav.artifacts", "tav.params"},
    "flows": {
        "flows",
        "tav.running.ending",
        "tav.running.lockfile",
        "tav.params",
        "tav.complaints",
        "tav.record",
        "tav.metric_table",
    },
    "tav.__main__": {
        "flows.__main__",
        "tav.commands",
        "tav.stages",
        "tav.running",
        "tav.recipe",
        "tav.record",
        "tav.params",
        "tav.complaints",
        "tav.artifacts",
    },
    "tav.commands": {
        "tav.commands",
        "flows.dag",
        "flows.dvc_api",
        "tav.budget",
        "tav.from_params",
        "tav.controls_from_params",
        "tav.hashes",
        "tav.loaded_base",
        "tav.comparison",
        "tav.metric_table",
        "tav.model",
        "tav.record",
        "tav.recipe",
        "tav.running.holder",
        "tav.studio.server",
        "tav.video",
        "tav.artifacts",
        "tav.params",
        "tav.complaints",
    },
    "tav.studio": {
        "tav.studio",
        "flows.dag",
        "flows.ends",
        "flows.process",
        "flows.repro",
        "tav.commands",
        "tav.stages",
        "tav.video",
        "tav.params_schema",
        "tav.params",
        "tav.complaints",
    },
    "tav.record": {
        "tav.record",
        "tav.settings",
        "tav.running",
        "tav.stages",
        "tav.metric_table",
        "tav.artifacts",
        "tav.params",
    },
    "tav.running.stage": {
        "tav.running",
        "tav.settings",
        "tav.artifacts",
        "tav.model.device",
        "tav.record",
        "tav.stages",
        "tav.recipe",
        "tav.params",
    },
    "tav.running.resident": {"tav.running", "tav.model.holding"},
    "tav.running": {"tav.running", "tav.hashes", "tav.artifacts", "tav.recipe", "tav.params", "tav.complaints"},
    "tav.stages": {
        "tav.stages",
        "tav.budget",
        "tav.from_params",
        "tav.controls_from_params",
        "tav.loaded_base",
        "tav.model",
        "tav.video",
        "tav.measuring",
        "tav.metrics",
        "tav.comparison",
        "tav.metric_table",
        "tav.hashes",
        "tav.settings",
        "tav.artifacts",
        "tav.params",
    },
    "tav.controls_from_params": {"tav.model", "tav.params"},
    "tav.budget": {"tav.budget", "tav.from_params", "tav.loaded_base", "tav.model", "tav.params"},
    "tav.loaded_base": {"tav.hashes", "tav.model", "tav.params"},
    "tav.from_params": {"tav.steps_from_params", "tav.loaded_base", "tav.model", "tav.params"},
    "tav.steps_from_params": {"tav.loaded_base", "tav.model", "tav.params"},
    "tav.model": {"tav.model"},
    "tav.measuring": {
        "tav.measuring",
        "tav.model.holding",
        "tav.model.device",
        "tav.metrics",
        "tav.artifacts",
        "tav.recipe",
        "tav.params",
    },
    "tav.metrics": {"tav.metrics"},
    "tav.comparison": {"tav.metric_table", "tav.artifacts", "tav.params"},
    "tav.metric_table": set(),
    "tav.video": {"tav.video", "tav.params", "tav.artifacts"},
    "tav.artifacts": {"tav.params"},
    "tav.hashes": {"tav.params"},
    "tav.settings": {"tav.params", "tav.recipe"},
    "tav.recipe": {"tav.params"},
    "tav.params_schema": {"tav.artifacts", "tav.params"},
    "tav.params": {"tav.params", "tav.complaints", "tav.yaml_files", "tav.model.tune_settings"},
    "tav.yaml_files": {"tav.complaints"},
    "tav.complaints": set(),
}
ONLY = {
    "prefect": (
        "flows.pipeline",
        *(f"flows.remote.{n}" for n in ["driver", "gathering", "handing_out", "page", "server", "worker"]),
    ),
    "mlflow": ("tav.record",),
    "decord": ("tav.video",),
    "av": ("tav.video",),
}


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("file", FILES)
def test_imports_keep_to_the_layers(file: str) -> None:
    module, used = module_of(file), {module_of(f) for f in ours(file)}
    if module != "tav":  # the package itself is empty
        layer = next((name for name in LAYERS if within(module, name)), None)
        assert layer, f"{module} has no layer: name it in LAYERS"
        strangers = {u for u in used if not any(within(u, allowed) for allowed in LAYERS[layer])}
        assert not strangers, f"{layer} may not import {sorted(strangers)}"
    if within(module, "tav.stages"):
        assert not used & {f"tav.stages.{stage}" for stage in STAGES}, "stages meet through files alone"
    if not within(module, "emoji_world"):
        assert not {u for u in used if within(u, "emoji_world")}, "the shipped world is not part of the method"


@pytest.mark.parametrize("file", FILES)
def test_a_library_has_one_home(file: str) -> None:
    tops = {module.split(".")[0] for module in modules_of(file)}
    for library, homes in ONLY.items():
        world = library == "av" and within(module_of(file), "emoji_world")
        at_home = any(within(module_of(file), home) for home in homes)
        assert library not in tops or at_home or world, f"only {', '.join(homes)} imports {library}"
    if file.startswith("flows/"):
        assert not tops & {"torch", "diffusers", "transformers", "mlflow"}
    if file.startswith(("tav/stages/", "tav/model/", "tav/latents", "tav/metrics")):
        assert not tops & {"dvc", "prefect", "mlflow"}
