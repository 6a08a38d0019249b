"""A project of many videos whose stages only write files: this project's dvc.yaml, params.yaml and recipe.yaml, but for
the commands. Nothing of it computes, so that what it takes is what DVC, Prefect and tav take by themselves."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tav.params import check
from tav.settings import FILE, STAGES, settings_of

ROOT = Path(__file__).parents[1]
FILES = (".gitignore", ".dvcignore", "recipe.yaml")
SCRIPT = """#!/bin/sh
# Write what a stage makes, and nothing else. SLEEP: seconds that it takes, of those stages that compute.
stage=${DVC_STAGE%%@*}; key=${DVC_STAGE#*@}; at=artifacts/$stage/$key; settings=$PWD/settings/$stage/$key.json
if [ "$SLEEP" ]; then sleep "$SLEEP"; fi
case $stage in
model) mkdir -p artifacts/models; cd artifacts/models || exit 1
  for name in base blip2 clip condition controls pick_score; do echo '{}' > $name.json; done; exit;;
report) mkdir -p artifacts/report; echo hello > artifacts/report/index.html; exit;;
esac
mkdir -p "$at"; cd "$at" || exit 1
frames() { mkdir -p frames; for i in 0 1 2 3 4 5 6 7; do echo "$key $i" > frames/0000$i.png; done; }
case $stage in
extract) frames; mkdir -p source; echo '{"fps": 8}' > source/info.json;;
caption) echo '{"caption": "a cat", "by": "given"}' > caption.json;;
tune) mkdir -p samples; echo '[]' > samples/prompts.json; echo "$key" > weights.safetensors
  echo '{"seconds": 1.0}' > tuning.json; printf 'step,loss,seconds\\n1,0.5,1\\n2,0.4,1\\n' > loss.csv;;
invert) echo "$key" > latents.safetensors; echo '{"psnr": 30.0}' > inversion.json;;
condition) mkdir -p maps; echo '{}' > maps/settings.json;;
edit) frames; for name in video.mp4 preview.gif sheet.png; do echo "$key" > $name; done
  echo '{"seconds": 1}' > edit.json;;
evaluate) echo '{"edit": {"frame_consistency": 0.9}, "source": {"frame_consistency": 0.9}}' > metrics.json;;
esac
cp "$settings" settings.json
"""


def make_project(folder: Path, videos: int) -> None:
    """A git and DVC project of so many videos with three or four edits each. Nothing of it is made yet."""
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    dag, params = (YAML(typ="safe", pure=True).load(ROOT / name) for name in ("dvc.yaml", "params.yaml"))
    for stage in dag["stages"].values():
        stage.get("do", stage)["cmd"] = "sh stage.sh"
    names = [f"video-{i:04d}" for i in range(videos)]
    for name in names:
        shutil.copy(ROOT / "videos/red-car.mp4", folder / f"videos/{name}.mp4")
    params["videos"] = {
        name: {"path": f"videos/{name}.mp4", "caption": "a cat", "extract": {}, "tune": {}} for name in names
    }
    params["edits"] = {
        f"{name}--{i}": {"video": name, "prompt": f"a dog of the kind {i}"}
        for n, name in enumerate(names)
        for i in range(3 + n % 2)
    }
    for name, data in (("params.yaml", params), ("dvc.yaml", dag)):
        with (folder / name).open("w") as file:
            YAML().dump(data, file)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "models/emoji-world", folder / "models/emoji-world", ignore=shutil.ignore_patterns("dvc.*"))
    (folder / "stage.sh").write_text(SCRIPT)
    with contextlib.chdir(folder):
        write_settings(params)
    dvc = [sys.executable, "-m", "dvc"]
    local = ["config", "--local", "core.site_cache_dir", str(folder.absolute() / ".dvc/tmp/site")]
    for command in (
        ["git", "init", "-q"],
        [*dvc, "init", "-q"],
        [*dvc, "config", "core.analytics", "false"],
        [*dvc, *local],
    ):
        subprocess.run(command, cwd=folder, check=True)


def write_settings(data: dict[str, Any]) -> None:
    """What each stage writes beside its results, of the project in the current folder: the stages copy it."""
    params = check(data)
    for stage in STAGES:
        for key in params.edits if stage in ("edit", "evaluate") else params.videos:
            file = Path("settings", stage, f"{key}.json")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings_of(params, stage, key)))
    assert FILE == "settings.json"


def make_all() -> int:
    """Make all stages of the project in the current folder, in one process. Gives how many there are."""
    from flows import dvc_api

    with dvc_api.repository() as repo, dvc_api.held(repo):
        stages = [stage for stage in repo.index.stages if stage.cmd]
        order = {"model": 0, "report": 2}
        for stage in sorted(stages, key=lambda stage: order.get(stage.name, 1)):
            subprocess.run(["sh", "stage.sh"], env=os.environ | {"DVC_STAGE": stage.addressing}, check=True)
        for stage in stages:
            stage.save()
            stage.commit()
        stages[0].dvcfile.dump_stages(stages, update_pipeline=False)
    return len(stages)
