"""Frames -> the source prompt: as given, or written by BLIP-2."""

from pathlib import Path

import numpy as np

from tav.artifacts import artifact, read_frames, write_json
from tav.params import Caption, Model, Params, UserError, user_errors
from tav.stages import OnProgress, Progress

BLIP2 = "Blip2ForConditionalGeneration"


def write_caption(frame: np.ndarray, caption: Caption) -> str:
    """What BLIP-2 says of one frame, uint8 (h w 3), in one line. Raises UserError: no such model, not a BLIP-2."""
    if caption.model is None:
        raise UserError("caption.model is null: give the video a caption, or set caption.model in params.yaml")
    check_model(caption.model)
    import torch
    from transformers import AutoImageProcessor, Blip2ForConditionalGeneration, Blip2Processor
    from transformers.utils.logging import disable_progress_bar

    from tav.model.device import best_device

    disable_progress_bar()
    # Its makers run it in half precision, which a CPU can't do at a bearable speed.
    with user_errors():
        device = best_device()
    dtype = torch.float16 if torch.device(device).type == "cuda" else torch.float32
    where = {"revision": caption.model.revision, "local_files_only": caption.model.hub_id is None}
    source = caption.model.name
    try:
        model = Blip2ForConditionalGeneration.from_pretrained(source, dtype=dtype, use_safetensors=True, **where)
        processor = Blip2Processor.from_pretrained(source, **where)
        # torchvision, where it is installed, would resize in another way
        processor.image_processor = AutoImageProcessor.from_pretrained(source, backend="pil", **where)
    except (OSError, ValueError) as error:
        raise UserError(f"can't load BLIP-2 from {source}: {' '.join(str(error).split())}") from None
    inputs = processor(images=frame, return_tensors="pt").to(device, dtype)
    with torch.inference_mode():
        tokens = model.eval().to(device).generate(**inputs, max_new_tokens=caption.max_new_tokens, do_sample=False)
    return " ".join(processor.batch_decode(tokens, skip_special_tokens=True)[0].split())


def check_model(model: Model) -> None:
    """Raises UserError, naming what was found, unless this is a BLIP-2 that writes text. Loads no weights."""
    from transformers import PreTrainedConfig

    advice = "set caption.model in params.yaml, or give the video a caption"
    if model.hub_id is None and not Path(model.name).is_dir():
        raise UserError(f"no BLIP-2 at {model.name}: no such folder; {advice}")
    where = {"revision": model.revision, "local_files_only": model.hub_id is None}
    try:
        config = PreTrainedConfig.get_config_dict(model.name, **where)[0]
    except (OSError, ValueError) as error:
        raise UserError(f"no BLIP-2 at {model.name}: {' '.join(str(error).split())}; {advice}") from None
    if not config:
        raise UserError(f"no BLIP-2 at {model.name}: it has no config.json; {advice}")
    architecture = (config.get("architectures") or ["of no known class"])[0]
    if architecture != BLIP2:
        raise UserError(f"{model.name} is {architecture}, where a {BLIP2} is needed; {advice}")


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    caption, by = params.video(key).caption, "given"
    if caption is None:
        frames = read_frames(artifact("extract", key, "frames"))
        caption = write_caption(frames[len(frames) // 2], params.caption)
        by = params.caption.model.name if params.caption.model else "you"
    caption = " ".join(caption.split())
    if not caption:
        raise UserError(f"{by} has nothing to say of video {key!r}: write videos.{key}.caption in params.yaml yourself")
    write_json(artifact("caption", key, "caption.json"), {"caption": caption, "by": by})
    on_progress(Progress(1, 1))
