"""dvc.yaml's graph: its stages in order, what DVC finds stale, and `meta:` of a stage. Asks DVC, starts nothing."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import TopologicalSorter
from types import ModuleType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tav.complaints import nearest, quoted
from tav.params import UserError

Need = Literal["up to date", "stale", "maybe"]
"""maybe: fresh itself, but something before it is not. DVC decides when that is done."""


class Meta(BaseModel):
    """`meta:` of a stage. What else stands there is left alone."""

    model_config = ConfigDict(frozen=True, strict=True)

    pool: Literal["cpu", "gpu"] = "cpu"
    retries: int = Field(default=0, ge=0, le=100)
    """More tries, for what another try can cure."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds."""


class Stage(BaseModel):
    """A stage of dvc.yaml, or a file that DVC tracks (`videos/red-car.mp4.dvc`)."""

    model_config = ConfigDict(frozen=True)

    name: str
    """As DVC says it: `tune@man-skiing`, `report`."""
    upstream: frozenset[str]
    changed: str
    """What DVC finds changed, in words. Empty: nothing."""
    meta: Meta = Meta()

    @property
    def group(self) -> str:
        """`tune` of `tune@man-skiing`."""
        return self.name.partition("@")[0]


def read(targets: Iterable[str] = ()) -> list[Stage]:
    """The stages of the project in the current folder, what a stage needs before it.

    targets: names (`tune@man-skiing`) or groups (`tune`); they and all that they need. None: all stages.
    Raises UserError: an unknown target, a graph that DVC can't read, another DVC at work on it.
    """
    with _asked() as dvc, dvc.repository() as repo, dvc.held(repo):
        graph = dvc.graph(repo)
        if all(name.endswith(".dvc") for name in graph):
            raise UserError("dvc.yaml has no stages: take it back from git, or `tav upgrade` writes it anew")
        upstream = {name: node.upstream for name, node in graph.items()}
        needed = _closure(_chosen(list(upstream), list(targets)), upstream)
        status = dvc.status(repo, needed)
    return [
        Stage(
            name=name,
            upstream=frozenset(upstream[name]),
            changed=_in_words(status.get(name, [])),
            meta=_meta(name, graph[name].meta),
        )
        for name in TopologicalSorter(upstream).static_order()
        if name in needed
    ]


def listed(names: Collection[str], changed: str) -> list[Stage]:
    """These stages of dvc.yaml alone, what a stage needs before it. Asks DVC for no status: all of them say `changed`.

    Raises UserError: an unknown stage, a graph that DVC can't read.
    """
    with _asked() as dvc, dvc.repository() as repo:
        graph = dvc.graph(repo)
    upstream = {name: node.upstream for name, node in graph.items()}
    known = set(_chosen(list(upstream), list(names)))
    return [
        Stage(
            name=name, upstream=frozenset(upstream[name] & known), changed=changed, meta=_meta(name, graph[name].meta)
        )
        for name in TopologicalSorter(upstream).static_order()
        if name in known
    ]


def needs(stages: Sequence[Stage]) -> dict[str, Need]:
    """What each stage needs, from what DVC finds changed in it and before it. stages: as `read` orders them."""
    needs: dict[str, Need] = {}
    for stage in stages:
        before_runs = any(needs[name] != "up to date" for name in stage.upstream)
        needs[stage.name] = "stale" if stage.changed else "maybe" if before_runs else "up to date"
    return needs


def _chosen(names: list[str], targets: list[str]) -> list[str]:
    """The names that the targets mean. All, when there are no targets."""
    groups = {name.partition("@")[0] for name in names}
    known = dict.fromkeys([*sorted(groups), *names])
    for target in targets:
        if target not in groups and target not in names:
            raise UserError(f"dvc.yaml has no stage {quoted(target)}{nearest(target, known)}")
    return [name for name in names if not targets or name in targets or name.partition("@")[0] in targets]


def _closure(names: Iterable[str], upstream: Mapping[str, set[str]]) -> set[str]:
    """These stages and all that they need."""
    needed: set[str] = set()
    ask = list(names)
    while ask:
        name = ask.pop()
        if name not in needed:
            needed.add(name)
            ask += upstream[name]
    return needed


def _meta(name: str, given: Any) -> Meta:
    try:
        return Meta.model_validate(given or {})
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(["meta", *map(str, wrong["loc"])])
        raise UserError(f"dvc.yaml: {where} of {name}: {wrong['msg'].lower()}, got {quoted(wrong['input'])}") from None


def _in_words(status: list[Any]) -> str:
    """DVC's status of a stage, e.g. "in.txt modified, out deleted"."""
    reasons = []
    for part in status:
        if isinstance(part, str):  # "changed command", "always changed"
            reasons.append(part)
        else:
            reasons += [f"{path} {_kind(kind)}" for paths in part.values() for path, kind in paths.items()]
    return ", ".join(reasons)


def _kind(kind: Any) -> str:
    """Of a file DVC says one word, of params.yaml a word for each key: {"tune.steps": "modified"}."""
    return ", ".join(f"{key} {word}" for key, word in kind.items()) if isinstance(kind, dict) else str(kind)


@contextmanager
def _asked() -> Iterator[ModuleType]:
    """`flows.dvc_api`. What DVC can't read is a UserError."""
    from flows import dvc_api

    try:
        yield dvc_api
    except UserError:
        raise
    except dvc_api.LockError as error:
        blocker = " ".join(str(error).partition("\n\n")[0].split())
        raise UserError(f"another DVC is at work in this folder: wait for it, or stop it first ({blocker})") from None
    except (dvc_api.DvcException, OSError, RecursionError) as error:
        text = " ".join(str(error).split())
        cure = "; take it back from git, or delete it: `dvc repro` makes it again from the cache" * ("dvc.lock" in text)
        raise UserError(f"DVC can't read the project: {text}{cure}") from None
