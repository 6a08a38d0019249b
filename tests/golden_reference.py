"""Small references of our own, for whoever clones: noise, inversion, sampling and tuning written out plainly.

The network is naive_video_unet.py's, on b c f h w, with no code of tav's; DDIM and the loss are their equations. What
comes out is recorded in golden/reference.json: `python tests/golden_reference.py` writes it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from naive_video_unet import naive_video_unet
from tiny import tiny_unet
from torch import Tensor
from torch.nn import functional

from tav.model.inflation import inflate

FILE = Path(__file__).parent / "golden/reference.json"
STEPS, GUIDANCE, RATE = 4, 7.5, 3e-5
TIMESTEPS = (1, 251, 501, 751)
"""Of STEPS steps out of 1000, as Stable Diffusion's scheduler spaces them."""
TUNED_AT = (321, 7, 900)
ALPHAS = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)
"""The noise levels of Stable Diffusion 1."""


def seeded(name: str, *shape: int) -> Tensor:
    """Standard normal numbers that its name decides."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded_unet() -> Any:
    """An inflated tiny UNet in the layout of Stable Diffusion 1, every weight decided by its name."""
    unet = tiny_unet()
    inflate(unet)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
            parameter.copy_(seeded(name, *parameter.shape) * fan_in**-0.5 + (parameter.ndim == 1 and "norm" in name))
    return unet.eval()


def latents() -> Tensor:
    """Of three frames: b c f h w."""
    return seeded("latents", 1, 4, 3, 8, 8)


def prompt(name: str) -> Tensor:
    return seeded(name, 1, 7, 24)


def level(timestep: int) -> Tensor:
    return ALPHAS[max(timestep, 0)]


def moved(x: Tensor, noise: Tensor, here: Tensor, there: Tensor) -> Tensor:
    """DDIM (Song et al. 2020, equation 12, sigma 0): the same image and noise, at another noise level."""
    image = (x - (1 - here).sqrt() * noise) / here.sqrt()
    return there.sqrt() * image + (1 - there).sqrt() * noise


@torch.no_grad()
def inverted(unet: Any) -> Tensor:
    x = latents()
    for t in TIMESTEPS:
        noise = naive_video_unet(unet, x, torch.tensor([t]), prompt("source"))
        x = moved(x, noise, level(t - 1000 // STEPS), level(t))
    return x


@torch.no_grad()
def sampled(unet: Any) -> Tensor:
    x = seeded("start", 1, 4, 3, 8, 8)
    for t in reversed(TIMESTEPS):
        negative, target = (naive_video_unet(unet, x, torch.tensor([t]), prompt(name)) for name in ("empty", "target"))
        x = moved(x, negative + GUIDANCE * (target - negative), level(t), level(t - 1000 // STEPS))
    return x


def tuned(unet: Any) -> dict[str, list[float]]:
    """Three steps of AdamW on the queries and temporal attention: losses, gradient norms, and how far all moved."""
    names = [n for n, _ in unet.named_parameters() if any(p in n for p in ("attn1.to_q.", "attn2.to_q.", "attn_temp."))]
    parameters = [unet.get_parameter(name) for name in names]
    before = [parameter.detach().clone() for parameter in parameters]
    adam = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)
    losses, norms = [], []
    for i, t in enumerate(TUNED_AT):
        noise = seeded(f"noise {i}", 1, 4, 3, 8, 8)
        noisy = level(t).sqrt() * latents() + (1 - level(t)).sqrt() * noise
        loss = functional.mse_loss(naive_video_unet(unet, noisy, torch.tensor([t]), prompt("source")), noise)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0).item())
        adam.step()
        losses.append(loss.item())
    distance = [(p.detach() - b).norm().item() for p, b in zip(parameters, before, strict=True)]
    return {"losses": losses, "gradient_norms": norms, "moved": distance}


def summary(x: Tensor) -> list[float]:
    """Some numbers of an array, with its mean and its deviation."""
    return [*x.flatten()[::37].tolist(), x.mean().item(), x.std().item()]


def record() -> dict[str, Any]:
    unet = seeded_unet()
    with torch.no_grad():
        noise = naive_video_unet(unet, latents(), torch.tensor([321]), prompt("source"))
    found = {"noise": summary(noise), "inverted": summary(inverted(unet)), "sampled": summary(sampled(unet))}
    return found | tuned(unet)


if __name__ == "__main__":
    FILE.write_text(json.dumps(record()) + "\n")
