"""The commands that bring results to others: their arguments. `tav.__main__` makes them commands of `tav`."""

from pathlib import Path
from typing import Annotated

import typer

from tav.params import UserError, load


def export(
    name: Annotated[str, typer.Argument(help="An edit; or loveu: a submission to LOVEU-TGVE-2023.", metavar="NAME")],
    to: Annotated[Path, typer.Option(help="The folder to write.", metavar="FOLDER")],
) -> None:
    """Write an edit as a folder of its own: MP4, GIF, frames, sheet, weights, and the settings that made it."""
    from tav.commands.export import export as export_name

    for line in export_name(load(), name, to):
        print(line)


def push(
    name: Annotated[str | None, typer.Argument(help="An edit. Not with --test-pattern.", metavar="[EDIT]")] = None,
    to: Annotated[
        str | None, typer.Argument(help="rtmp://host/app/key, srt://, udp://, or a file.", metavar="URL")
    ] = None,
    test_pattern: Annotated[
        bool, typer.Option("--test-pattern", help="640x480, 30 frames a second, 500 kbit/s, instead of an edit.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Again and again.")] = False,
    reconnect: Annotated[bool, typer.Option("--reconnect", help="Try again when the server is away.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long. Default: at its end.")] = None,
) -> None:
    """Send an edited video live: H.264 and AAC by RTMP, SRT, UDP or to a file."""
    from tav.commands.push import push as push_live

    given = [text for text in (name, to) if text is not None]
    if len(given) != (1 if test_pattern else 2):
        raise UserError("expected `tav push EDIT URL` or `tav push --test-pattern URL`")
    edit = None if test_pattern else given[0]
    print(push_live(edit, given[-1], loop=loop, reconnect=reconnect, seconds=seconds))
