"""Stage invert: frames, tuned weights -> the video's latents at every noise level (paper, section 4.2)."""

from tav.artifacts import artifact, read_frames, read_json, write_json, write_tensors
from tav.params import Params, told
from tav.stages import OnProgress, Progress


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """DDIM-invert a video, and sample it back, from the end and from half way, to see what was lost."""
    frames = read_frames(artifact("extract", key, "frames"))
    caption = read_json(artifact("caption", key, "caption.json"))["caption"]
    weights = artifact("tune", key, "weights.safetensors")

    from tav.latents import decode, encode_moments
    from tav.metrics import psnr
    from tav.model.ddim import ddim_invert, ddim_sample
    from tav.model.device import best_device
    from tav.model.pretrained import identity, load_pipeline
    from tav.model.prompts import encode_prompts
    from tav.model.tuned_weights import load_tuned_weights

    base, settings = params.base, params.invert
    with told():
        pipe = load_pipeline(
            base.source, revision=base.revision, config=base.config, loras=base.fused, device=best_device()
        )
        load_tuned_weights(pipe.unet, weights, base=identity(base.source, base.revision, loras=base.fused))
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
        },
    )
