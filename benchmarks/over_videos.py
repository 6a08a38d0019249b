"""The command line of the benchmarks over edit_quality.py's seeded videos. It goes on where it was stopped."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edit_quality import JUDGE, Figures, make_videos

from emoji_world.judge import Judge, load_judge
from emoji_world.world import Scene
from tav import params as parameters


def over_videos(
    about: str,
    of_video: Callable[[parameters.Params, Judge, list[Scene], dict[str, Scene]], Any],
    table_of: Callable[[list[Any]], dict[str, Figures]],
) -> dict[str, Figures]:
    """A benchmark's command line, run: the table of what it finds on each of the seeded videos.

    Args:
        about: the script's docstring, whose first line its help shows.
        of_video: what is found on one video.
        table_of: the table of all that was found, also before the last video.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too; goes on from there")
    asked = parser.parse_args()
    settings, judge = parameters.load(asked.params), load_judge(JUDGE)
    kept = json.loads(asked.json.read_text()) if asked.json and asked.json.exists() else {}
    found = list(kept.get("found", []))[: asked.videos]
    for scenes, edits in make_videos(asked.videos)[len(found) :]:
        found.append(of_video(settings, judge, scenes, edits))
        print(f"{len(found)} of {asked.videos} videos", flush=True)
        if asked.json:
            table = {"videos": len(found), "table": table_of(found), "found": found}
            asked.json.write_text(json.dumps(table, indent=2, default=float) + "\n")
    return table_of(found)
