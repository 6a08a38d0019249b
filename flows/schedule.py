"""Which stage starts when, with how many threads and on which GPU, and which never will. Starts nothing itself."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from flows.dag import Stage, needs


class Share(NamedTuple):
    """What a running stage has of the machine."""

    threads: int
    gpu: str | None
    """As CUDA_VISIBLE_DEVICES names it."""
    place: int = 0
    """Its number among those that run at once: one resident worker serves each."""


class Machine:
    """Lends cores and GPUs to stages.

    The rule: as many stages at once as there are cores (or `jobs`, for when memory is what is scarce). Those that are
    ready together share the free cores evenly, and no core is lent twice: a stage alone has them all. A stage of the
    pool `gpu` has a whole GPU to itself. Where there is no GPU that pool is like `cpu`.
    """

    def __init__(self, cores: int, gpus: Sequence[str] = (), jobs: int | None = None) -> None:
        self.free_cores = cores
        self.free_gpus = list(gpus)
        self.free_places = list(range(min(cores, jobs or cores)))
        self._has_gpus = bool(gpus)

    def lend(self, ready: Sequence[Stage]) -> list[tuple[Stage, Share]]:
        """Start as many of these as the machine carries, in this order."""
        chosen: list[tuple[Stage, str | None]] = []
        for stage in ready:
            wants_gpu = self._has_gpus and stage.meta.pool == "gpu"
            if (
                len(self.free_places) > len(chosen)
                and self.free_cores > len(chosen)
                and (self.free_gpus or not wants_gpu)
            ):
                chosen.append((stage, self.free_gpus.pop(0) if wants_gpu else None))
        lent = []
        for i, (stage, gpu) in enumerate(chosen):
            threads = -(-self.free_cores // (len(chosen) - i))
            self.free_cores -= threads
            lent.append((stage, Share(threads, gpu, self.free_places.pop(0))))
        return lent

    def take_back(self, share: Share) -> None:
        """A stage ended."""
        self.free_cores += share.threads
        self.free_places = sorted([*self.free_places, share.place])
        if share.gpu is not None:
            self.free_gpus.append(share.gpu)


def this_machine(jobs: int | None = None) -> Machine:
    """The cores that this process may use, and the GPUs that it sees."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, _gpus(), jobs)


def _gpus() -> list[str]:
    """The GPUs to lend, as CUDA_VISIBLE_DEVICES names them: those that are seen; of TAV_DEVICE=cuda:N that one."""
    kind, _, number = os.environ.get("TAV_DEVICE", "").partition(":")
    if kind not in ("", "cuda"):
        return []
    seen = _visible_gpus()
    return [gpu for index, gpu in enumerate(seen) if str(index) == number] if number else seen


def _visible_gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    ask = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    listing = subprocess.run(ask, capture_output=True, text=True, timeout=60)
    return listing.stdout.split() if listing.returncode == 0 else []


class Schedule:
    """Where a run of the stages stands: which wait, which run, and how the others ended."""

    def __init__(self, stages: Sequence[Stage], machine: Machine) -> None:
        """stages: as `dag.read` orders them. What is up to date is not touched."""
        need = needs(stages)
        self.waiting = {stage.name: stage for stage in stages if need[stage.name] != "up to date"}
        self.running: dict[str, Share] = {}
        self.made: list[str] = []
        self.unchanged: list[str] = []
        """Of which DVC found, when what they need was made, that it is as it was."""
        self.failed: dict[str, str] = {}
        """Name: why."""
        self.left_out: list[str] = []
        """They need something that failed."""
        self._machine = machine

    @property
    def over(self) -> bool:
        return not self.waiting and not self.running

    def leave_out(self) -> list[Stage]:
        """Give up the stages that need what failed, and give them."""
        given_up = []
        for stage in list(self.waiting.values()):  # in order: what needs them comes after
            if stage.upstream & {*self.failed, *self.left_out}:
                self.left_out.append(stage.name)
                given_up.append(self.waiting.pop(stage.name))
        return given_up

    def start(self) -> list[tuple[Stage, Share]]:
        """The stages to start now, each with its share of the machine."""
        unmade = {*self.waiting, *self.running, *self.failed, *self.left_out}
        lent = self._machine.lend([stage for stage in self.waiting.values() if not stage.upstream & unmade])
        for stage, share in lent:
            self.running[stage.name] = share
            del self.waiting[stage.name]
        return lent

    def ended(self, name: str, why_not: str = "", changed: bool = True) -> None:
        """A stage ended: well, or with the reason why not. changed: whether there was anything to make."""
        self._machine.take_back(self.running.pop(name))
        if why_not:
            self.failed[name] = why_not
        else:
            (self.made if changed else self.unchanged).append(name)

    def summary(self) -> str:
        """One line: what was made and how much was not, or what failed and what was left out for it."""
        if not self.failed:
            parts = [f"made {len(self.made)} stages: {', '.join(self.made)}"] if self.made else []
            parts += [f"{len(self.unchanged)} did not change"] if self.unchanged else []
            return "; ".join(parts) or "all is up to date"
        failed = "; ".join(f"{name} {why}" for name, why in self.failed.items())
        left_out = f". Left out, as they need it: {', '.join(self.left_out)}" if self.left_out else ""
        return f"failed: {failed}{left_out}"
