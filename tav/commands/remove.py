"""`tav remove`: take a video with its edits, or one edit, out of params.yaml."""

from tav.commands.params_text import parse, read_text, remove_entries, sole_writer, write_text
from tav.complaints import nearest, one_line
from tav.params import UserError


def remove(name: str) -> list[str]:
    """Remove a video and all its edits, or an edit. Deletes no file. Returns what to tell the person.

    Raises UserError.
    """
    read_text()
    with sole_writer():
        text = read_text()
        data = parse(text)
        videos, edits = data["videos"], data["edits"]
        if name in videos and name in edits:
            raise UserError(f"both a video and an edit are called {name!r}: rename one of them in params.yaml first")
        if name not in videos and name not in edits:
            raise UserError(f"params.yaml has no video or edit {name!r}{nearest(name, [*videos, *edits])}")
        lost = [video for video, entry in videos.items() if name in (video, entry.get("variant_of"))]
        gone = [edit for edit in edits if edit == name or edits[edit]["video"] in lost]
        text = remove_entries(text, "edits", gone)
        text = remove_entries(text, "videos", lost)
        write_text(text)
    return [
        *(f"removed video {video}; its file stays: {videos[video]['path']}" for video in lost),
        *(f"removed edit {edit}: {one_line(edits[edit]['prompt'])}" for edit in gone),
        "what was made of it stays in artifacts/, and in DVC's cache until no commit has it and you run "
        "`dvc gc --workspace --all-commits`",
    ]
