"""What a tuning goes on drawing right: pictures of the video's kind of thing, from a folder, or drawn by the base."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.artifacts import read_frames, write_frames
from tav.from_params.loaded_base import identity_of
from tav.model.size import Size
from tav.params import Params, UserError, user_errors
from tav.params.tuning import PriorPictures as Asked

if TYPE_CHECKING:
    import numpy as np

    from tav.model.prior_pictures import PriorPictures

DRAWN = Path(".dvc/tmp/tav/prior-pictures")
"""What the base has drawn, in a folder for each way to ask it. Lost without harm: it draws the same again."""


def prior_pictures(params: Params, key: str, pipe: Any, size: Size) -> "tuple[PriorPictures, np.ndarray] | None":
    """Of a video, as a tuning takes them and as one sees them, uint8 (n h w 3). None where it has none.

    pipe: as inflated, not tuned yet.
    Raises UserError: a folder that is not there, or without a picture.
    """
    asked = params.tune_of(key).prior_pictures
    if asked is None:
        return None
    from tav.model.latents import encode_moments
    from tav.model.prior_pictures import PriorPictures
    from tav.model.prompts import encode_prompts

    shown = _drawn(params, key, asked, pipe, size) if asked.folder is None else _of_folder(Path(asked.folder), size)
    (prompts,) = encode_prompts(pipe, [asked.prompt], size)
    return PriorPictures(encode_moments(pipe.vae, shown), prompts), shown


def _of_folder(folder: Path, size: Size) -> "np.ndarray":
    """All pictures of a folder, cut to the video's aspect and size."""
    import numpy as np

    from tav.video import resize
    from tav.video.images import image_files, read_image

    if not folder.is_dir():
        raise UserError(f"tune.prior_pictures.folder: {folder} is no folder: give one with pictures, or null")
    pictures = (read_image(file) for file in image_files(folder))
    return np.concatenate([resize(picture[None], size.width, size.height, "crop") for picture in pictures])


def _drawn(params: Params, key: str, asked: Asked, pipe: Any, size: Size) -> "np.ndarray":
    """By the base, or before."""
    from tav.model.prior_pictures import draw_pictures
    from tav.model.prompts import encode_prompts

    folder = DRAWN / _mark(params, key, asked, pipe, size)
    if folder.exists():
        return read_frames(folder)
    print(f"tune@{key}: the base draws {asked.number} pictures of {asked.prompt!r}", flush=True)
    prompts, negative = encode_prompts(pipe, [asked.prompt, ""], size)
    shape = pipe.unet.config.in_channels, *(side // pipe.vae_scale_factor for side in size)
    with user_errors():
        drawn = draw_pictures(
            pipe,
            prompts,
            negative,
            shape,
            number=asked.number,
            steps=asked.steps,
            guidance_scale=asked.guidance_scale,
            seed=params.tune_of(key).seed,
        )
    write_frames(folder, drawn)
    return drawn


def _mark(params: Params, key: str, asked: Asked, pipe: Any, size: Size) -> str:
    """A hash of all that the pictures come from."""
    how = asked.model_dump(exclude={"weight", "folder"}), params.tune_of(key).seed, tuple(size)
    on = str(pipe.unet.conv_in.weight.dtype), params.compute.token_merging, pipe.device.type
    return hashlib.sha256(json.dumps([str(identity_of(params.base)), how, on]).encode()).hexdigest()[:16]
