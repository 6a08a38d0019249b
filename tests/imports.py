"""Which of our files imports which, read from the source with ast."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(
    file.relative_to(ROOT).as_posix()
    for top in ("tav", "flows", "emoji_world")
    for file in ROOT.joinpath(top).rglob("*.py")
)


def module_of(file: str) -> str:
    """tav/model/inflation.py -> tav.model.inflation, tav/model/__init__.py -> tav.model."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(file: str) -> str:
    """The folder of a file, flows/ and emoji_world/ as wholes; a file right under tav/ is a room by itself."""
    parts = module_of(file).split(".")
    return ".".join(parts[: 2 if parts[0] == "tav" else 1])


def file_of(module: str) -> str | None:
    """tav.model.inflation -> tav/model/inflation.py; None when it is not ours."""
    path = module.replace(".", "/")
    return next((f for f in (f"{path}.py", f"{path}/__init__.py") if f in FILES), None)


@cache
def modules_of(file: str) -> frozenset[str]:
    """Every module that a file imports, at its top or in a function; not what only type checkers read."""
    found = set()
    for node in _running(_tree(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def froms(file: str) -> set[tuple[str, str]]:
    """The names that a file imports from modules: (module, name)."""
    nodes = [node for node in ast.walk(_tree(file)) if isinstance(node, ast.ImportFrom)]
    return {(node.module or "", alias.name) for node in nodes for alias in node.names}


def is_there(module: str, name: str) -> bool:
    """Whether one of our modules binds a name, or has a module of that name in it."""
    file = file_of(module)
    return file_of(f"{module}.{name}") is not None or (file is not None and name in _bound(file))


@cache
def _bound(file: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return found


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse(ROOT.joinpath(file).read_text())


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        yield node
        for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        nodes += node.orelse if for_types else ast.iter_child_nodes(node)


def named(file: str) -> set[str]:
    """Our files that a file names in its imports."""
    return {found for module in modules_of(file) if (found := file_of(module)) and _has_code(found)} - {file}


def ours(file: str) -> set[str]:
    """The same, with the packages that they lie in, where those hold any code."""
    names = {".".join(m.split(".")[:n]) for m in modules_of(file) for n in range(1, m.count(".") + 2)}
    return {f for name in names if (f := file_of(name)) and _has_code(f)} - {file}


@cache
def _has_code(file: str) -> bool:
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in _tree(file).body)


def reached(file: str) -> set[str]:
    """All our files that run when a file does."""
    found, new = set(), {file}
    while new:
        found |= new
        new = set().union(*map(ours, new)) - found
    return found


def rooms() -> dict[str, set[str]]:
    """Room -> the other rooms that it imports from."""
    found: dict[str, set[str]] = {}
    for file in FILES:
        if _has_code(file):
            found.setdefault(room_of(file), set()).update(map(room_of, named(file)))
    return {room: used - {room} for room, used in found.items()}
