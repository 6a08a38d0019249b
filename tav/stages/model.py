"""Stage model: what a model is, for the stages that use it: the hashes of its files, or its commit on the hub.

Stages depend on what is written here, so they are stale when weights change under an unchanged name, and only then.
DVC can make a dependency neither conditional (a path, or nothing for the hub) nor as many as a list has entries
(LoRAs), and follows no linked folders. So the stage depends on the folder `models` as a whole, which costs a second
when another model in it changes; what it writes names only the files that are read. Of a path outside `models` DVC
sees no change; the runner does, when a stage that uses it starts (tav.running.weights).
"""

from typing import Any

from tav.artifacts import model_record, read_json, write_json
from tav.hashes import what_is_at
from tav.params import Params
from tav.stages import OnProgress, Progress


def run(params: Params, key: str, on_progress: OnProgress) -> None:
    """Write artifacts/models/NAME.json for each model: a list with what lies at each of its sources."""
    models = params.sources()
    for done, (name, sources) in enumerate(models.items(), 1):
        before = _known(name)
        write_json(model_record(name), [before.get(source) or what_is_at(source) for source in sources])
        on_progress(Progress(done, len(models)))


def _known(name: str) -> dict[str, dict[str, Any]]:
    """The sources on the hub whose commit is known: a branch may have moved since, and nobody has asked for that."""
    record = model_record(name)
    return {part["source"]: part for part in read_json(record) if part["commit"]} if record.exists() else {}
