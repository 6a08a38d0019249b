"""A hostile params.yaml: never another error than one line that names all that is wrong, and what is right is read."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from trials.hostile import SNIPPETS, fitting, knobs, names, refused, refused_names
from trials.trial import Ended

from tav.params import UserError, check, load, read_yaml

SHIPPED = Path(__file__).parents[2] / "params.yaml"
KNOBS = list(knobs())
BATCH = 50
"""Examples in a trial, at most."""


class Settings:
    """Batches of examples, by number: of values, of names, of a broken text."""

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        """count: of examples, in all."""
        self.folder, self.seed = folder, seed
        self.batch = min(BATCH, max(1, count // len(KINDS)))
        self.names = list(map(str, range(count // self.batch)))
        self.whole = read_yaml(SHIPPED)
        self.whole["videos"] = {"v": {"path": "v.mp4", "caption": "a cat", "extract": {}, "tune": {}}}
        self.whole["edits"] = {"e": {"video": "v", "prompt": "a dog"}}

    def trial(self, name: str) -> Ended:
        kind = list(KINDS)[int(name) % len(KINDS)]
        count = [0]

        @seed(f"{self.seed} {name}")
        @settings(
            max_examples=self.batch,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def examples(data: st.DataObject) -> None:
            KINDS[kind](self, data)
            count[0] += 1

        try:
            examples()
        except Exception as error:
            return Ended(f"params.yaml: {kind}", f"{type(error).__name__}: {error}"[:2000], tried=self.batch)
        return Ended(f"params.yaml: {kind}", tried=count[0])

    def values(self, data: st.DataObject) -> None:
        """Several knobs have values that fit or don't: all that don't are named."""
        chosen = data.draw(st.lists(st.sampled_from(KNOBS), min_size=1, max_size=3, unique_by=lambda k: k.path[:3]))
        params, wrong = copy.deepcopy(self.whole), []
        for knob in chosen:
            good = fitting(knob.schema)
            if good is not None and data.draw(st.booleans()):
                _put(params, knob.path, data.draw(good))
            else:
                _put(params, knob.path, data.draw(refused(knob.schema)))
                wrong.append(knob.place)
        strange = data.draw(st.lists(refused_names, max_size=2, unique=True))
        params["compute"] |= dict.fromkeys(strange, 1)
        if empty := data.draw(st.sampled_from([None, None, None, "extract", "tune", "edit"])):
            params[empty] = data.draw(st.sampled_from([None, [], "x", 1]))
            wrong = [place for place in wrong if place.partition(".")[0] != empty] + [empty]
        said = told(lambda: check(params))
        assert said.count("unknown key") >= len(strange), said
        for place in wrong:
            assert place in said, f"{place} is wrong and not told: {said}"
        if not said and data.draw(st.integers(0, 4)) == 0:
            assert not told(partial(self._read_back, params)), "what is right could not be read from a file"

    def keys(self, data: st.DataObject) -> None:
        """Names of videos and edits: those of any script are taken, all others are told at once."""
        params = copy.deepcopy(self.whole)
        good, bad = data.draw(names), data.draw(st.lists(refused_names, max_size=3, unique=True))
        params["videos"] |= dict.fromkeys((good, *bad), params["videos"]["v"])
        params["edits"] |= {name: {"video": "v", "prompt": "x"} for name in (good, *bad)}
        said = told(lambda: check(params))
        assert said.count("can't be a name") == 2 * len(bad), said
        if not bad:
            assert not said, said
            self._read_back(params)

    def text(self, data: st.DataObject) -> None:
        """The text of the file is broken anywhere."""
        text = SHIPPED.read_text()
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(text)))
            end = at + data.draw(st.sampled_from([0, 1, 10, 300]))
            text = text[:at] + data.draw(st.one_of(st.sampled_from(SNIPPETS), st.text(max_size=10))) + text[end:]
        path = self.folder / "broken.yaml"
        path.write_bytes(text.encode(errors="surrogatepass"))
        told(lambda: load(path))

    def _read_back(self, params: dict[str, Any]) -> None:
        path = self.folder / "params.yaml"
        with path.open("w", encoding="utf-8") as file:
            YAML().dump(params, file)
        assert read_yaml(path) == params
        load(path)


KINDS: dict[str, Callable[[Settings, st.DataObject], None]] = {
    "values": Settings.values,
    "names": Settings.keys,
    "broken text": Settings.text,
}


def told(read: Callable[[], object]) -> str:
    """The error of a reader: one line that a terminal may show. "": it found none."""
    try:
        read()
    except UserError as error:
        said = str(error)
        assert said.isprintable() or all(c.isprintable() or c in "\u200c\u200d" for c in said), repr(said)
        assert len(said) < 5000, f"an error of {len(said)} characters"
        return said
    return ""


def _put(params: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *tables, last = path
    inside = params
    for name in tables:
        inside = inside.setdefault(name, {})
    inside[last] = value
