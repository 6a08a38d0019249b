"""The commands that bring results to others: their arguments. `tav.__main__` makes them commands of `tav`."""

from pathlib import Path
from typing import Annotated

import typer

from tav.params import UserError, load


def export(
    name: Annotated[
        str | None, typer.Argument(help="An edit, a video, or loveu: a submission to LOVEU-TGVE-2023.", metavar="NAME")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Write an edit with all that made it.", metavar="FOLDER")] = None,
    hub: Annotated[
        Path | None, typer.Option(help="Write what was tuned on a video for the Hugging Face hub.", metavar="FOLDER")
    ] = None,
    lora: Annotated[
        Path | None, typer.Option(help="Write what was tuned on a video as a LoRA.", metavar="FILE.safetensors")
    ] = None,
    rank: Annotated[int, typer.Option(min=1, max=1024, help="Of the LoRA.")] = 16,
) -> None:
    """Write results to be sent to others: an edit with all that made it, a model card, a LoRA."""
    if sum(given is not None for given in (to, hub, lora)) != 1 or (name is None and hub is None):
        raise UserError(
            "expected EDIT --to FOLDER, VIDEO --hub FOLDER or VIDEO --lora FILE.safetensors behind `tav export`"
        )
    params = load()
    if to:
        from tav.commands.export import export as export_name

        lines = export_name(params, name or "", to)
    elif hub:
        from tav.commands.hub import export_hub

        lines = export_hub(params, name, hub)
    else:
        from tav.commands.lora import export_lora

        lines = export_lora(params, name or "", lora or Path(), rank)
    for line in lines:
        print(line)


def import_lora(
    lora: Annotated[Path, typer.Argument(help="A LoRA that `tav export --lora` wrote, or one like it.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
) -> None:
    """Make tuned weights of a LoRA of the same base."""
    from tav.commands.lora import import_lora as import_weights

    import_weights(load(), lora, out)
    print(f"{out}: tuned weights, from the LoRA {lora}")


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
