"""Stage invert: frames, tuned weights -> the video's latents at every noise level (paper, section 4.2)."""

import time

from tav.artifacts import artifact, read_frames, read_json, room_on_disk, write_json, write_tensors
from tav.model.size import Size
from tav.params import Params
from tav.stages import OnProgress, Progress


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Invert a video, and sample it back, from the end and from half way, to see what was lost."""
    began = time.monotonic()
    frames = read_frames(artifact("extract", key, "frames"))
    caption = read_json(artifact("caption", key, "caption.json"))["caption"]
    weights = artifact("tune", key, "weights.safetensors")

    from tav.from_params.base import open_base
    from tav.from_params.sampling import in_windows, invert_video
    from tav.metrics.formulas import psnr
    from tav.model.ddim import Schedule, ddim_sample
    from tav.model.denoiser import Network, prompted
    from tav.model.latents import decode, encode_moments
    from tav.model.prompts import encode_prompts

    settings, pipe = params.invert, open_base(params, tuned=weights)
    prompt = caption if settings.prompt is None else settings.prompt
    (source,) = encode_prompts(pipe, [prompt], Size(*frames.shape[1:3]))
    latents = encode_moments(pipe.vae, frames).mean
    with room_on_disk(artifact("invert", key)) as room:
        inverted = invert_video(
            pipe,
            settings,
            latents,
            source,
            room=room,
            on_step=lambda done, total: on_progress(Progress(done, 2 * total)),
        )
        denoise = in_windows(prompted(Network(pipe.unet), source), settings.window)
        schedule = Schedule.of(pipe.scheduler, inverted.steps)
        late = schedule.from_step(len(schedule) // 2)  # as an edit of strength 0.5 starts
        from_half = ddim_sample(denoise, late, inverted.at(len(late)).to(pipe.device), noises=inverted.noises)
        from_noise = ddim_sample(
            denoise,
            schedule,
            inverted.at(len(schedule)).to(pipe.device),
            noises=inverted.noises,
            on_step=lambda done, total: on_progress(Progress(total + done, 2 * total)),
        )
        spread = inverted.latents[-1].std().item()
        write_tensors(artifact("invert", key, "latents.safetensors"), inverted.tensors(), {"prompt": prompt})
    write_json(
        artifact("invert", key, "inversion.json"),
        {
            "psnr": psnr(decode(pipe.vae, from_noise), frames),
            "psnr_from_half": psnr(decode(pipe.vae, from_half), frames),
            "vae_psnr": psnr(decode(pipe.vae, latents), frames),
            "latents_std": spread,
            "seconds": round(time.monotonic() - began, 2),
        },
    )
