"""What the models will take of time and memory, told before they run.

The real network takes the real step, forward and backward, on tensors that have shapes and no numbers (PyTorch's fake
tensors). So whatever changes the step, such as gradient checkpointing or SDXL's UNet, changes what is expected of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tav.budget.meter import Meter, Speed
from tav.model.alignment import Alignment
from tav.model.control import Control, Controls
from tav.model.ddim import Trajectory
from tav.model.denoiser import DiffusionStep, Network
from tav.model.inflation import inflate
from tav.model.master_weights import keep_masters
from tav.model.prompt_to_prompt import PromptToPrompt, WordSettings
from tav.model.prompts import IMAGE_EMBEDS, Prompts, separate
from tav.model.reference import put_shapes_on
from tav.model.reference_files import AdapterShapes
from tav.model.size import Size
from tav.model.source_branch import SourceBranch
from tav.model.tuning import DTYPES, TuneSettings, trainable_parameters

RUNTIME = {"cpu": 0.7e9, "cuda": 0.9e9}
"""Bytes of the libraries, and on a GPU of its context and of the kernels' workspaces.

The CPU's is measured (docs/performance.md), the GPU's is a guess. Other devices, such as mps, are taken for a CPU.
"""
UNSEEN = {"cpu": 1.5, "cuda": 1.1}
"""Times the activations: what kernels take for themselves, and what lies between the allocator's blocks.

The CPU's is the most that was measured (512 px, docs/performance.md), the GPU's is a guess.
"""
PROMPT_TOKENS = 77


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
        """Bytes in all, on such a device."""
        kind = torch.device(device).type
        return self.weights + UNSEEN.get(kind, UNSEEN["cpu"]) * self.activations + RUNTIME.get(kind, RUNTIME["cpu"])


def expect_tuning(
    pipe: Any,
    num_frames: int,
    size: Size,
    settings: TuneSettings,
    *,
    networks: Sequence[Any] = (),
    speed: Speed | None = None,
) -> Expectation:
    """One tuning step, and one encoded frame.

    Args:
        pipe: has a unet, inflated or not, a vae, text encoders. Their configs and shapes count: meta tensors will do.
        num_frames: of the video.
        size: in pixels.
        settings: precision, checkpointing and optimizer count.
        networks: ControlNets and T2I-Adapters beside the UNet.
        speed: None leaves the time out.
    """
    unet = _skeleton(pipe.unet)
    tuned = trainable_parameters(unet, settings)
    beside = [_alike(network).to(DTYPES[settings.precision]) for network in networks]
    step = _TuningStep(unet.train(), beside, size, bool(settings.prior_weight), bool(settings.pictures_weight))
    meter = _run(step, (num_frames, *_latents_of(pipe, size)), 1, speed)
    encode = _run_vae(pipe, lambda vae, pixels: vae.encode(pixels), (1, 3, *size), speed)
    each = (2 if settings.adam8bit else 8) + (4 if settings.prior_weight else 0)
    state = each * sum(parameter.numel() for parameter in tuned.values())
    activations = max(meter.peak, encode.peak)
    weights = _weights(pipe, unet, DTYPES[settings.precision]) + state + _bytes(beside)
    return Expectation(weights, activations, meter.seconds, encode.seconds)


def expect_sampling(
    pipe: Any,
    num_frames: int,
    size: Size,
    dtype: torch.dtype,
    *,
    guided: bool,
    split_guidance: bool = False,
    words: bool = False,
    networks: Sequence[Any] = (),
    adapter: AdapterShapes | None = None,
    speed: Speed | None = None,
) -> Expectation:
    """One step of inversion or of sampling, and one decoded frame.

    words: as Prompt-to-Prompt does, with the source in the batch, whose cross-attention maps and the edit's are built.
    networks: ControlNets and T2I-Adapters beside the UNet.
    adapter: IP-Adapter of a reference picture, whose image encoder is gone when sampling begins.
    """
    unet = _skeleton(pipe.unet)
    if adapter is not None:
        put_shapes_on(unet, adapter)
    keep_masters(unet, set(), dtype)
    halves, together = (2, 1) if guided and split_guidance else (1, 2 if guided else 1)
    shape = (num_frames, *_latents_of(pipe, size))
    beside = [_alike(network).to(dtype) for network in networks]
    step = _WordStep(unet, beside, size) if words else _SamplingStep(unet, beside, size)
    meter = _run(step, shape, together + words, speed, adapter)
    decode = _run_vae(pipe, lambda vae, latents: vae.decode(latents), (1, *shape[1:]), speed)
    encoder = dtype.itemsize * adapter.encoder_parameters if adapter else 0
    activations = max(meter.peak, decode.peak, encoder)
    weights = _weights(pipe, unet, dtype) + _bytes(beside)
    return Expectation(weights, activations, halves * meter.seconds, decode.seconds)


class _Step(nn.Module):
    def __init__(self, unet: Any, networks: Sequence[Any], size: Size) -> None:
        """networks: beside the UNet; size: of their maps in pixels."""
        super().__init__()
        self.unet, self.networks, self.size = unet, nn.ModuleList(networks).requires_grad_(False), size

    def network(self, num_frames: int, latents: Tensor) -> Network:
        """The UNet, with what stands beside it."""
        maps = torch.empty(num_frames, 3, *self.size)
        controls, size = [Control(network, maps) for network in self.networks], Size(*latents.shape[-2:])
        return Network(self.unet, [Controls(controls, self.unet, size)] if controls else [])


class _TuningStep(_Step):
    def __init__(self, unet: Any, networks: Sequence[Any], size: Size, held: bool, picture: bool) -> None:
        """held: to the base's own prediction for frame 0. picture: a single one is learned beside the video."""
        super().__init__(unet, networks, size)
        self.held, self.picture = held, picture

    def forward(self, latents: Tensor, prompts: Prompts) -> None:
        step, network = DiffusionStep(torch.zeros(1, dtype=torch.long), 0, 1), self.network(len(latents), latents)
        if self.held:
            with torch.no_grad():
                network(latents[:1], replace(step, frames=torch.zeros(1, dtype=torch.long)), prompts)
        losses = [network(latents, step, prompts).square().mean()]
        if self.picture:
            losses.append(Network(self.unet)(latents[:1], step, prompts).square().mean())
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]


