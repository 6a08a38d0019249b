"""`tav upgrade`: bring a project's files to those of this tav, and say first what runs again."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tav.artifacts import atomic
from tav.commands.init import SCHEMA, make_weights_folder, template
from tav.commands.old_keys import with_sources
from tav.commands.params_text import PARAMS, parse
from tav.params import UserError, check, read_yaml
from tav.recipe import numbers, of_project

FILES = ("dvc.yaml", "recipe.yaml")
NAME = str(PARAMS)
PACKAGE = Path(__file__).parents[1]


def upgrade(*, write: bool) -> list[str]:
    """Say what an upgrade changes and what will run again; do it where `write`. Raises UserError.

    A dvc.yaml that differs from tav's is kept as dvc.yaml.old.
    """
    read_yaml(PARAMS)  # says what is wrong with it
    fresh = {name: (template() / name).read_text(encoding="utf-8") for name in FILES}
    old = {name: Path(name).read_text(encoding="utf-8") if Path(name).exists() else "" for name in (*FILES, NAME)}
    renamed = with_sources(old[NAME])
    new = new_sections(renamed, (template() / NAME).read_text(encoding="utf-8"))
    fresh[NAME] = renamed + "".join(new.values())
    check(parse(fresh[NAME]))
    if Path(SCHEMA).exists():
        _put({SCHEMA: (PACKAGE / SCHEMA).read_text(encoding="utf-8")})
    if fresh == old:
        return ["this project is up to date with this tav"]
    before = of_project()
    lines = [
        f"{stage}: {before.get(stage, 'no number')} -> {number}"
        for stage, number in numbers().items()
        if before.get(stage) != number
    ]
    if fresh["dvc.yaml"] != old["dvc.yaml"]:
        lines.append("dvc.yaml: another one than this tav's; yours is kept as dvc.yaml.old")
    if renamed != old[NAME]:
        lines.append(f"{NAME}: path, hub_id and revision of a model become one key, source")
    lines += [f"{NAME}: {name} is new, at its end" for name in new]
    if write:
        make_weights_folder(Path())
    with _in_place(fresh, old, keep=write):
        lines.append(f"will run again: {_stale()}")
    return [*lines, "upgraded: now run `dvc repro`" if write else "nothing was changed: `tav upgrade --yes` does it"]


def new_sections(text: str, shipped: str) -> dict[str, str]:
    """What the shipped params.yaml has and a project's lacks, as text: dvc.yaml names each of them as a parameter."""
    names = [name for name in parse(shipped) if name not in parse(text)]
    blocks = re.split(r"^(?=[a-z])", shipped, flags=re.MULTILINE)
    missing = {name: next(block for block in blocks if block.startswith(f"{name}:")) for name in names}
    gap = "" if text.endswith("\n") else "\n"
    return {name: gap * (i == 0) + block for i, (name, block) in enumerate(missing.items())}


@contextmanager
def _in_place(fresh: dict[str, str], old: dict[str, str], *, keep: bool) -> Iterator[None]:
    """The new files lie in their places, so that DVC can be asked; afterwards the old ones again, unless `keep`."""
    done = False
    try:
        _put(fresh)
        yield
        done = keep
    finally:
        if not done:
            _put(old)
    if done and old["dvc.yaml"] not in ("", fresh["dvc.yaml"]):
        _put({"dvc.yaml.old": old["dvc.yaml"]})


def _put(files: dict[str, str]) -> None:
    for name, text in files.items():
        if text:
            with atomic(Path(name)) as path:
                path.write_text(text, encoding="utf-8")
        else:
            Path(name).unlink(missing_ok=True)


def _stale() -> str:
    """What is not up to date, as in "12 of 12 stages (extract 3, tune 3, ...)"."""
    from flows import dag

    try:
        needs = dag.needs(dag.read())
    except UserError as error:
        return f"not known ({error})"
    names = [name for name, need in needs.items() if need != "up to date"]
    kinds = Counter(name.partition("@")[0] for name in names)
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
    return f"{len(names)} of {len(needs)} stages ({counts})" if names else "nothing"
