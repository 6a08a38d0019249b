"""extract: a video -> its frames at the model's size, where they came from, and the sound of the same span."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tav.artifacts import artifact, atomic, write_frames, write_json
from tav.params import Extract, Params, UserError
from tav.stages import OnProgress, Progress
from tav.video import (
    IMAGE_FPS,
    Picked,
    Shown,
    Span,
    VideoInfo,
    cadence,
    fitted_size,
    pick_frames,
    probe,
    resize,
    shown_frames,
    write_audio,
)


def pick(path: Path, info: VideoInfo, extract: Extract) -> Iterator[Shown]:
    """The frames that the settings ask for. Raises UserError: too few, or a damaged one before the last of them."""
    number = 0
    for shown in pick_frames(
        shown_frames(path, info, extract.reader),
        info.fps,
        num_frames=extract.num_frames,
        start=extract.start,
        fps=extract.fps,
        stride=extract.stride,
    ):
        number += 1
        yield shown
    if number < (extract.num_frames or 1):
        rate = f"{extract.fps:g} a second" if extract.fps else f"with a stride of {extract.stride or 1}"
        length = f" ({info.duration:.2f} s)" if info.duration else ""
        raise UserError(
            f"{path} is too short: it has {info.num_frames} frames at {info.fps:.4g} a second{length}. "
            f"Of {extract.num_frames or 'all'} frames from {extract.start:g} s on, {rate}, {number} are there: "
            "set a smaller extract.num_frames, start or stride, or a higher fps"
        )


def covered(picked: list[Picked], fps: float) -> Span:
    """The seconds of the source that the picked frames show when they play at `fps`."""
    return Span(picked[0].time, picked[0].time + len(picked) / fps)


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Writes `frames/` and `source/`: what it is and, where there is some, its sound. Raises UserError."""
    extract, path = params.extract_of(key), Path(params.video(key).path)
    info = probe(path, extract.fps or IMAGE_FPS)
    size = fitted_size(info.width, info.height, extract.size)
    picked, frames = [], []
    for shown in pick(path, info, extract):
        picked.append(Picked(shown.index, shown.time))
        frames.append(resize(shown.picture()[None], *size, extract.fit))
        on_progress(Progress(len(frames), extract.num_frames or max(len(frames), info.num_frames or 0)))
    fps = cadence(picked, info.fps, fps=extract.fps, stride=extract.stride)
    span = covered(picked, fps)
    source = {
        "path": str(path),
        "width": info.width,  # of the source, as shown
        "height": info.height,
        "video": asdict(info),
        "indices": [frame.index for frame in picked],
        "span": asdict(span),
        "fps": fps,  # of the picked frames, and so of what is made of them
        "size": size,
        "fit": extract.fit,
    }
    with atomic(artifact("extract", key)) as folder:
        write_frames(folder / "frames", np.concatenate(frames))
        write_json(folder / "source/info.json", source)
        if info.has_audio:
            write_audio(folder / "source/audio.flac", path, span)
