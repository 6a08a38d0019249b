"""What gpu.py measures: Stable Diffusion 1.4's networks with random weights, and one row of its table."""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from tav.model.ddim import Schedule, ddim_invert, ddim_sample
from tav.model.denoiser import Network, guided, predict_noise, prompted
from tav.model.device import best_device
from tav.model.inflation import inflate
from tav.model.latents import decode, encode_moments
from tav.model.prompts import Prompts
from tav.model.tuning import DTYPES, TuneSettings, denoising_loss, trainable_parameters, tune

CLIP_TEXT = {"vocab_size": 49408, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
REAL = {"channels": (320, 640, 1280, 1280), "vae": (128, 256, 512, 512), "text": 768, "pixels": 512}
QUICK = {"channels": (32, 32, 64, 64), "vae": (8, 16, 16, 16), "text": 48, "pixels": 64}
QUICK_FRAMES = {8: 2, 24: 3, 32: 4}
STEPS = ("tuning", "inversion", "guided")
TUNE, EDIT = "500 tuning steps", "invert, edit"
SAMPLING_STEPS = 50
Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One row of the table."""

    kind: str
    frames: int
    precision: str = "bf16"
    attention: str = "sdpa"
    compiled: bool = False
    checkpointed: bool = False
    adam8bit: bool = False
    split_guidance: bool = False
    token_merging: float = 0.0
    cap_gb: int | None = None
    """The card's memory that the process may have, CUDA's own context included."""

    @property
    def name(self) -> str:
        options = {
            "compiled": self.compiled,
            "checkpointed": self.checkpointed,
            "8-bit Adam": self.adam8bit,
            "split guidance": self.split_guidance,
            f"token merging {self.token_merging}": self.token_merging,
            f"at most {self.cap_gb} GB": self.cap_gb,
        }
        how = [self.precision, self.attention, *(name for name, chosen in options.items() if chosen)]
        return f"{self.kind} | {self.frames} | {', '.join(how)}"


def build(size: dict[str, Any], device: str, dtype: torch.dtype) -> SimpleNamespace:
    """UNet and text encoder in `dtype`, the VAE in float32, as `load_pipeline` has them."""
    diffusers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    blocks = len(size["vae"])
    text = CLIPTextConfig(hidden_size=size["text"], **CLIP_TEXT)
    with torch.device(device):
        unet = UNet2DConditionModel(
            block_out_channels=size["channels"], cross_attention_dim=size["text"], attention_head_dim=8
        )
        vae = AutoencoderKL(
            block_out_channels=size["vae"],
            down_block_types=("DownEncoderBlock2D",) * blocks,
            up_block_types=("UpDecoderBlock2D",) * blocks,
            layers_per_block=2,
            norm_num_groups=min(32, size["vae"][0]),
        )
        text_encoder = CLIPTextModel(text)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    for model, precision in ((unet, dtype), (text_encoder, dtype), (vae, torch.float32)):
        model.eval().requires_grad_(False).to(precision)
    return SimpleNamespace(unet=inflate(unet), vae=vae, text_encoder=text_encoder, scheduler=scheduler)


def set_up(unet: Any, cell: Cell) -> str | None:
    """Attention, token merging and compilation, as the stages set them. Returns why it can't be, if so."""
    if cell.attention == "xformers":
        from tav.model.options.xformers_attention import use_xformers

        if refused := use_xformers(unet, DTYPES[cell.precision]):
            return refused
    if cell.token_merging:
        from tav.model.options.token_merging import merge_tokens

        merge_tokens(unet, cell.token_merging)
    if cell.compiled:
        from tav.model.options.compilation import compile_blocks

        compile_blocks(unet)
    return None


def cap_memory(cap_gb: int) -> None:
    """Make this process fail where a smaller card would."""
    free, total = torch.cuda.mem_get_info()  # what is taken by now is CUDA's context
    torch.cuda.set_per_process_memory_fraction((cap_gb * 1e9 - (total - free)) / total)


def measure(cell: Cell, quick: bool) -> Row:
    """In a process of its own: the peak of memory and the cap are its own."""
    device, size = best_device(), QUICK if quick else REAL
    on_gpu = device.startswith("cuda")
    if cell.cap_gb and on_gpu:
        cap_memory(cell.cap_gb)
    try:
        pipe = build(size, device, DTYPES[cell.precision])
        if refused := set_up(pipe.unet, cell):
            return {"status": refused}
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        frames = QUICK_FRAMES[cell.frames] if quick else cell.frames
        video = np.random.default_rng(0).integers(0, 256, (frames, size["pixels"], size["pixels"], 3), np.uint8)
        row: Row = {"status": "ok", "seconds": seconds_of(cell, pipe, video, quick)}
    except torch.OutOfMemoryError:
        row = {"status": "out of memory"}
    if not on_gpu:
        return row | {"resident_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}
    free, total = torch.cuda.mem_get_info()
    row["allocated_gb"] = torch.cuda.max_memory_allocated() / 1e9
    row["reserved_gb"] = torch.cuda.max_memory_reserved() / 1e9
    row["card_gb"] = (total - free) / 1e9
    if cell.cap_gb and row["card_gb"] > cell.cap_gb:  # CUDA loads its kernels later than the cap was set
        row["status"] = "over its cap, with CUDA's kernels"
    return row


def seconds_of(cell: Cell, pipe: Any, video: np.ndarray, quick: bool) -> float:
    """Of one step, the median; or of the whole run, after one step or run that warms up."""
    ids = torch.randint(49000, (1, 77), device=pipe.unet.device)
    with torch.no_grad():
        prompts = Prompts(pipe.text_encoder(ids)[0])
    if cell.kind == EDIT:
        steps = 2 if quick else SAMPLING_STEPS
        invert_and_edit(pipe, video, prompts, 1)
        return clock(lambda: invert_and_edit(pipe, video, prompts, steps)) * SAMPLING_STEPS / steps
    if cell.kind in STEPS:
        step = step_of(cell, pipe, video, prompts)
        warm_up, repeats = (1, 2) if quick else (5, 15)
        return statistics.median([clock(step) for _ in range(warm_up + repeats)][warm_up:])
    began = clock(lambda: encode_moments(pipe.vae, video))
    step = step_of(cell, pipe, video, prompts)
    warm_up, measured = (1, 2) if quick else (5, 20)  # 20 of the 500 steps, 25 times over
    for _ in range(warm_up):
        step()
    return began + 500 / measured * clock(lambda: [step() for _ in range(measured)])


def step_of(cell: Cell, pipe: Any, video: np.ndarray, prompts: Prompts) -> Callable[[], object]:
    moments = encode_moments(pipe.vae, video)
    if cell.kind in {"tuning", TUNE}:
        settings = TuneSettings(
            precision=cell.precision,  # type: ignore[arg-type]
            gradient_checkpointing=cell.checkpointed,
            adam8bit=cell.adam8bit,
        )
        steps = tune(pipe.unet, pipe.scheduler, moments, prompts, settings)
        return lambda: next(steps)
    halves, together = (2, 1) if cell.split_guidance else (1, 2 if cell.kind == "guided" else 1)
    latents, embeds = moments.mean.repeat(together, 1, 1, 1), prompts.embeds.repeat(together, 1, 1)
    timestep = torch.tensor(501)
    return torch.no_grad()(lambda: [predict_noise(pipe.unet, latents, timestep, embeds) for _ in range(halves)])


def invert_and_edit(pipe: Any, video: np.ndarray, prompts: Prompts, steps: int) -> np.ndarray:
    """All that comes after loading: VAE, DDIM inversion, guided sampling, VAE."""
    latents = encode_moments(pipe.vae, video).mean
    network, schedule = Network(pipe.unet), Schedule.of(pipe.scheduler, steps)
    inverted = ddim_invert(prompted(network, prompts), schedule, latents).at(steps).to(latents.device)
    return decode(pipe.vae, ddim_sample(guided(network, prompts, prompts, 12.5), schedule, inverted))


def clock(work: Callable[[], object]) -> float:
    """Seconds until the GPU has done it."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def matmul_peak(precision: str, quick: bool) -> float:
    """Floating-point operations a second of a large matrix product of random numbers."""
    side = 512 if quick else 8192
    a, b = (torch.randn(side, side, device=best_device()).to(DTYPES[precision]) for _ in range(2))
    times = [clock(lambda: a @ b) for _ in range(23)]
    return 2 * side**3 / statistics.median(times[3:])


def count_flops(kind: str, frames: int, quick: bool) -> int:
    """Of a step: of every matrix product, convolution and attention; on tensors without numbers, nothing twice.

    A checkpointed step computes more than that, which is not counted as useful work.
    """
    size = QUICK if quick else REAL
    frames, side = QUICK_FRAMES[frames] if quick else frames, size["pixels"] // 8
    with torch.device("meta"):
        unet = inflate(UNet2DConditionModel(block_out_channels=size["channels"], cross_attention_dim=size["text"]))
        pictures = 2 * frames if kind == "guided" else frames
        latents, embeds = torch.empty(pictures, 4, side, side), torch.empty(pictures // frames, 77, size["text"])
        timestep = torch.zeros(1, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        if kind == "tuning":
            trainable_parameters(unet, TuneSettings())
            denoising_loss(unet, DDIMScheduler(), latents, latents, timestep, Prompts(embeds)).backward()
        else:
            with torch.no_grad():
                predict_noise(unet, latents, timestep, embeds)
    return counter.get_total_flops()


def useful_flops(cell: Cell, quick: bool) -> int:
    """Of what a row times, but for the VAE and the text encoder."""
    if cell.kind in STEPS:
        return count_flops(cell.kind, cell.frames, quick)
    if cell.kind == TUNE:
        return 500 * count_flops("tuning", cell.frames, quick)
    return SAMPLING_STEPS * sum(count_flops(kind, cell.frames, quick) for kind in ("inversion", "guided"))
