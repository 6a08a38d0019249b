"""Stage condition: frames -> the maps that controls follow (edges, depth, ...), once for a video and a kind."""

from tav.artifacts import artifact, atomic, read_frames, write_frames, write_json
from tav.params import Params
from tav.stages import OnProgress, Progress
from tav.stages.maps import make_maps


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Writes a folder of PNGs for each kind that `condition.kinds` asks for, and with which settings."""
    frames, settings = read_frames(artifact("extract", key, "frames")), params.condition
    with atomic(artifact("condition", key, "maps")) as folder:
        folder.mkdir()
        for done, kind in enumerate(settings.kinds, 1):
            write_frames(folder / kind, make_maps(kind, frames, settings))
            on_progress(Progress(done, len(settings.kinds)))
        write_json(folder / "settings.json", settings.model_dump())  # so the folder is never empty
