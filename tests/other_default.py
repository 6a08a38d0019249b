"""A version of tav that has another default."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tav.params import Params, Section


@contextmanager
def default(section: type[Section], knob: str, value: Any) -> Iterator[None]:
    """As if tav had that default for a knob of a section."""
    before = section.model_fields[knob].default
    _set_default(section, knob, value)
    try:
        yield
    finally:
        _set_default(section, knob, before)


def _set_default(section: type[Section], knob: str, value: Any) -> None:
    section.model_fields[knob].default = value
    for model in (section, Params):
        model.model_rebuild(force=True)
