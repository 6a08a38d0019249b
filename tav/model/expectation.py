"""What the models will take of time and memory, told before they run.

The real network takes the real step, forward and backward, on tensors that have shapes and no numbers (PyTorch's fake
tensors). So whatever changes the step, such as gradient checkpointing or SDXL's UNet, changes what is expected of it.
"""

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from tav.model.ddim import predict_noise
from tav.model.inflation import inflate
from tav.model.master_weights import keep_masters
from tav.model.prompts import Prompts
from tav.model.tuning import DTYPES, TuneSettings, trainable_parameters

RUNTIME = {"cpu": 0.7e9, "cuda": 0.9e9}
"""Bytes of the libraries, and on a GPU of its context and of the kernels' workspaces.

The CPU's is measured (docs/performance.md), the GPU's is a guess. Other devices, such as mps, are taken for a CPU.
"""
PROMPT_TOKENS = 77


class Speed(NamedTuple):
    """Of this machine, for the time that is expected."""

    flops: float
    """Floating-point operations a second, of a large matrix product."""
    bandwidth: float
    """Bytes a second, read and written, of a large copy."""
    overhead: float
    """Seconds that the smallest operation takes."""


@dataclass(frozen=True)
class Expectation:
    weights: float
    """Bytes: weights, and the optimizer's state."""
    activations: float
    """Bytes: all else, at the peak."""
    step_seconds: float
    """Of one step of the UNet. 0 without a Speed, as is the next."""
    frame_seconds: float
    """Of the VAE, for a frame."""

    def memory(self, device: str) -> float:
        """Bytes in all, with a tenth of the activations for what lies between the allocator's blocks."""
        return self.weights + 1.1 * self.activations + RUNTIME.get(torch.device(device).type, RUNTIME["cpu"])


def expect_tuning(
    pipe: Any, num_frames: int, size: tuple[int, int], settings: TuneSettings, *, speed: Speed | None = None
) -> Expectation:
    """One tuning step, and one encoded frame.

    Args:
        pipe: has a unet, inflated or not, a vae, text encoders. Their configs and shapes count: meta tensors will do.
        num_frames: of the video.
        size: width and height in pixels.
        settings: precision, checkpointing and optimizer count.
        speed: None leaves the time out.
    """
    unet = _skeleton(pipe.unet)
    tuned = trainable_parameters(unet, settings)
    meter = _run(_TuningStep(unet.train()), (num_frames, *_latents_of(pipe, size)), 1, speed)
    encode = _run_vae(pipe, lambda vae, pixels: vae.encode(pixels), (1, 3, *size[::-1]), speed)
    state = (2 if settings.adam8bit else 8) * sum(parameter.numel() for parameter in tuned.values())
    activations = max(meter.peak, encode.peak)
    weights = _weights(pipe, unet, DTYPES[settings.precision]) + state
    return Expectation(weights, activations, meter.seconds, encode.seconds)


def expect_sampling(
    pipe: Any,
    num_frames: int,
    size: tuple[int, int],
    dtype: torch.dtype,
    *,
    guided: bool,
    split_guidance: bool = False,
    speed: Speed | None = None,
) -> Expectation:
    """One step of inversion or of sampling, and one decoded frame."""
    unet = _skeleton(pipe.unet)
    keep_masters(unet, set(), dtype)
    halves, together = (2, 1) if guided and split_guidance else (1, 2 if guided else 1)
    shape = (num_frames, *_latents_of(pipe, size))
    meter = _run(_SamplingStep(unet), shape, together, speed)
    decode = _run_vae(pipe, lambda vae, latents: vae.decode(latents), (1, *shape[1:]), speed)
    activations = max(meter.peak, decode.peak)
    return Expectation(_weights(pipe, unet, dtype), activations, halves * meter.seconds, decode.seconds)


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


class _TuningStep(nn.Module):
    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: Tensor, prompts: Prompts) -> None:
        predict_noise(self.unet, latents, torch.zeros(1, dtype=torch.long), *prompts).square().mean().backward()  # type: ignore[no-untyped-call]


class _SamplingStep(_TuningStep):
    @torch.no_grad()
    def forward(self, latents: Tensor, prompts: Prompts) -> None:
        predict_noise(self.unet, latents, torch.zeros(1, dtype=torch.long), *prompts)


def _skeleton(unet: Any) -> Any:
    """The UNet from its config alone, inflated, on the meta device."""
    with torch.device("meta"):
        skeleton = type(unet).from_config(unet.config)
    return inflate(skeleton)


def _run(step: _TuningStep, shape: tuple[int, ...], prompts: int, speed: Speed | None) -> "_Meter":
    config, num_frames = step.unet.config, shape[0]
    with FakeTensorMode(allow_non_fake_inputs=True):
        weights = {
            name: torch.empty(p.shape, dtype=p.dtype).requires_grad_(p.requires_grad)
            for name, p in step.named_parameters()
        }
        latents = torch.empty(prompts * num_frames, *shape[1:])
        condition = {name: torch.empty(prompts, width) for name, width in _condition_widths(step.unet).items()}
        prompt = Prompts(torch.empty(prompts, PROMPT_TOKENS, config.cross_attention_dim), condition)
        meter = _Meter(speed)
        with meter:
            torch.func.functional_call(step, weights, (latents, prompt))
    return meter


def _run_vae(pipe: Any, work: Callable[[Any, Tensor], object], shape: tuple[int, ...], speed: Speed | None) -> "_Meter":
    """The VAE is float32 and takes a frame at a time."""
    with torch.device("meta"):
        vae = type(pipe.vae).from_config(pipe.vae.config)
    meter = _Meter(speed)
    with torch.no_grad(), meter:
        work(vae, torch.empty(shape, device="meta"))
    return meter


def _condition_widths(unet: Any) -> dict[str, int]:
    """SDXL's UNet takes a pooled prompt and six numbers beside the prompt."""
    if unet.config.addition_embed_type != "text_time":
        return {}
    times = 6
    width = unet.config.projection_class_embeddings_input_dim - times * unet.config.addition_time_embed_dim
    return {"text_embeds": width, "time_ids": times}


def _latents_of(pipe: Any, size: tuple[int, int]) -> tuple[int, int, int]:
    factor = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    return pipe.unet.config.in_channels, size[1] // factor, size[0] // factor


def _weights(pipe: Any, unet: Any, dtype: torch.dtype) -> float:
    """Bytes of the UNet, of the VAE in float32 and of the text encoders."""
    encoders = [getattr(pipe, name, None) for name in ("text_encoder", "text_encoder_2")]
    text = sum(p.numel() for encoder in encoders if encoder is not None for p in encoder.parameters())
    vae = sum(p.numel() for p in pipe.vae.parameters())
    return float(sum(p.nbytes for p in unet.parameters()) + 4 * vae + dtype.itemsize * text)


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
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
