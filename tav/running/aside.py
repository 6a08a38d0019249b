"""What params.yaml has no more goes out of the way, as the report depends on folders as wholes.

DVC can't list the outputs of a `foreach` as what another stage depends on. If what was made for a removed edit stayed
in its folder, the report would count as made from it, and be out of date in a clone, which has no such files.
"""

import shutil

from tav.artifacts import ROOT
from tav.params import Params

ASIDE = ROOT / "removed"
OF_VIDEOS, OF_EDITS = ("extract", "caption", "tune", "invert", "condition"), ("edit", "evaluate")


def put_aside(params: Params) -> list[str]:
    """Move what belongs to no video and no edit from `artifacts/STAGE/KEY` to `artifacts/removed/STAGE/KEY`.

    Only what was put aside under that name before is deleted. Returns what it was, as in `edit/man-skiing--panda`.
    """
    asked = dict.fromkeys(OF_VIDEOS, params.videos.keys()) | dict.fromkeys(OF_EDITS, params.edits.keys())
    folders = [path for stage in asked for path in sorted(ROOT.joinpath(stage).glob("[!.]*"))]
    gone = [path for path in folders if path.name not in asked[path.parent.name]]
    for path in gone:
        target = ASIDE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    return [path.relative_to(ROOT).as_posix() for path in gone]
