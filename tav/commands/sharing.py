"""The commands that bring results to others: their arguments. `tav.__main__` makes them commands of `tav`."""

from pathlib import Path
from typing import Annotated

import typer

from tav.params import load


def export(
    name: Annotated[str, typer.Argument(help="An edit; or loveu: a submission to LOVEU-TGVE-2023.", metavar="NAME")],
    to: Annotated[Path, typer.Option(help="The folder to write.", metavar="FOLDER")],
) -> None:
    """Write an edit as a folder of its own: MP4, GIF, frames, sheet, weights, and the settings that made it."""
    from tav.commands.export import export as export_name

    for line in export_name(load(), name, to):
        print(line)
