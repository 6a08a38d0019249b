"""Stage invert: frames, tuned weights -> the video's latents at every noise level (paper, section 4.2)."""

import time

from tav.artifacts import artifact, read_frames, read_json, write_json, write_tensors
from tav.params import Params
from tav.stages import OnProgress, Progress


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """DDIM-invert a video, and sample it back, from the end and from half way, to see what was lost."""
    began = time.monotonic()
    frames = read_frames(artifact("extract", key, "frames"))
    caption = read_json(artifact("caption", key, "caption.json"))["caption"]
    weights = artifact("tune", key, "weights.safetensors")

    from tav.from_params import open_base
    from tav.metrics import psnr
    from tav.model.ddim import ddim_invert, ddim_sample
    from tav.model.latents import decode, encode_moments
    from tav.model.prompts import encode_prompts

    settings, pipe = params.invert, open_base(params, tuned=weights)
    prompt = caption if settings.prompt is None else settings.prompt
    (source,) = encode_prompts(pipe, [prompt], frames.shape[1:3])
    latents = encode_moments(pipe.vae, frames).mean
    steps = settings.num_inference_steps
    inverted = ddim_invert(
        pipe.unet,
        pipe.scheduler,
        latents,
        source,
        steps,
        on_step=lambda done, total: on_progress(Progress(done, 2 * total)),
    )
    half = steps // 2  # as an edit of strength 0.5 starts
    from_half = ddim_sample(
        pipe.unet,
        pipe.scheduler,
        inverted[steps - half],
        source,
        num_inference_steps=steps,
        guidance_scale=1,
        start=half,
    )
    from_noise = ddim_sample(
        pipe.unet,
        pipe.scheduler,
        inverted[-1],
        source,
        num_inference_steps=steps,
        guidance_scale=1,
        on_step=lambda done, total: on_progress(Progress(total + done, 2 * total)),
    )
    write_tensors(artifact("invert", key, "latents.safetensors"), {"latents": inverted}, {"prompt": prompt})
    write_json(
        artifact("invert", key, "inversion.json"),
        {
            "psnr": psnr(decode(pipe.vae, from_noise), frames),
            "psnr_from_half": psnr(decode(pipe.vae, from_half), frames),
            "vae_psnr": psnr(decode(pipe.vae, latents), frames),
            "latents_std": inverted[-1].std().item(),
            "seconds": round(time.monotonic() - began, 2),
        },
    )
