"""Draws the README's pictures from what was made in a project: run it in the project's folder.

python docs/edits.py                                              # edits.png: all of what `make demo` made
python docs/edits.py --to docs/control.png EDIT ...    # these, with what they follow and their masks
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tav.artifacts import artifact, read_frames, read_json
from tav.params import Params, load
from tav.stages.maps import maps_of
from tav.video import write_contact_sheet

Row = tuple[np.ndarray, str]
"""Frames, and what stands above them."""


def rows_of(params: Params, video: str, edits: list[str], *, beside: bool) -> Iterator[Row]:
    """A video and edits of it. beside: with the maps that each follows, and its mask."""
    yield read_frames(artifact("extract", video, "frames")), f"source: {params.video(video).caption}"
    for name in edits:
        settings, mask = params.edit_of(name), artifact("edit", name, "frames/mask")
        if beside:
            source = read_json(artifact("extract", video, "source/info.json"))
            yield from ((maps, label) for label, maps in maps_of(settings.controls, video, source).items())
        if beside and mask.exists():
            yield read_frames(mask), "mask"
        yield read_frames(artifact("edit", name, "frames")), params.video_edit(name).prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("edits", nargs="*", help="all, if none is named")
    parser.add_argument("--to", type=Path, default=Path("docs/edits.png"))
    asked, params = parser.parse_args(), load()
    of = {video: [name for name, edit in params.edits.items() if edit.video == video] for video in params.videos}
    rows: list[Row] = []
    for video, names in of.items():
        chosen = [name for name in names if name in asked.edits or not asked.edits]
        if chosen or not asked.edits:
            rows += rows_of(params, video, chosen, beside=bool(asked.edits))
    write_contact_sheet(asked.to, *zip(*rows, strict=True))


if __name__ == "__main__":
    main()
