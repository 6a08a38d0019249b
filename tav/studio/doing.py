"""What the page's buttons do. No gradio in here: texts and settings in, texts and pictures out."""

import io
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav.commands.add import Entry, add_video, changed
from tav.commands.footage import look_at
from tav.commands.like import Overrides
from tav.commands.params_text import parse, read_text, set_value, sole_writer, write_text
from tav.params import Extract, Params, UserError, check, load
from tav.params.project import merged

if TYPE_CHECKING:
    import numpy as np

PREVIEWED = 64
"""Frames of a preview, at most."""


def prompts_of(text: str) -> list[str]:
    """One a line."""
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def source(video: str | None, upload: str | None) -> Path:
    """The file of a video that is chosen or was uploaded. Raises UserError."""
    if upload:
        return Path(upload)
    if not video:
        raise UserError("no video yet: choose one, or upload one")
    return Path(load().video(video).path)


def taken_frames(path: Path, overrides: dict[str, Any]) -> tuple["np.ndarray", str]:
    """The frames that `extract` would take, uint8 (f h w 3), and a line about them. Raises UserError."""
    import numpy as np

    from tav.stages.extract import pick
    from tav.video import IMAGE_FPS, fitted_size, probe, resize

    section = load().extract.model_dump(by_alias=True)
    extract = _extract(merged(section, overrides))
    info = probe(path, extract.fps or IMAGE_FPS)
    size = fitted_size(info.width, info.height, extract.size)
    picked = [(shown.time, resize(shown.picture()[None], *size, extract.fit)) for shown in pick(path, info, extract)]
    times, frames = [time for time, _ in picked], np.concatenate([frame for _, frame in picked[:PREVIEWED]])
    summary = f"{len(picked)} frames of {info.num_frames or 'a folder'}, {size[0]}x{size[1]} pixels, "
    return frames, summary + f"from {times[0]:.2f} to {times[-1]:.2f} s. The source has {info.width}x{info.height}."


def _extract(data: dict[str, Any]) -> Extract:
    from pydantic import ValidationError

    from tav.complaints import complaints, listed

    try:
        return Extract.model_validate(data)
    except ValidationError as error:
        raise UserError(listed(complaints(error, Extract, "extract"), "; ")) from None


def written_caption(path: Path, overrides: dict[str, Any]) -> str:
    """What BLIP-2 says of the frame in the middle. Raises UserError."""
    frames, _ = taken_frames(path, overrides)
    return _aside(_caption, frames[len(frames) // 2])


def _caption(frame: "np.ndarray") -> str:
    from tav.stages.caption import write_caption

    return write_caption(frame, load().caption)


def plan(video: str | None, upload: str | None, prompts: list[str], overrides: Overrides) -> str:
    """What `tav plan` would say of these edits: as text. Raises UserError."""
    params = check(parse(_would_be(video, upload, prompts, overrides)))
    new = {key: edit for key, edit in params.edits.items() if edit.prompt in prompts}
    videos = {edit.video for edit in new.values()} if new else {video or ""}
    chosen = {"videos": {k: v for k, v in params.videos.items() if k in videos}, "edits": new}
    return _aside(_plan, params.model_copy(update=chosen))


def _would_be(video: str | None, upload: str | None, prompts: list[str], overrides: Overrides) -> str:
    path = source(video, upload)
    return changed(read_text(), [Entry(video or "upload", path, None, tuple(prompts))], overrides)[0]


def _plan(params: Params) -> str:
    from tav.commands.plan import print_plan

    with redirect_stdout(io.StringIO()) as printed:
        print_plan(params)
    return printed.getvalue()


def _aside(function: Any, *given: Any) -> str:
    """In a process of its own, so that no model stays in this one's memory. Raises what it raises."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return str(pool.submit(function, *given).result())


def add(
    video: str | None, upload: str | None, caption: str, prompts: list[str], overrides: Overrides
) -> tuple[str, list[str]]:
    """Add the video and its edits as `tav add` does. Gives the video's name and its edits'. Raises UserError.

    A video that is here gets what was typed besides, which tunes it anew; what was not typed stays as it is.
    """
    if not prompts:
        raise UserError("no prompt yet: write what the edited video shall show")
    path = source(video, upload)
    if video and not upload:
        _set(video, overrides)
    before = load()
    add_video(path, prompts, caption.strip() or None, None if upload else video, overrides=overrides)
    after, footage = load(), look_at(path)
    name = video if video and not upload else next(k for k, v in after.videos.items() if footage.is_same(Path(v.path)))
    new = [key for key in after.edits if key not in before.edits]
    had = {after.edits[key].prompt for key in new}
    there = {key for key, edit in after.edits.items() if edit.video == name and edit.prompt in set(prompts) - had}
    return name, [key for key in after.edits if key in there or key in new]


def _set(video: str, overrides: Overrides) -> None:
    """Give a video that is here settings of its own. Raises UserError."""
    with sole_writer():
        before = text = read_text()
        for section in ("extract", "tune"):
            there = parse(text)["videos"][video][section]
            if not overrides[section].items() <= there.items():
                text = set_value(text, ("videos", video, section), there | overrides[section])
        if text != before:
            write_text(text)
