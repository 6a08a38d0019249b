"""`tav`, the command a person types, and `python -m tav STAGE KEY`, which DVC types."""

import os
import sys

if __name__ == "__main__":  # before anything that takes its time
    from tav.running.handing import hand_over

    if (ended := hand_over(sys.argv[1:])) is not None:
        sys.exit(ended)

from pathlib import Path
from typing import Annotated

import typer

from tav.commands import research, sharing
from tav.params import UserError, load
from tav.running import commands
from tav.running.outcome import outcome

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads cost 100x on a busy machine
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

app = typer.Typer(
    help="Tune-A-Video: learn a video's motion, then edit the video with a prompt.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
commands.register(app)
research.register(app)


def main() -> None:
    """Run a command. An error that a person can mend is one line; TAV_TRACEBACK=1 shows where it came from."""
    sys.exit(outcome(app))


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"tav {version('tav')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Tune-A-Video: learn a video's motion, then edit the video with a prompt."""


@app.command()
def report(
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open it when there is a screen.")] = True,
) -> None:
    """The page that shows all videos and edits: make it and say where it is."""
    commands.run_stage("report")
    page = Path("artifacts/report/index.html").absolute()
    print(page.as_uri())
    if open_page and sys.stdout.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        import webbrowser

        webbrowser.open(page.as_uri())


@app.command()
def add(
    source: Annotated[Path | None, typer.Argument(help="A video file, or a folder of images.", metavar="VIDEO")] = None,
    edit: Annotated[list[str] | None, typer.Option(help="A prompt to make of it. May be given many times.")] = None,
    caption: Annotated[str | None, typer.Option(help="What the video shows. Without it, BLIP-2 says.")] = None,
    name: Annotated[str | None, typer.Option(help="Its name in params.yaml. Default: the file's.")] = None,
    like: Annotated[Path | None, typer.Option(help="An edited MP4 or GIF, whose settings to take.")] = None,
    many: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Many videos instead: a CSV file (video,caption,prompt,name), or a folder.", metavar="LIST"
        ),
    ] = None,
) -> None:
    """Add a video and its edits to params.yaml, and track it with DVC."""
    from tav.commands.add import add_many, add_video

    if many and (source or caption or name or like):
        raise UserError("--from is for many videos: a list has columns for captions and names, so give --edit alone")
    for line in add_many(many, edit or []) if many else add_video(source, edit or [], caption, name, like):
        print(line)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="A video, which goes with all its edits, or an edit.", metavar="NAME")],
) -> None:
    """Take a video with its edits, or one edit, out of params.yaml. Deletes no file."""
    from tav.commands.remove import remove as remove_name

    for line in remove_name(name):
        print(line)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to make it. A new folder, or an empty one.")],
    demo: Annotated[bool, typer.Option("--demo", help="With the sample videos and the shipped models.")] = False,
) -> None:
    """Make a project in a folder."""
    from tav.commands.init import make_project

    for line in make_project(folder, demo=demo):
        print(line)


@app.command()
def upgrade(
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it, only say what will run again.")] = False,
) -> None:
    """Bring an older project's dvc.yaml and recipe numbers up to date with this tav."""
    from tav.commands.upgrade import upgrade as upgrade_project

    for line in upgrade_project(write=yes):
        print(line)


@app.command()
def run(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Stages to make, with what they need: tune, tune@red-car. Default: all.", metavar="TARGET"),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Stages at once, at most. Default: as many as there are cores.")
    ] = None,
    workers: Annotated[bool, typer.Option("--workers", help="Send each video to a worker (docs/scale.md).")] = False,
    on: Annotated[str, typer.Option(help="The workers' kind: process, docker or kubernetes.")] = "process",
) -> None:
    """Make what is stale, side by side, with retries and logs: `dvc repro` through Prefect."""
    from flows.__main__ import KINDS, run_flow

    if on not in KINDS:
        raise typer.BadParameter(f"got {on!r}, expected one of {', '.join(KINDS)}", param_hint="--on")
    raise typer.Exit(run_flow(targets or [], jobs, on if workers else None))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def dvc(context: typer.Context) -> None:
    """DVC's own commands, quick with hundreds of videos too: `tav dvc status`, `tav dvc repro`."""
    from flows.__main__ import run_dvc

    raise typer.Exit(run_dvc(context.args))


@app.command()
def worker(
    pool: Annotated[str, typer.Argument(help="gpu (which also runs what needs none) or cpu.", metavar="POOL")] = "gpu",
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0.01, help="How often a tuning's checkpoints go to the DVC remote.")
    ] = 10,
) -> None:
    """Run what `tav run --workers` hands out, on each GPU of this machine. Call it in a clone."""
    from flows.__main__ import run_workers

    raise typer.Exit(run_workers(pool, checkpoint_minutes))


@app.command()
def fetch_base() -> None:
    """Fetch the models that params.yaml has from the hub into models/, for DVC to keep. Workers then need no hub."""
    from tav.commands.fetch import fetch_models

    for line in fetch_models():
        print(line)


@app.command()
def plan() -> None:
    """Print what tuning and editing will take of memory and time. Runs nothing."""
    from tav.commands.plan import print_plan

    print_plan(load())


@app.command()
def import_official(
    unet: Annotated[Path, typer.Argument(help="The folder `unet` of an official output of the same base.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
) -> None:
    """Make tuned weights of what the official code (showlab/Tune-A-Video) tuned."""
    from tav.commands.official import import_weights

    import_weights(load(), unet, out)
    print(f"{out}: tuned weights, from the official code's {unet}")


@app.command()
def export_official(
    video: Annotated[str, typer.Argument(help="A video whose tuning is there.", metavar="VIDEO")],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
) -> None:
    """Write a video's tuned UNet as a folder that the official code reads."""
    from tav.commands.official import export_weights

    export_weights(load(), video, out)
    print(f"{out}: what was tuned on {video}, as the official code and diffusers' users load it")


@app.command()
def table() -> None:
    """Print the edits with their metrics."""
    from tav.commands.table import print_table

    print_table(load())


@app.command()
def record() -> None:
    """Make MLflow say what dvc.lock says. As often as you like."""
    from tav.record.tracking import record as record_runs

    print(record_runs(load()))


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port on this machine.")] = 5000) -> None:
    """Open MLflow on the recorded runs, to compare them."""
    from tav.record.ui import serve

    serve(port)


@app.command()
def studio(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 7860,
    host: Annotated[str, typer.Option(help="Address to listen at. 0.0.0.0: others may come, without a password.")] = (
        "127.0.0.1"
    ),
    max_upload: Annotated[str, typer.Option(help="The largest video that the page takes.", metavar="SIZE")] = "2gb",
) -> None:
    """Open a page to upload a video, try edits, and see them run."""
    from tav.record.ui import check_port
    from tav.studio.server import serve

    load()
    check_port(port)
    serve(host, port, max_upload)


for command in (sharing.export, sharing.import_lora, sharing.push):
    app.command()(command)


if __name__ == "__main__":
    main()
