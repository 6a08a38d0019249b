"""Damaged videos: each gives frames that PyAV agrees with or a one-line error, and never half an artifact."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import av
import numpy as np
from PIL import Image
from project import ignore
from trials.damage import KINDS, damaged, make_sources
from trials.forked import forked
from trials.trial import Ended

from tav.artifacts import read_frames, read_json
from tav.params import Params, check, read_yaml
from tav.running.outcome import explain
from tav.stages import extract
from tav.video.fitting import resize
from tav.video.interlace import deinterlaced
from tav.video.shown import as_shown

SHIPPED = Path(__file__).parents[2] / "params.yaml"


class Videos:
    """Trials with damaged videos, by number. The whole ones are made once."""

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        self.folder, self.seed, self.names = folder, seed, list(map(str, range(count)))
        if not (folder / "sources").is_dir():
            _, broke = forked(partial(_make_sources, folder / "new"), 300)
            if broke:
                raise SystemExit(f"error: the whole videos could not be made: {broke}")
            (folder / "new").rename(folder / "sources")
        self.settings = read_yaml(SHIPPED)

    def trial(self, name: str) -> Ended:
        """name: a number."""
        kind = KINDS[int(name) % len(KINDS)]
        rng = Random(f"{self.seed} {name}")
        place = self.folder / "trial"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        video = damaged(self.folder / "sources", kind, place, rng)
        params = self.params(video.name, rng)
        told, broke = forked(partial(_extract, params, place))
        wrong = broke or _half_made(place) or told.partition("\n")[2]
        if wrong:
            kept = self.folder / "found" / name
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(place, kept)
        return Ended(f"damaged videos: {kind}", wrong, told.partition("\n")[0])

    def params(self, path: str, rng: Random) -> Params:
        """Settings of extract that are as often for all frames as for some."""
        number = rng.choice([None, 4])
        own = {"num_frames": number, "stride": rng.choice([None, 1, 2]), "fps": None, "size": 32}
        video = {"path": path, "caption": "a box", "extract": own, "tune": {}}
        return check(self.settings | {"videos": {"v": video}, "edits": {}})


def _make_sources(folder: Path) -> str:
    _be_silent()
    make_sources(folder)
    return ""


def _extract(params: Params, place: Path) -> str:
    """What the stage did, a word and on the next line what is wrong with it."""
    os.chdir(place)
    _be_silent()
    try:
        extract.run(params, "v", ignore)
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        return "an error" if told.isprintable() else f"an error\nan error that is no line: {told!r}"
    return f"frames\n{_disagrees(Path(params.video('v').path))}"


def _be_silent() -> None:
    """What libraries print from C is no part of the trial."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)


def _disagrees(video: Path) -> str:
    """What PyAV, or Pillow of images, sees otherwise than the stage did."""
    source = read_json(Path("artifacts/extract/v/source/info.json"))
    made = read_frames(Path("artifacts/extract/v/frames"))
    if len(made) != len(source["indices"]):
        return f"{len(made)} frames, {len(source['indices'])} indices"
    plain = _pictures(video, source["indices"]) if video.is_dir() else _plain(video, source["indices"])
    for index, frame in zip(source["indices"], made, strict=True):
        if (other := next(plain, None)) is None:
            return f"PyAV has no frame {index}"
        if not np.array_equal(frame, resize(other[None], *source["size"], source["fit"])[0]):
            return f"PyAV has another frame {index}"
    return ""


def _plain(video: Path, indices: list[int]) -> Iterator[np.ndarray]:
    """These frames as PyAV gives them to whoever asks for nothing special: in one thread, damage hidden."""
    with av.open(str(video), metadata_errors="replace") as container:
        stream = container.streams.best("video")
        assert stream is not None
        stream.thread_type = "NONE"
        for index, frame in enumerate(deinterlaced(container.decode(stream), stream)):
            if index in indices:
                yield as_shown(frame, stream)
            if index == indices[-1]:
                return


def _pictures(folder: Path, indices: list[int]) -> Iterator[np.ndarray]:
    files = sorted(folder.iterdir())
    for index in indices:
        with Image.open(files[index]) as image:
            yield np.asarray(image.convert("RGB"))


def _half_made(place: Path) -> str:
    """What the stage left that is not whole."""
    made = place / "artifacts/extract/v"
    if left := [path.name for path in place.rglob(".tmp-*")]:
        return f"left {left[0]}"
    whole = [made / "frames", made / "source/info.json"]
    if made.exists() and not all(path.exists() for path in whole):
        return "left half an artifact"
    return ""
