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
STATES = {
    "waits": "Waits",
    "runs": "Runs",
    "done": "Done",
    "failed": "Failed",
    "stopped": "Stopped",
}


def frames_view(frames: "np.ndarray", said: str) -> str:
    """A strip of some of the frames, uint8 (f h w 3), and a line."""
    every = max(1, -(-len(frames) // SHOWN))
    pictures = "".join(f'<img src="{_data_url(frame)}" alt="" height="{HEIGHT}">' for frame in frames[::every])
    return f'<div class="strip">{pictures}</div><p class="note">{escape(said)}</p>'


def _data_url(frame: "np.ndarray") -> str:
    from PIL import Image

    out, picture = io.BytesIO(), Image.fromarray(frame)
    width = max(1, round(picture.width * HEIGHT / picture.height))
    way = Image.Resampling.NEAREST if picture.height < HEIGHT else Image.Resampling.BILINEAR
    picture.resize((width, HEIGHT), way).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def job_view(jobs: Jobs, job: Job | None) -> str:
    """What runs: a bar for each stage, the time left, the log's last line, samples while it tunes."""
    if job is None:
        return '<p class="note">Nothing runs. What you start shows here.</p>'
    ahead, waiting = jobs.ahead_of(job), sum(each.state == "waits" for each in jobs.all)
    head = f"<b>{STATES[job.state]}</b>: {escape(', '.join(job.edits))}"
    if job.state == "waits":
        head += f" <span class='note'>one edit runs at a time; {ahead} before this one</span>"
    elif waiting:
        head += f" <span class='note'>{waiting} more wait{'s' if waiting == 1 else ''}</span>"
    rows = "".join(_stage_view(stage) for stage in job.stages)
    line = f"<p class='line'><code>{escape(job.line)}</code></p>" if job.line else ""
    return (
        f"<div class='job {job.state}' data-state='{job.state}'><p>{head}</p><ul>{rows}</ul>{line}{_sample(job)}</div>"
    )


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


def results_view(videos: Sequence[str], version: int) -> str:
    """The report, on this page: source and edits side by side, playing in step, with metrics and files."""
    if not REPORT.exists():
        return '<p class="note">No results yet.</p>'
    links = " ".join(f'<a href="/report/index.html#{quote(key)}" target="_blank">{escape(key)}</a>' for key in videos)
    stamp = REPORT.stat().st_mtime_ns
    return (
        f'<iframe id="report" title="Results" src="/report/index.html?{stamp}-{version}"></iframe>'
        f'<p class="note">In a tab of its own: {links}</p>'
    )
