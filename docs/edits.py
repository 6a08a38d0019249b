"""Draws edits.png, the README's picture, from what `make demo` made: python docs/edits.py, in the project's folder."""

from pathlib import Path

from tav.artifacts import artifact, read_frames
from tav.params import load
from tav.video import write_contact_sheet


def main() -> None:
    params, rows = load(), []
    for key, video in params.videos.items():
        rows.append((read_frames(artifact("extract", key, "frames")), f"source: {video.caption}"))
        for name, edit in params.edits.items():
            if edit.video == key:
                rows.append((read_frames(artifact("edit", name, "frames")), edit.prompt))
    write_contact_sheet(Path("docs/edits.png"), *zip(*rows, strict=True))


if __name__ == "__main__":
    main()
