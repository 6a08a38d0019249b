"""The page, put together with gradio: what is on it, and which button does what."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from tav.complaints import one_line
from tav.params import UserError, load
from tav.studio import doing
from tav.studio.fields import AT_HAND, FRAMES, Field, fields, own_settings
from tav.studio.job import Job, Jobs
from tav.studio.view import frames_view, job_view, results_view, stamp

VIDEO_FILES = [".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v", ".mpg", ".mpeg", ".wmv"]
TICK = 1.0
"""Seconds between two looks at what runs."""
TO_PROMPTS = "() => { document.querySelector('#prompts textarea').focus() }"


def page(jobs: Jobs) -> gr.Blocks:
    """The page of the project in the current folder."""
    params = load()
    known = fields(params)
    with gr.Blocks(title="Tune-A-Video", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.HTML("<h1>Tune-A-Video</h1><p>Learn a video's motion, then make other videos with it.</p>", elem_id="head")
        with gr.Row():
            with gr.Column(min_width=340):
                gr.Markdown("### 1. A video")
                video = gr.Dropdown(list(params.videos), value=None, label="One that is here", elem_id="video")
                upload = gr.File(label="Or a new one", file_types=VIDEO_FILES, elem_id="upload", height=150)
                first, rest = list(FRAMES)[:3], list(FRAMES)[3:]
                boxes = {(f.section, f.name): _box(f, f.label) for f in known if (f.section, f.name) in first}
                with gr.Accordion("Rate, size and fit", open=False):
                    boxes |= {(f.section, f.name): _box(f, f.label) for f in known if (f.section, f.name) in rest}
                look = gr.Button("Show the frames that are taken", elem_id="look")
                strip = gr.HTML(elem_id="strip")
            with gr.Column(min_width=340):
                gr.Markdown("### 2. What it shows, and what it shall show")
                caption = gr.Textbox(label="Caption", info="Empty: BLIP-2 writes it when it runs.", elem_id="caption")
                blip = gr.Button("Let BLIP-2 write it now", elem_id="blip")
                prompts = gr.Textbox(label="Edits: a prompt a line", lines=3, elem_id="prompts")
                with gr.Row():
                    boxes |= {(f.section, f.name): _box(f, f.label) for f in known if (f.section, f.name) in AT_HAND}
                with gr.Accordion("All other settings", open=False, elem_id="others"):
                    for f in known:
                        if (f.section, f.name) not in boxes:
                            boxes[f.section, f.name] = _box(f, f"{f.section}.{f.name}")
        with gr.Row():
            ask = gr.Button("What will it take?", elem_id="plan", min_width=100)
            run = gr.Button("Run", variant="primary", elem_id="run", min_width=100)
            cancel = gr.Button("Cancel", variant="stop", elem_id="cancel", min_width=100)
        message = gr.HTML(elem_id="said")
        gr.Markdown("### 3. What runs")
        running = gr.HTML(job_view(jobs), elem_id="running")
        gr.Markdown("### 4. Results")
        results = gr.HTML(results_view(list(params.videos), stamp(jobs)), elem_id="results")
        again = gr.Button("Make another edit of it", elem_id="again", visible=False)
        seen, mine = gr.State(""), gr.State(None)
        typed = [boxes[f.section, f.name] for f in known]
        _wire_inputs(known, typed, (video, upload, caption, strip, look, blip))
        _wire_runs(jobs, known, typed, (video, upload, caption, prompts, ask, run, cancel, message, mine))
        _wire_results(jobs, blocks, (running, results, video, upload, prompts, again, seen, mine))
    return blocks


def _box(field: Field, label: str) -> Any:
    name = f"{field.section}-{field.name}"
    if field.choices:
        return gr.Dropdown(["", *field.choices], value="", label=label, info=field.info, elem_id=name, min_width=140)
    return gr.Textbox(label=label, info=field.info, placeholder=field.now, elem_id=name, min_width=140, max_lines=1)


def _wire_inputs(known: list[Field], typed: list[Any], parts: tuple[Any, ...]) -> None:
    video, upload, caption, strip, look, blip = parts

    def show(name: str | None, file: str | None, *given: Any) -> str:
        overrides = own_settings(known, given)["extract"]
        return frames_view(*doing.taken_frames(doing.source(name, file), _of(name, file, overrides)))

    def write(name: str | None, file: str | None, *given: Any) -> str:
        overrides = own_settings(known, given)["extract"]
        return doing.written_caption(doing.source(name, file), _of(name, file, overrides))

    private = {"api_visibility": "private"}
    look.click(_as_toasts(show), [video, upload, *typed], strip, **private)
    blip.click(_as_toasts(write), [video, upload, *typed], caption, concurrency_id="model", **private)
    video.change(lambda name: load().videos[name].caption or "" if name else "", [video], caption, **private)
    video.input(lambda: None, None, upload, **private)
    upload.upload(lambda: (None, ""), None, [video, caption], **private)


def _of(video: str | None, upload: str | None, overrides: dict[str, Any]) -> dict[str, Any]:
    """A video that is here has settings of its own already."""
    return overrides if upload or not video else load().videos[video].extract | overrides


def _wire_runs(jobs: Jobs, known: list[Field], typed: list[Any], parts: tuple[Any, ...]) -> None:
    video, upload, caption, prompts, ask, run, cancel, message, mine = parts

    def plan(name: str | None, file: str | None, text: str, *given: Any) -> str:
        table = doing.plan(None if file else name, file, doing.prompts_of(text), own_settings(known, given))
        return f"<pre class='plan'>{_plain(table)}</pre>"

    def start(name: str | None, file: str | None, words: str, text: str, *given: Any) -> tuple[Any, ...]:
        overrides = own_settings(known, given)
        key, edits = doing.add(name, file, words, doing.prompts_of(text), overrides)
        number = jobs.add(Job(key, tuple(edits)))
        added = ", ".join(map(_plain, edits))
        return f"<p>In params.yaml: <b>{added}</b></p>", gr.Dropdown(list(load().videos), value=key), None, number

    def stop(number: int | None) -> str:
        if not (job := jobs.to_cancel(number)):
            raise gr.Error("nothing runs", print_exception=False)
        job.cancel()
        return f"<p>Stopping {_plain(', '.join(job.edits))}. The same edit goes on from there when it is run again.</p>"

    private = {"api_visibility": "private"}
    ask.click(_as_toasts(plan), [video, upload, prompts, *typed], message, concurrency_id="model", **private)
    inputs = [video, upload, caption, prompts, *typed]
    run.click(
        _as_toasts(start),
        inputs,
        [message, video, upload, mine],
        concurrency_id="add",
        concurrency_limit=1,
        **private,
    )
    cancel.click(stop, [mine], message, queue=False, **private)


def _wire_results(jobs: Jobs, blocks: gr.Blocks, parts: tuple[Any, ...]) -> None:
    running, results, video, upload, prompts, again, seen, mine = parts

    def tick(before: str, number: int | None) -> tuple[Any, ...]:
        shown, now = job_view(jobs, number), stamp(jobs)
        if before == now:
            return shown, gr.skip(), gr.skip(), gr.skip(), now
        try:
            here = list(load().videos)  # what was made by hand shows too
        except UserError:  # an editor is at it
            return shown, gr.skip(), gr.skip(), gr.skip(), before
        job = jobs.current
        can = gr.Button(f"Make another edit of {job.video}" if job else "", visible=bool(job and job.state == "done"))
        return shown, results_view(here, now, job), gr.Dropdown(here), can, now

    def more() -> tuple[Any, ...]:
        key = jobs.current.video if jobs.current else None
        return gr.Dropdown(list(load().videos), value=key), None, ""

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    gr.Timer(TICK).tick(tick, [seen, mine], [running, results, video, again, seen], concurrency_limit=8, **quiet)
    blocks.load(lambda: "", None, [seen], **quiet)
    again.click(more, None, [video, upload, prompts], **quiet).then(None, None, None, js=TO_PROMPTS)


def _as_toasts(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose UserError the page shows."""

    def called(*given: Any) -> Any:
        try:
            return function(*given)
        except UserError as error:
            raise gr.Error(_plain(one_line(str(error))), print_exception=False, duration=None) from None

    return called


def _plain(text: str) -> str:
    from html import escape

    return escape(text, quote=False)
