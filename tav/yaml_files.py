"""A YAML file as plain data: what is hostile or broken in it is told in one line, and takes no time or memory."""

import copy
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tav.complaints import UserError, one_line, quoted

MORE = 100_000
"""Values that aliases may add to those that are written out."""
DEEPEST = 50
"""Values inside of one another."""
ODD = re.compile(r"^ {50}|(?:[\[{?-] *){9}|(?:[:-] |^ *)[&*]\w", re.MULTILINE)
"""What may be deep or unfold: no dvc.lock has it, but for a text that looks so."""


def read(path: Path) -> Any:
    """A YAML 1.2 file as plain data. (PyYAML reads 1.1, where 4e-4 is a string.) Raises UserError."""
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a pipe or a device"
            raise UserError(f"{path} is {kind}, where a YAML file is expected: put the file in its place")
        return copy.deepcopy(_parsed(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"no {path.name} in {path.absolute().parent}: run this in the project's folder") from None
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
    except UserError:
        raise
    except Exception as error:  # a broken file breaks the parser anywhere
        raise UserError(f"{path.name} is not YAML: {_reason(error)}") from None


@lru_cache(maxsize=8)  # a stage reads its few files more than ten times, mostly to see that they are as they were
def _parsed(text: bytes) -> Any:
    """A file's text as plain data, for no caller to change."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    yaml.max_depth = DEEPEST  # at once: deep flows take ruamel quadratic time
    return yaml.load(text)


def read_quickly(path: Path) -> Any:
    """As `read`, by libyaml where it is there, which takes a tenth of the time. For what a program wrote in blocks.

    What is not so plain, or broken, `read` reads. Raises UserError.
    """
    with suppress(Exception):  # whatever is wrong, `read` says it
        text = path.read_text(encoding="utf-8")
        if not ODD.search(text):  # libyaml goes as deep as the file does
            return YAML(typ="safe").load(text)
    return read(path)


class _Constructor(SafeConstructor):
    """ruamel's own, which looks at the nodes before it makes values of them, and says where a value is wrong."""

    def get_single_data(self) -> Any:
        node = self.composer.get_single_node()
        if node is None:
            return None
        known: dict[int, tuple[int, int]] = {}
        unfolded, _ = _measure(node, known)
        if unfolded > len(known) + MORE:
            raise ConstructorError(
                None, None, f"its aliases unfold to more than {len(known) + MORE} values", node.start_mark
            )
        return self.construct_document(node)

    def construct_non_recursive_object(self, node: Node, tag: str | None = None) -> Any:
        try:
            return super().construct_non_recursive_object(node, tag=tag)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            kind = str(node.tag).rpartition(":")[2]
            got = quoted(node.value) if isinstance(node, ScalarNode) else "this"
            problem = f"{got} can't be read as {kind}: put it in quotes if it is a text"
            raise ConstructorError(None, None, problem, node.start_mark) from None


def _measure(node: Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node stands for with its aliases written out, and how deep they lie. Raises ConstructorError.

    known: those of the nodes that have been measured, by id; takes them up.
    """
    if id(node) in known:
        count, depth = known[id(node)]
        if not count:
            raise ConstructorError(None, None, "an alias stands inside of what it stands for", node.start_mark)
        return count, depth
    known[id(node)] = (0, 0)
    inside: list[Node] = []
    if isinstance(node, SequenceNode):
        inside = node.value
    elif isinstance(node, MappingNode):
        inside = [part for pair in node.value for part in pair]
    measured = [_measure(part, known) for part in inside]
    count, depth = 1 + sum(n for n, _ in measured), 1 + max((d for _, d in measured), default=0)
    if depth > DEEPEST:
        raise ConstructorError(None, None, f"nested more than {DEEPEST} levels deep", node.start_mark)
    known[id(node)] = (count, depth)
    return count, depth


def _reason(error: Exception) -> str:
    """What is wrong and where."""
    if isinstance(error, RecursionError) or type(error).__name__ == "MaxDepthExceededError":
        return f"nested more than {DEEPEST} levels deep"
    if not isinstance(error, MarkedYAMLError):
        return one_line(str(error), 200)
    mark = error.problem_mark or error.context_mark
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return one_line(error.problem or error.context or "broken", 200) + place