class _SamplingStep(_Step):
    @torch.no_grad()
    def forward(self, latents: Tensor, prompts: Prompts) -> None:
        step = DiffusionStep(torch.zeros(1, dtype=torch.long), 0, 1)
        self.network(len(latents) // len(prompts.embeds), latents)(latents, step, prompts)


class _WordStep(_SamplingStep):
    """Of Prompt-to-Prompt: the source, the negative prompt where there is guidance, the target."""

    @torch.no_grad()
    def forward(self, latents: Tensor, prompts: Prompts) -> None:
        source, *halves = separate(prompts)
        video = latents.chunk(1 + len(halves))[0]
        inverted, scale = Trajectory(torch.stack([video, video])), float(len(halves))  # 1 is no guidance
        branch = SourceBranch(self.network(len(video), latents), inverted, source, halves[-1], halves[0], scale)
        ones = torch.ones(PROMPT_TOKENS)
        words = PromptToPrompt(branch, WordSettings(1, 1), Alignment(ones.diag(), ones), ones, None)
        with words.on(self.unet):
            branch(video, DiffusionStep(torch.zeros((), dtype=torch.long), 0, 1))


def _skeleton(unet: Any) -> Any:
    """The UNet from its config alone, inflated, on the meta device."""
    return inflate(_alike(unet))


def _alike(model: Any) -> Any:
    """A model from its config alone, on the meta device."""
    with torch.device("meta"):
        return type(model).from_config(model.config)


def _run(
    step: _Step, shape: tuple[int, ...], prompts: int, speed: Speed | None, adapter: AdapterShapes | None = None
) -> "Meter":
    config, num_frames = step.unet.config, shape[0]
    with FakeTensorMode(allow_non_fake_inputs=True):
        weights = {
            name: torch.empty(p.shape, dtype=p.dtype).requires_grad_(p.requires_grad)
            for name, p in step.named_parameters()
        }
        latents = torch.empty(prompts * num_frames, *shape[1:])
        condition = {name: torch.empty(prompts, width) for name, width in _condition_widths(step.unet).items()}
        if adapter is not None:
            condition[IMAGE_EMBEDS] = torch.empty(prompts, *adapter.embeds)
        prompt = Prompts(torch.empty(prompts, PROMPT_TOKENS, config.cross_attention_dim), condition)
        meter = Meter(speed)
        with meter:
            torch.func.functional_call(step, weights, (latents, prompt))
    return meter


def _run_vae(pipe: Any, work: Callable[[Any, Tensor], object], shape: tuple[int, ...], speed: Speed | None) -> "Meter":
    """The VAE is float32 and takes a frame at a time."""
    with torch.device("meta"):
        vae = type(pipe.vae).from_config(pipe.vae.config)
    meter = Meter(speed)
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


def _latents_of(pipe: Any, size: Size) -> tuple[int, int, int]:
    factor = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    return pipe.unet.config.in_channels, size.height // factor, size.width // factor


def _bytes(networks: Sequence[Any]) -> int:
    return sum(parameter.nbytes for network in networks for parameter in network.parameters())


def _weights(pipe: Any, unet: Any, dtype: torch.dtype) -> float:
    """Bytes of the UNet, of the VAE in float32 and of the text encoders."""
    encoders = [getattr(pipe, name, None) for name in ("text_encoder", "text_encoder_2")]
    text = sum(p.numel() for encoder in encoders if encoder is not None for p in encoder.parameters())
    vae = sum(p.numel() for p in pipe.vae.parameters())
    return float(sum(p.nbytes for p in unet.parameters()) + 4 * vae + dtype.itemsize * text)
