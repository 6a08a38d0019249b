"""The video UNet written out on `b c f h w`, one frame and one head at a time, with no code of tav's.

It takes the weights of an inflated UNet and follows the paper and the official code word by word, so that it is slow
and plain. Used to check models for which the official code left no recordings.
"""

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch.nn import functional


def group_norm_over_the_video(norm, video):
    b, c, f, h, w = video.shape
    groups = video.reshape(b, norm.num_groups, -1)
    mean, variance = groups.mean(-1, keepdim=True), groups.var(-1, unbiased=False, keepdim=True)
    normed = ((groups - mean) / (variance + norm.eps).sqrt()).reshape(b, c, f, h, w)
    return normed * norm.weight[:, None, None, None] + norm.bias[:, None, None, None]


def every_frame(module, video):
    return torch.stack([module(video[:, :, i]) for i in range(video.shape[2])], 2)


def attend(attn, x, context):
    """x b n d, context b m d."""
    query, key, value = attn.to_q(x), attn.to_k(context), attn.to_v(context)
    size = query.shape[-1] // attn.heads
    heads = []
    for i in range(attn.heads):
        q, k, v = (part[..., i * size : (i + 1) * size] for part in (query, key, value))
        heads.append((q @ k.transpose(1, 2) * size**-0.5).softmax(-1) @ v)
    return attn.to_out[0](torch.cat(heads, -1))


def transformer_block(block, frames, text):
    """frames: a list with b n d of each frame. Text: b m d."""
    normed = [block.norm1(x) for x in frames]
    former = [max(i - 1, 0) for i in range(len(frames))]
    frames = [
        x + attend(block.attn1, normed[i], torch.cat([normed[0], normed[former[i]]], 1)) for i, x in enumerate(frames)
    ]
    frames = [x + attend(block.attn2, block.norm2(x), text) for x in frames]
    frames = [x + block.ff(block.norm3(x)) for x in frames]
    video = torch.stack(frames, 2)  # b n f d
    b, n, f, d = video.shape
    tokens = block.norm_temp(video.reshape(b * n, f, d))
    video = video + attend(block.attn_temp, tokens, tokens).reshape(b, n, f, d)
    return list(video.unbind(2))


def transformer(module, video, text):
    _, _, f, h, w = video.shape
    frames = []
    for i in range(f):
        x = module.norm(video[:, :, i])  # of each frame alone
        if not module.use_linear_projection:
            x = module.proj_in(x)
        x = x.flatten(2).transpose(1, 2)
        frames.append(module.proj_in(x) if module.use_linear_projection else x)
    for block in module.transformer_blocks:
        frames = transformer_block(block, frames, text)
    outputs = []
    for x in frames:
        x = module.proj_out(x) if module.use_linear_projection else x
        x = x.transpose(1, 2).unflatten(2, (h, w))
        outputs.append(x if module.use_linear_projection else module.proj_out(x))
    return video + torch.stack(outputs, 2)


def resnet(block, video, time):
    hidden = functional.silu(group_norm_over_the_video(block.norm1, video))
    hidden = every_frame(block.conv1, hidden) + block.time_emb_proj(functional.silu(time))[:, :, None, None, None]
    hidden = functional.silu(group_norm_over_the_video(block.norm2, hidden))
    shortcut = every_frame(block.conv_shortcut, video) if block.conv_shortcut is not None else video
    return shortcut + every_frame(block.conv2, hidden)


def naive_video_unet(unet, video, timestep, text, condition=None):
    """video b c f h w, timestep b, text b m d; condition as SDXL's added_cond_kwargs."""
    time = get_timestep_embedding(timestep, unet.config.block_out_channels[0], True, 0)
    time = unet.time_embedding(time)
    if condition:
        ids = get_timestep_embedding(condition["time_ids"].flatten(), unet.config.addition_time_embed_dim, True, 0)
        time = time + unet.add_embedding(torch.cat([condition["text_embeds"], ids.reshape(len(video), -1)], -1))
    video = every_frame(unet.conv_in, video)
    skips = [video]
    for block in unet.down_blocks:
        for index, layer in enumerate(block.resnets):
            video = resnet(layer, video, time)
            if hasattr(block, "attentions"):
                video = transformer(block.attentions[index], video, text)
            skips.append(video)
        for layer in block.downsamplers or []:
            video = every_frame(layer, video)
            skips.append(video)
    video = resnet(unet.mid_block.resnets[0], video, time)
    video = transformer(unet.mid_block.attentions[0], video, text)
    video = resnet(unet.mid_block.resnets[1], video, time)
    for block in unet.up_blocks:
        for index, layer in enumerate(block.resnets):
            video = resnet(layer, torch.cat([video, skips.pop()], 1), time)
            if hasattr(block, "attentions"):
                video = transformer(block.attentions[index], video, text)
        for layer in block.upsamplers or []:
            size = skips[-1].shape[-2:]
            video = every_frame(lambda x, layer=layer, size=size: layer.conv(functional.interpolate(x, size)), video)
    return every_frame(unet.conv_out, functional.silu(group_norm_over_the_video(unet.conv_norm_out, video)))
