"""Ours against "as the official code does it" (official.py), in turn in one run: seconds of CPU and of clock, memory.

    python benchmarks/speed.py [--quick] [--json FILE]
    python benchmarks/speed.py --ours --frames 4 8 16 32 --pixels 128     the curve over the frames

Model M has random weights, which are as slow as trained ones: a UNet as deep as Stable Diffusion 1.4's with heads as
wide as its (40, 80, 160, 160), of which it has two and not eight: (80, 160, 320, 320); VAE (32, 64, 128, 128); 8 frames
of 256x256. Seconds of CPU are of all threads together: they stay true on a busy machine.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from einops import rearrange
from official import guided_step, inversion_step, tuning_step
from transformers import CLIPTextConfig, CLIPTextModel

from tav.budget.expectation import expect_sampling, expect_tuning
from tav.budget.meter import measure_speed
from tav.model.denoiser import predict_noise
from tav.model.inflation import inflate
from tav.model.latents import encode_moments
from tav.model.prompts import Prompts
from tav.model.size import Size
from tav.model.tuned_weights import tuned_parameters
from tav.model.tuning import TuneSettings, tune

STEPS = ("tuning", "inversion", "guided")
FULL = {"channels": (80, 160, 320, 320), "vae_channels": (32, 64, 128, 128), "frames": 8, "pixels": 256}
QUICK = {"channels": (80, 80, 160, 160), "vae_channels": (8, 16, 16, 16), "frames": 4, "pixels": 64}


def build(channels: tuple[int, ...], vae_channels: tuple[int, ...], **_: Any) -> SimpleNamespace:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(  # attention_head_dim is, by an old mistake of diffusers, the number of heads
        block_out_channels=channels, cross_attention_dim=256, attention_head_dim=2, norm_num_groups=16
    )
    inflate(unet)
    vae = AutoencoderKL(
        block_out_channels=vae_channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=8,
    )
    text_encoder = CLIPTextModel(CLIPTextConfig(hidden_size=256, intermediate_size=1024, num_attention_heads=4))
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    for model in (unet, vae, text_encoder):
        model.eval().requires_grad_(False)
    return SimpleNamespace(unet=unet, vae=vae, text_encoder=text_encoder, scheduler=scheduler)


def official_steps(pipe: Any, kind: str, frames: np.ndarray) -> Callable[[], object]:
    ids = torch.zeros(1, 77, dtype=torch.long)
    if kind == "tuning":
        parameters = [parameter.requires_grad_(True) for parameter in tuned_parameters(pipe.unet).values()]
        optimizer = torch.optim.AdamW(parameters, lr=3e-5)
        pixel_values = rearrange(torch.from_numpy(frames), "f h w c -> f c h w") / 127.5 - 1
        return lambda: tuning_step(pipe, optimizer, pixel_values, ids)
    side = frames.shape[1] // 8
    latents, context = torch.randn(1, 4, len(frames), side, side), torch.randn(2, 77, 256)
    if kind == "inversion":
        return lambda: inversion_step(pipe, latents, torch.tensor(501), context[:1])
    return lambda: guided_step(pipe, latents, torch.tensor(501), context)


def our_steps(pipe: Any, kind: str, frames: np.ndarray) -> Callable[[], object]:
    if kind == "tuning":
        with torch.no_grad():
            context = pipe.text_encoder(torch.zeros(1, 77, dtype=torch.long))[0]
        steps = tune(pipe.unet, pipe.scheduler, encode_moments(pipe.vae, frames), Prompts(context), TuneSettings())
        return lambda: next(steps)
    side, prompts = frames.shape[1] // 8, 1 if kind == "inversion" else 2
    latents, context = torch.randn(len(frames) * prompts, 4, side, side), torch.randn(prompts, 77, 256)
    return torch.no_grad()(lambda: predict_noise(pipe.unet, latents, torch.tensor(501), context))


def measure(whose: str, kind: str, size: dict[str, Any], repeats: int) -> dict[str, float]:
    """In a process of its own, so that the peak of memory is its own. The first step warms up."""
    pipe = build(**size)
    frames = np.random.default_rng(0).integers(0, 256, (size["frames"], size["pixels"], size["pixels"], 3), np.uint8)
    step = {"official": official_steps, "ours": our_steps}[whose](pipe, kind, frames)
    step()
    cpu, clock = [], []
    for _ in range(repeats):
        began = time.process_time(), time.perf_counter()
        step()
        cpu.append(time.process_time() - began[0])
        clock.append(time.perf_counter() - began[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"cpu_s": statistics.median(cpu), "clock_s": statistics.median(clock), "peak_gb": peak}


def expected(kind: str, size: dict[str, Any]) -> dict[str, float]:
    """What `tav plan` says of our way: seconds of clock, and memory."""
    pipe, pixels = build(**size), Size(size["pixels"], size["pixels"])
    speed = measure_speed("cpu", torch.float32)
    if kind == "tuning":
        found = expect_tuning(pipe, size["frames"], pixels, TuneSettings(), speed=speed)
    else:
        found = expect_sampling(pipe, size["frames"], pixels, torch.float32, guided=kind == "guided", speed=speed)
    return {"clock_s": found.step_seconds, "peak_gb": found.memory("cpu") / 1e9}


def row(kind: str, size: dict[str, Any], repeats: int, whose: tuple[str, ...]) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    result: dict[str, Any] = {"step": kind, "frames": size["frames"], "pixels": size["pixels"]}
    line = f"{kind:>10} {size['frames']:3} frames of {size['pixels']:3}:"
    for who in whose:
        with context.Pool(1) as pool:
            result[who] = pool.apply(measure, (who, kind, size, repeats))
        line += "   {} {cpu_s:.2f} CPU-s {clock_s:.2f} s {peak_gb:.2f} GB".format(who, **result[who])
    if len(whose) > 1:
        result["ratio"] = {unit: result["official"][unit] / result["ours"][unit] for unit in ("cpu_s", "clock_s")}
        line += "   {cpu_s:.2f}x in CPU-s, {clock_s:.2f}x by the clock".format(**result["ratio"])
    with context.Pool(1) as pool:
        result["expected"] = pool.apply(expected, (kind, size))
    line += "   (expected {clock_s:.2f} s {peak_gb:.2f} GB)".format(**result["expected"])
    print(line, flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it runs")
    parser.add_argument("--ours", action="store_true", help="leave the official way out")
    parser.add_argument("--frames", type=int, nargs="+", metavar="N")
    parser.add_argument("--pixels", type=int, nargs="+", metavar="N", help="multiples of 64")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="steps measured; the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    table = [
        row(
            kind,
            size | {"frames": frames, "pixels": pixels},
            arguments.repeats,
            ("ours",) if arguments.ours else ("official", "ours"),
        )
        for kind in STEPS
        for frames in arguments.frames or [size["frames"]]
        for pixels in arguments.pixels or [size["pixels"]]
    ]
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": table}, indent=2))


if __name__ == "__main__":
    main()
