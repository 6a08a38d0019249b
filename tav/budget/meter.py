"""What operations take: bytes alive at the peak, counted, and seconds, by the speed of the machine."""

import time
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count


class Speed(NamedTuple):
    """Of this machine, for the time that is expected."""

    flops: float
    """Floating-point operations a second, of a large matrix product."""
    bandwidth: float
    """Bytes a second, read and written, of a large copy."""
    overhead: float
    """Seconds that the smallest operation takes."""


def measure_speed(device: str, dtype: torch.dtype) -> Speed:
    """Of this machine, now. Takes less than a second."""
    # a block is larger than the caches: an H100's hold 50 MB
    side, length = (8192, 2**27) if torch.device(device).type == "cuda" else (1024, 2**24)
    generator = torch.Generator(device).manual_seed(0)  # products of ones take less power, and so less time
    matrix, block, one = (
        torch.randn(n, generator=generator, device=device, dtype=dtype) for n in (side * side, length, 1)
    )
    square = matrix.view(side, side)
    return Speed(
        flops=2 * side**3 / _seconds(device, lambda: square @ square),
        bandwidth=2 * block.nbytes / _seconds(device, lambda: block.clone()),
        overhead=_seconds(device, lambda: [one + one for _ in range(200)]) / 200,
    )


def _seconds(device: str, work: Callable[[], object]) -> float:
    """The best of three, after one that warms up."""
    wait = torch.device(device).type != "cpu"
    taken = []
    for _ in range(4):
        began = time.perf_counter()
        work()
        if wait:
            torch.accelerator.synchronize(device)
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation: keeps the peak of the bytes alive, and adds up the time by the roofline model.

    (Williams et al. 2009: an operation takes as long as its arithmetic or its memory traffic, whichever is longer.)
    What was there before, such as weights, is not in it.
    """

    def __init__(self, speed: Speed | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.speed = speed
        self.alive = self.peak = self.seconds = 0.0
        self._storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        fresh = sum(self._add(leaf.untyped_storage(), given) for leaf in tree_leaves(out) if isinstance(leaf, Tensor))
        self.peak = max(self.peak, self.alive)
        if fresh and self.speed is not None:
            read = sum(leaf.nbytes for leaf in tree_leaves(args) if isinstance(leaf, Tensor))
            arithmetic = _flops(func, args, kwargs or {}, out) / self.speed.flops
            self.seconds += max(arithmetic, (read + fresh) / self.speed.bandwidth) + self.speed.overhead
        return out

    def _add(self, storage: Any, given: set[int]) -> int:
        """Bytes of a storage that was not there before, counted until it is gone."""
        key, size = storage._cdata, int(storage.nbytes())
        if key in self._storages or key in given:
            return 0
        self._storages.add(key)
        self.alive += size
        weakref.finalize(storage, self._drop, key, size)
        return size

    def _drop(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self.alive -= size


def _flops(func: Any, args: Any, kwargs: Any, out: Any) -> float:
    """PyTorch's own count; it has none for attention on the CPU."""
    packet = func._overloadpacket
    if packet in flop_registry:
        return float(flop_registry[packet](*args, **kwargs, out_val=out))
    shapes = [leaf.shape for leaf in args if isinstance(leaf, Tensor)]
    if packet is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
        return float(sdpa_flop_count(*shapes[:3]))  # type: ignore[no-untyped-call]
    if packet is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward:
        return float(sdpa_backward_flop_count(*shapes[:4]))  # type: ignore[no-untyped-call]
    return 0.0
