"""What the page shows, as HTML: the frames that would be taken, a job as it runs, the results."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tav.studio.job import Job, Jobs, StageView

if TYPE_CHECKING:
    import numpy as np

SHOWN = 12
"""Frames of a preview."""
HEIGHT = 96
"""Pixels of a frame of it."""
CHECKPOINTS = Path("checkpoints")
"""Where `tune` keeps its samples until it has ended."""
REPORT = Path("artifacts/report/index.html")
PARAMS = Path("params.yaml")
STATES = {
    "waits": "Waits",
    "runs": "Runs",
    "done": "Done",
    "failed": "Failed",
    "stopped": "Stopped",
}


def frames_view(frames: "np.ndarray", summary: str) -> str:
    """A strip of some of the frames, uint8 (f h w 3), and a line."""
    every = max(1, -(-len(frames) // SHOWN))
    pictures = "".join(f'<img src="{_data_url(frame)}" alt="" height="{HEIGHT}">' for frame in frames[::every])
    return f'<div class="strip">{pictures}</div><p class="note">{escape(summary)}</p>'


def _data_url(frame: "np.ndarray") -> str:
    from PIL import Image

    out, picture = io.BytesIO(), Image.fromarray(frame)
    width = max(1, round(picture.width * HEIGHT / picture.height))
    way = Image.Resampling.NEAREST if picture.height < HEIGHT else Image.Resampling.BILINEAR
    picture.resize((width, HEIGHT), way).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def job_view(jobs: Jobs, mine: int | None = None) -> str:
    """What runs: a bar for each stage, the time left, the log's last line, samples while it tunes; then who waits.

    mine: the number of the job that the one who looks has started.
    """
    job, mine_running = jobs.current, None if mine is None else jobs.all[mine]
    waiting = "".join(
        f"<p class='waits'><b>Waits</b>: {escape(', '.join(each.edits))} <span class='note'>"
        f"{'yours; ' if each is mine_running else ''}one edit runs at a time, {ahead} before this one</span></p>"
        for ahead, each in enumerate(jobs.waiting, start=int(job is not None and not job.is_over))
    )
    if job is None:
        return waiting or '<p class="note">Nothing runs. What you start shows here.</p>'
    head = f"<b>{STATES[job.state]}</b>: {escape(', '.join(job.edits))}"
    rows = "".join(_stage_view(stage) for stage in job.stages)
    line = f"<p class='line'><code>{escape(job.line)}</code></p>" if job.line else ""
    card = f"<div class='job {job.state}' data-state='{job.state}'><p>{head}</p><ul>{rows}</ul>{line}{_sample(job)}"
    return f"{card}</div>{waiting}"


def _stage_view(stage: StageView) -> str:
    share = stage.done / stage.total if stage.total else 0
    runs = stage.state == "runs"
    bar = (
        f"<progress value='{share:.3f}'></progress>"
        if runs and stage.total
        else "<progress></progress>"
        if runs
        else ""
    )
    left = f"{stage.done} of {stage.total}, {stage.left} s left" if runs and stage.left is not None else stage.state
    return f"<li class='{'now' if runs else ''}'><span>{escape(stage.name)}</span>{bar}<span>{escape(left)}</span></li>"


def _sample(job: Job) -> str:
    sheets = sorted(CHECKPOINTS.glob(f"{job.video}/samples/*/*.png"), key=lambda path: path.stat().st_mtime_ns)
    if job.state != "runs" or not sheets:
        return ""
    sheet = sheets[-1]
    picture = base64.b64encode(sheet.read_bytes()).decode()
    image = f"<img class='sample' src='data:image/png;base64,{picture}' alt='Samples'>"
    return f"<p class='note'>Step {int(sheet.stem)}:</p>{image}"


def stamp(jobs: Jobs) -> str:
    """Another one when there is something new to show: an edit that ended, also one that was made by hand."""
    seen = [path.stat().st_mtime_ns if path.exists() else 0 for path in (PARAMS, REPORT)]
    return "-".join(map(str, [sum(job.is_over for job in jobs.all), *seen]))


def results_view(videos: Sequence[str], stamp: str, newest: Job | None = None) -> str:
    """The report, on this page: source and edits side by side, playing in step, with metrics and files."""
    if not REPORT.exists():
        return '<p class="note">No results yet.</p>'
    page = f"/report/index.html?{quote(stamp)}"
    links = " ".join(f'<a href="{page}#{quote(key)}" target="report">{escape(key)}</a>' for key in videos)
    files = "".join(
        f'<a class="mp4" href="/report/edits/{quote(edit)}.mp4?{quote(stamp)}" download="{escape(edit)}.mp4">'
        f"Download {escape(edit)}.mp4</a> "
        for edit in (newest.edits if newest and newest.state == "done" else ())
    )
    at = f"#{quote(newest.video)}" if files and newest else ""
    return (
        f'<p class="links">{files}</p><p class="note">Show: {links} <a href="/report/index.html" target="_blank">all, '
        f'in a tab of its own</a></p><iframe id="report" name="report" title="Results" src="{page}{at}"></iframe>'
    )
