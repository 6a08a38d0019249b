"""What is typed for papers: data sets brought in."""

from pathlib import Path
from typing import Annotated, Literal

import typer

imports = typer.Typer(help="Bring a benchmark's videos and prompts in.", no_args_is_help=True)
votes = typer.Typer(help="Let people judge pairs of videos: the paper's user study.", no_args_is_help=True)
Only = Annotated[list[str] | None, typer.Option("--only", help="A video by its name. May be given many times.")]
Split = Annotated[list[str] | None, typer.Option("--split", help="A split, or how its name begins.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many videos.")]


def register(app: typer.Typer) -> None:
    """Give the commands to `tav`."""
    app.add_typer(imports, name="import")
    app.add_typer(votes, name="vote")
    app.command()(compare)
    app.command()(ablate)


@imports.command("loveu")
def import_loveu(
    folder: Annotated[Path, typer.Argument(help="loveu-tgve-2023, unpacked.")],
    texts: Annotated[Path | None, typer.Option(help="Its CSV, YAML or configs. Default: what is in FOLDER.")] = None,
    only: Only = None,
    limit: Limit = None,
    split: Split = None,
) -> None:
    """LOVEU-TGVE-2023: 76 videos, with prompts of four kinds, and its settings."""
    from tav.commands.data_set import Choice
    from tav.commands.loveu import import_loveu

    _say(import_loveu(folder, texts, Choice(only or [], split or [], limit)))


@imports.command("davis")
def import_davis(
    folder: Annotated[Path, typer.Argument(help="DAVIS, unpacked: it has JPEGImages.")],
    only: Only = None,
    limit: Limit = None,
    split: Split = None,
) -> None:
    """DAVIS: its videos, with the paper's settings. BLIP-2 captions them."""
    from tav.commands.data_set import Choice
    from tav.commands.davis import import_davis

    _say(import_davis(folder, Choice(only or [], split or [], limit)))


@imports.command("csv")
def import_csv(
    file: Annotated[Path, typer.Argument(help="Columns: video, caption, prompt, kind, name, split.")],
    only: Only = None,
    limit: Limit = None,
    split: Split = None,
) -> None:
    """Videos and prompts of your own, a row an edit."""
    from tav.commands.data_set import Choice
    from tav.commands.spreadsheet import import_csv

    _say(import_csv(file, Choice(only or [], split or [], limit)))


def compare(
    by: Annotated[Literal["all", "kind", "video", "variant"], typer.Option(help="What has a row.")] = "all",
    form: Annotated[
        Literal["text", "csv", "markdown", "latex"], typer.Option("--format", help="Of the table.")
    ] = "text",
    published: Annotated[
        str | None, typer.Option(help="A benchmark's published rows beside: loveu or v2vbench.")
    ] = None,
) -> None:
    """Means of all metrics, with their spread and bootstrap intervals: a table for a paper."""
    from tav.commands.compare import compared
    from tav.commands.compare_forms import FORMS
    from tav.params import load

    print(FORMS[form](compared(load(), by, published)), end="")


def ablate(
    video: Annotated[str, typer.Argument(help="A video with edits.", metavar="VIDEO")],
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A variant by its name. May be given many times.")
    ] = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="Other methods, too.")] = False,
) -> None:
    """Add variants of a video's edits: the paper's ablations and others."""
    from tav.commands.ablate import ablate

    _say(ablate(video, only or [], baselines))


@votes.command("make")
def vote_make(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    a: Annotated[str, typer.Option("--a", help="A variant; default: the edits that are none.")] = "default",
    b: Annotated[str, typer.Option("--b", help="Another variant.")] = "untuned",
    seed: Annotated[int, typer.Option(help="Of order and sides.")] = 0,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many pairs.")] = None,
) -> None:
    """A page of pairs of videos with two questions each, and the key to it."""
    from tav.commands.vote import make_page
    from tav.params import load

    _say(make_page(load(), out, a, b, seed, limit))


@votes.command("count")
def vote_count(
    out: Annotated[Path, typer.Argument(help="What `tav vote make` wrote.")],
    answers: Annotated[list[Path], typer.Argument(help="What the page saved, of each voter.")],
) -> None:
    """How often each was chosen, with intervals."""
    from tav.commands.vote import count

    _say(count(out, answers))


def _say(lines: list[str]) -> None:
    for line in lines:
        print(line)
