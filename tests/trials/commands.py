"""Hostile names, prompts, captions and file names through the commands that DVC runs: none has an effect of its own."""

from pathlib import Path
from random import Random

from project import write_params
from trials.hostile import CANARY, SNIPPETS
from trials.made import Made
from trials.small import Dvc, copy_of, let_go
from trials.trial import Ended

from tav.params import read_yaml

NAMES = (
    "red-car",
    "-rf",
    "--help",
    "视频",
    "किताब",
    "größe",
    "مرحبا",
    "_",
    "null",
    "true",
    "1e5",
    "x" * 64,
    "STAGE",
    "é",
)
CHEAP = ("extract", "caption", "condition")
"""What most trials run; the others run everything."""
WHOLE_EVERY = 12


class Commands:
    """Trials by number, each with a video and two edits."""

    def __init__(self, made: Made, seed: int, count: int) -> None:
        self.made, self.seed, self.names = made, seed, list(map(str, range(count)))

    def trial(self, name: str) -> Ended:
        rng = Random(f"{self.seed} {name}")
        around = self.made.folder / "around"
        project = copy_of(self.made.folder / "template", around / "project")
        make_hostile(project, rng)
        before = listing(around)
        whole = (int(name) + 1) % WHOLE_EVERY == 0
        wrong = self._run(project, ["repro", *([] if whole else CHEAP)])
        if made := [path for path in around.rglob(f"*{CANARY}*") if path.suffix != ".mp4"]:
            wrong = f"a command made {made[0]}"
        elif strangers := listing(around) - before - {"project/artifacts", "project/checkpoints", "project/dvc.lock"}:
            wrong = f"{', '.join(strangers)} came from nowhere"
        return Ended(f"hostile params.yaml, {'all stages' if whole else 'cheap stages'} run", wrong)

    def _run(self, project: Path, words: list[str]) -> str:
        dvc = Dvc(project, *words)
        code = dvc.wait(900)
        let_go(dvc)
        return f"`dvc {' '.join(words)}` ended with {code}: {dvc.said()[-900:]}" if code else ""


def make_hostile(project: Path, rng: Random) -> None:
    """A video and two edits with odd names, paths, captions and prompts, all of which params.yaml may have."""

    def text() -> str:
        return "".join(rng.sample(SNIPPETS, rng.choice([1, 2, 5]))).strip()

    data = read_yaml(project / "params.yaml")
    file = text().replace("/", "").replace("\n", "")[:60] + ".mp4"
    (project / "videos/cat.mp4").rename(project / "videos" / file)
    video, *edits = rng.sample(NAMES, 3)
    own = {"steps": 1, "sample_every": None}
    data["videos"] = {video: {"path": f"videos/{file}", "caption": text(), "extract": {}, "tune": own}}
    data["edits"] = {edit: {"video": video, "prompt": text(), "negative_prompt": text()} for edit in edits}
    write_params(project, data)


def listing(around: Path) -> set[str]:
    """What lies in the project's folder and beside it."""
    project = around / "project"
    return {
        str(path.relative_to(around)) for path in (*around.iterdir(), *project.iterdir(), *project.glob("videos/*"))
    }
