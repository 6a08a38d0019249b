"""A DVC project whose stages are quick: a script writes the artifacts. And its rows in MLflow."""

import shutil
import sys
from pathlib import Path
from typing import Any

from tav.record.store import address

ROOT = Path(__file__).parents[1]
PARAMS = """
videos:
  car: {path: car.mp4, caption: a red car, extract: {}, tune: {learning_rate: 2.0e-4}}
  cat: {path: cat.mp4, caption: a cat, extract: {}, tune: {}}
edits:
  car--panda: {video: car, prompt: a panda}
  cat--dog: {video: cat, prompt: a dog, seed: 7}
base: {source: models/base, loras: []}
compute: {memory: auto, precision: fp32, attention: sdpa, compile: false, token_merging: 0.0}
extract: {num_frames: 4, size: 32}
caption: {model: {source: models/blip2}, max_new_tokens: 30}
tune: {steps: 5, learning_rate: 1.0e-4}
invert: {num_inference_steps: 20, prompt: null}
condition: {kinds: []}
edit: {guidance_scale: 3.0, from: inversion}
evaluate: {clip: {source: models/clip}, pick_score: null}
"""
STAGE = """
import hashlib, json, os, sys
from pathlib import Path
stage, key = sys.argv[1], os.environ["DVC_STAGE"].partition("@")[2]

def read():
    "params.yaml, and the settings of each stage by it. Known to the stages that run later: tav takes a second to load"
    text = Path("params.yaml").read_bytes() + Path("recipe.yaml").read_bytes()
    known = Path(".dvc/tmp", hashlib.sha256(text).hexdigest() + ".json")
    if not known.exists():
        from ruamel.yaml import YAML
        from tav.params import load
        from tav.settings import OF_EDITS, STAGES, settings_of
        params = YAML(typ="safe", pure=True).load(Path("params.yaml"))
        keys = {stage: params["edits" if stage in OF_EDITS else "videos"] for stage in STAGES}
        settings = {stage: {key: settings_of(load(), stage, key) for key in keys[stage]} for stage in STAGES}
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps([params, settings]))
    return json.loads(known.read_text())

params, settings = read()
out = Path("artifacts", stage, key)
out.mkdir(parents=True, exist_ok=True)
write = lambda name, data: (out / name).write_text(json.dumps(data))
if stage == "model":
    Path("artifacts/models").mkdir(exist_ok=True)
    for name in ("base", "blip2", "clip", "condition", "controls", "pick_score"):
        files = sorted(Path("models", name).rglob("*"))
        Path("artifacts/models", f"{name}.json").write_text(json.dumps([f.read_text() for f in files if f.is_file()]))
elif stage == "extract":
    for name in ("frames", "source"):
        (out / name).mkdir()
        (out / name / "what.txt").write_text(name + params["videos"][key]["path"] + str(params["extract"]))
elif stage == "caption":
    write("caption.json", {"caption": params["videos"][key]["caption"], "by": "you"})
elif stage == "tune":
    tune = params["tune"] | params["videos"][key]["tune"]
    first = float(os.environ.get("FIRST_LOSS", 1))
    rows = [f"{i},{first / i},{tune['learning_rate']},0.5,0.25\\n" for i in range(1, tune["steps"] + 1)]
    (out / "loss.csv").write_text("step,loss,lr,grad_norm,seconds\\n" + "".join(rows))
    (out / "weights.safetensors").write_text(str(rows))
    (out / "samples").mkdir()
    write("tuning.json", {"seconds": 1.25, "peak_memory_gb": 0.5, "device": "cpu"})
elif stage == "invert":
    (out / "latents.safetensors").write_text(Path("artifacts/tune", key, "weights.safetensors").read_text())
    write("inversion.json", {"psnr": 20.5, "psnr_from_half": 21.5, "vae_psnr": 22.5, "seconds": 0.5})
elif stage == "condition":
    (out / "maps").mkdir()
    (out / "maps/settings.json").write_text("{}")
elif stage == "edit":
    (out / "frames").mkdir()
    for name in ("video.mp4", "preview.gif", "sheet.png", "edit.json", "frames/0.png"):
        (out / name).write_text(json.dumps(params["edits"][key] | params["edit"] | {"seconds": 0.25}))
elif stage == "evaluate":
    value = float(os.environ.get("CONSISTENCY", 0.9))
    write("metrics.json", {"edit": {"frame_consistency": value}, "source": {"frame_consistency": 0.8}})
if stage != "model":
    write("settings.json", settings[stage][key])
"""


def dvc(*command: str) -> None:
    from dvc.cli import main

    assert main(["-q", *command]) == 0


def make_tracked_project(folder: Path, *, report: bool = False) -> None:
    """Not run yet. Its dvc.yaml is the real one, less the report. report: with it, and that one for real."""
    dag = (ROOT / "dvc.yaml").read_text()
    stages, last = dag[: (end := dag.index("  report:"))], dag[end:] if report else ""
    last = last.replace("python -m tav", f"{sys.executable} -m tav")
    (folder / "dvc.yaml").write_text(stages.replace("python -m tav", f"{sys.executable} stage.py") + last)
    (folder / "params.yaml").write_text(PARAMS)
    (folder / "stage.py").write_text(STAGE)
    (folder / ".dvcignore").write_text("")
    (folder / ".gitignore").write_text("/mlflow.db*\n/mlruns/\n/artifacts/\n")
    shutil.copy(ROOT / "recipe.yaml", folder)
    for name in (
        "car.mp4",
        "cat.mp4",
        "models/base/unet/w",
        "models/base/index.json",
        "models/blip2/w",
        "models/clip/w",
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)


def rows(experiment: str) -> list[Any]:
    """The rows of an experiment, newest first; none may be there twice."""
    from mlflow import MlflowClient

    from tav.record.rows import IDENTITY

    client = MlflowClient(address())
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len({run.data.tags[IDENTITY] for run in found}) == len(found)
    return list(found)


def row(experiment: str, name: str) -> Any:
    """The newest row of that name."""
    return next(run for run in rows(experiment) if run.info.run_name == name)


def history(run: Any, metric: str = "loss") -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return [(m.step, m.value) for m in MlflowClient(address()).get_metric_history(run.info.run_id, metric)]


def change(old: str, new: str, name: str = "params.yaml") -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))
