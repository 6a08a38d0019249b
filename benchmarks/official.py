"""Tune-A-Video as the official code does it, to measure against: written anew from what that code does.

Videos are `b c f h w` and folded and unfolded around each convolution; attention scores are materialised; every
tuning step encodes the video and the prompt again; checkpointing is reentrant and on by default. It runs on the
weights of an inflated UNet, and gives the same numbers.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.embeddings import get_timestep_embedding
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


def tuning_step(pipe: Any, optimizer: torch.optim.Optimizer, pixel_values: Tensor, input_ids: Tensor) -> float:
    """pixel_values f c h w in [-1, 1]; input_ids 1 n. Optimizer over the tuned parameters."""
    with torch.no_grad():
        latents = pipe.vae.encode(pixel_values).latent_dist.sample() * pipe.vae.config.scaling_factor
        latents = rearrange(latents, "(b f) c h w -> b c f h w", b=1)
        context = pipe.text_encoder(input_ids)[0]
    noise, timestep = torch.randn_like(latents), torch.randint(1000, (1,))
    noisy = pipe.scheduler.add_noise(latents, noise, timestep)
    loss = functional.mse_loss(video_unet(pipe.unet, noisy, timestep, context, checkpointing=True), noise)
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


@torch.no_grad()
def inversion_step(pipe: Any, latents: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
    """The network's part of a step of DDIM inversion. latents 1 c f h w, context 1 n d."""
    return video_unet(pipe.unet, latents, timestep[None], context)


@torch.no_grad()
def guided_step(pipe: Any, latents: Tensor, timestep: Tensor, context: Tensor, guidance_scale: float = 12.5) -> Tensor:
    """The network's part of a step of guided sampling. latents 1 c f h w, context 2 n d."""
    negative, positive = video_unet(pipe.unet, torch.cat([latents] * 2), timestep[None], context).chunk(2)
    return negative + guidance_scale * (positive - negative)


def video_unet(unet: Any, video: Tensor, timestep: Tensor, context: Tensor, checkpointing: bool = False) -> Tensor:
    """b c f h w in and out. Checkpointing is of each resnet and transformer of the down and up blocks."""

    def run(layer: Callable[..., Tensor], *arguments: Any) -> Tensor:
        return checkpoint(layer, *arguments, use_reentrant=True) if checkpointing else layer(*arguments)

    time = unet.time_embedding(get_timestep_embedding(timestep, unet.config.block_out_channels[0], True, 0))
    time = time.expand(len(video), -1)
    video = of_frames(unet.conv_in, video)
    skips = [video]
    for block in unet.down_blocks:
        for index, layer in enumerate(block.resnets):
            video = run(resnet, layer, video, time)
            if hasattr(block, "attentions"):
                video = run(transformer, block.attentions[index], video, context)
            skips.append(video)
        for layer in block.downsamplers or []:
            video = of_frames(layer, video)
            skips.append(video)
    video = resnet(unet.mid_block.resnets[0], video, time)
    video = transformer(unet.mid_block.attentions[0], video, context)
    video = resnet(unet.mid_block.resnets[1], video, time)
    for block in unet.up_blocks:
        for index, layer in enumerate(block.resnets):
            video = run(resnet, layer, torch.cat([video, skips.pop()], 1), time)
            if hasattr(block, "attentions"):
                video = run(transformer, block.attentions[index], video, context)
        for layer in block.upsamplers or []:
            video = of_frames(layer.conv, functional.interpolate(video, scale_factor=(1.0, 2.0, 2.0)))
    return of_frames(unet.conv_out, functional.silu(group_norm(unet.conv_norm_out, video)))


def of_frames(layer: nn.Module, video: Tensor) -> Tensor:
    frames = layer(rearrange(video, "b c f h w -> (b f) c h w"))
    return rearrange(frames, "(b f) c h w -> b c f h w", b=len(video))


def group_norm(norm: nn.GroupNorm, video: Tensor) -> Tensor:
    return functional.group_norm(video, norm.num_groups, norm.weight, norm.bias, norm.eps)


def resnet(block: Any, video: Tensor, time: Tensor) -> Tensor:
    hidden = of_frames(block.conv1, functional.silu(group_norm(block.norm1, video)))
    hidden = hidden + block.time_emb_proj(functional.silu(time))[:, :, None, None, None]
    hidden = of_frames(block.conv2, functional.silu(group_norm(block.norm2, hidden)))
    return hidden + (video if block.conv_shortcut is None else of_frames(block.conv_shortcut, video))


def transformer(module: Any, video: Tensor, context: Tensor) -> Tensor:
    f, h = video.shape[2], video.shape[3]
    context = context.repeat_interleave(f, 0)
    frames = rearrange(video, "b c f h w -> (b f) c h w")
    tokens = rearrange(module.proj_in(module.norm(frames)), "b c h w -> b (h w) c")
    for block in module.transformer_blocks:
        normed = block.norm1(tokens)
        tokens = tokens + attend(block.attn1, normed, normed, f)
        tokens = tokens + attend(block.attn2, block.norm2(tokens), context)
        tokens = tokens + block.ff(block.norm3(tokens))
        of_place = rearrange(tokens, "(b f) n d -> (b n) f d", f=f)
        normed = block.norm_temp(of_place)
        of_place = of_place + attend(block.attn_temp, normed, normed)
        tokens = rearrange(of_place, "(b n) f d -> (b f) n d", n=tokens.shape[1])
    frames = frames + module.proj_out(rearrange(tokens, "b (h w) c -> b c h w", h=h))
    return rearrange(frames, "(b f) c h w -> b c f h w", f=f)


def attend(attn: Any, tokens: Tensor, context: Tensor, sparse_causal_frames: int = 0) -> Tensor:
    query, key, value = attn.to_q(tokens), attn.to_k(context), attn.to_v(context)
    if f := sparse_causal_frames:
        former = torch.arange(f).sub(1).clamp(min=0)
        key, value = (rearrange(part, "(b f) n d -> b f n d", f=f) for part in (key, value))
        key, value = (torch.cat([part[:, [0] * f], part[:, former]], 2).flatten(0, 1) for part in (key, value))
    query, key, value = (rearrange(part, "b n (h d) -> (b h) n d", h=attn.heads) for part in (query, key, value))
    empty = torch.empty(len(query), query.shape[1], key.shape[1], dtype=query.dtype, device=query.device)
    scores = torch.baddbmm(empty, query, key.transpose(1, 2), beta=0, alpha=query.shape[-1] ** -0.5)
    return attn.to_out[0](rearrange(scores.softmax(-1) @ value, "(b h) n d -> b n (h d)", h=attn.heads))
