"""Imports keep to the layers, and none goes in a circle."""

from graphlib import TopologicalSorter
from itertools import compress

from imports import FILES, ROOT, froms, is_there, module_of, modules_of, named, ours, rooms
from ruamel.yaml import YAML
from structure import PICTURE, drawing

from tav.record.provenance import RECORDED

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


def test_what_is_on_record_of_compute() -> None:
    """tav.record.provenance tells rows apart by what dvc.yaml has as parameters."""
    for stage in ("tune", "invert", "edit"):
        names = {name for name in STAGES[stage]["do"]["params"] if "compute" in name}
        assert names == {f"compute.{name}" for name in RECORDED}


OTHERS = ("benchmarks", "docs", "tests")
LAYERS = {  # who may import which of ours: the longest name that fits a file is its layer
    "emoji_world": {"emoji_world", "tav.model", "tav.video", "tav.artifacts", "tav.params"},
    "flows": {
        "flows",
        "tav.processes",
        "tav.params",
        "tav.complaints",
        "tav.record",
        "tav.metrics.table",
    },
    "tav.__main__": {
        "flows.__main__",
        "tav.commands",
        "tav.stages",
        "tav.running",
        "tav.recipe",
        "tav.record",
        "tav.studio.server",
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
        "tav.hashes",
        "tav.settings",
        "tav.metrics.comparison",
        "tav.metrics.table",
        "tav.model",
        "tav.record",
        "tav.recipe",
        "tav.processes",
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
        "tav.processes",
        "tav.stages",
        "tav.metrics.table",
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
    "tav.running.resident": {"tav.running", "tav.processes", "tav.model.holding"},
    "tav.running": {
        "tav.running",
        "tav.processes",
        "tav.hashes",
        "tav.artifacts",
        "tav.recipe",
        "tav.params",
        "tav.complaints",
    },
    "tav.stages": {
        "tav.stages",
        "tav.budget",
        "tav.from_params",
        "tav.model",
        "tav.video",
        "tav.metrics",
        "tav.hashes",
        "tav.settings",
        "tav.artifacts",
        "tav.params",
    },
    "tav.budget": {"tav.budget", "tav.from_params", "tav.model", "tav.params"},
    "tav.from_params": {"tav.from_params", "tav.hashes", "tav.model", "tav.params"},
    "tav.model": {"tav.model"},
    "tav.metrics.formulas": set(),
    "tav.metrics.table": set(),
    "tav.metrics.comparison": {"tav.metrics.table", "tav.artifacts", "tav.params"},
    "tav.metrics": {
        "tav.metrics",
        "tav.model.holding",
        "tav.model.device",
        "tav.artifacts",
        "tav.recipe",
        "tav.params",
    },
    "tav.video": {"tav.video", "tav.params", "tav.artifacts"},
    "tav.artifacts": {"tav.params"},
    "tav.hashes": {"tav.params"},
    "tav.settings": {"tav.params", "tav.recipe"},
    "tav.recipe": {"tav.params"},
    "tav.params_schema": {"tav.artifacts", "tav.params"},
    "tav.params": {"tav.params", "tav.complaints", "tav.yaml_files", "tav.model.tune_settings"},
    "tav.yaml_files": {"tav.complaints"},
    "tav.processes": {"tav.processes"},
    "tav.complaints": set(),
}
ONLY = {
    "prefect": (
        "flows.local",
        *(f"flows.remote.{n}" for n in ["driver", "gathering", "handing_out", "page", "server", "worker"]),
    ),
    "mlflow": ("tav.record",),
    "decord": ("tav.video",),
    "av": ("tav.video",),
}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_no_circle() -> None:
    """Neither of files nor of rooms. CycleError names who is in it."""
    TopologicalSorter({file: named(file) for file in FILES}).prepare()
    TopologicalSorter(rooms()).prepare()


def test_the_picture_of_the_rooms_is_of_today() -> None:
    assert PICTURE.read_text(encoding="utf-8") == drawing(), "run `python tests/structure.py`"


def test_what_is_imported_is_there() -> None:
    """Also by the benchmarks, the documents' scripts and the tests, which no type checker reads."""
    others = [path.relative_to(ROOT).as_posix() for top in OTHERS for path in ROOT.joinpath(top).rglob("*.py")]
    tops = {file.partition("/")[0] for file in FILES}
    wanted = [(file, *one) for file in [*FILES, *others] for one in froms(file) if one[0].partition(".")[0] in tops]
    missing = [not is_there(module, name) for _, module, name in wanted]
    assert not [f"{file} imports {name} from {module}" for file, module, name in compress(wanted, missing)]


def test_imports_keep_to_the_layers() -> None:
    assert not [problem for file in FILES if file != "tav/__init__.py" for problem in _out_of_layer(file)]


def _out_of_layer(file: str) -> list[str]:
    """What is wrong with the imports of a file, a line each."""
    module, used = module_of(file), {module_of(f) for f in ours(file)}
    layer = next((name for name in LAYERS if within(module, name)), None)
    if layer is None:
        return [f"{module} has no layer: name it in LAYERS"]
    problems = [
        f"{module}: {layer} may not import {name}"
        for name in sorted(used)
        if not any(within(name, allowed) for allowed in LAYERS[layer])
    ]
    if within(module, "tav.stages") and used & {f"tav.stages.{stage}" for stage in STAGES}:
        problems.append(f"{module}: stages meet through files alone")
    if not within(module, "emoji_world") and any(within(name, "emoji_world") for name in used):
        problems.append(f"{module}: the shipped world is not part of the method")
    return problems


def test_a_library_has_one_home() -> None:
    assert not [problem for file in FILES for problem in _away_from_home(file)]


def _away_from_home(file: str) -> list[str]:
    """Libraries that a file may not import, a line each."""
    module, tops = module_of(file), {name.split(".")[0] for name in modules_of(file)}
    strangers = {
        library
        for library, homes in ONLY.items()
        if library in tops and not any(within(module, home) for home in homes)
    }
    if within(module, "emoji_world"):  # its samples are videos
        strangers -= {"av"}
    if file.startswith("flows/"):
        strangers |= tops & {"torch", "diffusers", "transformers", "mlflow"}
    if file.startswith(("tav/stages/", "tav/model/", "tav/metrics/")):
        strangers |= tops & {"dvc", "prefect", "mlflow"}
    return [f"{module} may not import {library}" for library in sorted(strangers)]
