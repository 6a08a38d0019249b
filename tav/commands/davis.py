"""DAVIS 2016 and 2017 into params.yaml, from the folder as it is unpacked.

FOLDER/JPEGImages/480p/NAME/00000.jpg   the videos (or Full-Resolution)
FOLDER/ImageSets/2017/train.txt         the names of a split
"""

from pathlib import Path

from tav.commands.data_set import PAPER_INVERT, PAPER_TUNE, Choice, Entry, import_entries
from tav.params import UserError

NUM_FRAMES, SIDE = 32, 512
"""Paper, section 5.1: 32 uniform frames at 512x512."""
RESOLUTIONS = ("480p", "Full-Resolution", "1080p")


def import_davis(folder: Path, choice: Choice) -> list[str]:
    """Add DAVIS's videos to params.yaml, with the paper's settings.

    BLIP-2 writes their captions; edits are yours to add. Returns what to tell the person. Raises UserError.
    """
    images = next((at for r in RESOLUTIONS if (at := folder / "JPEGImages" / r).is_dir()), None)
    if images is None:
        raise UserError(f"{folder} is not DAVIS: expected its videos in {folder}/JPEGImages/480p")
    listed = splits(folder) or [("all", path.name) for path in sorted(images.iterdir()) if path.is_dir()]
    names = [listed[i][1] for i in choice.of(listed)]
    there = [name for name in dict.fromkeys(names) if (images / name).is_dir()]
    missing = [name for name in dict.fromkeys(names) if name not in there]
    return import_entries([_entry(images / name) for name in there], PAPER_INVERT, missing)


def splits(folder: Path) -> list[tuple[str, str]]:
    """(split, name) of each video, from the newest of its ImageSets."""
    for year in ("2017", "2016"):
        files = sorted(file for file in (folder / "ImageSets" / year).glob("*.txt"))
        named = [(file.stem, name) for file in files for name in _names(file)]
        if named:
            return named
    return []


def _names(file: Path) -> list[str]:
    """A name a line (2017), or an image and its mask a line (2016: /JPEGImages/480p/bear/00000.jpg ...)."""
    words = [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [*dict.fromkeys(Path(word).parent.name if "/" in word else word for word in words)]


def _entry(path: Path) -> Entry:
    files = sum(file.suffix.lower() in (".jpg", ".png") for file in path.iterdir())
    number = max(1, min(NUM_FRAMES, files))
    extract = {"num_frames": number, "start": 0.0, "fps": None, "stride": files // number, "size": [SIDE, SIDE]}
    return Entry(path.name, path, None, [], "davis", extract, PAPER_TUNE)
