"""What a wheel holds beside the code: the files of a project, and the demo's videos and models (`tav init`)."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROJECT = ("params.yaml", "dvc.yaml", "recipe.yaml", "prefect.yaml", ".gitignore", ".dvcignore")
WEIGHTS = ("stable-diffusion", "clip", "blip2", "controlnet")


class BuildWithProject(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the clone is the project
            return
        target = Path(self.build_lib, "tav/project")
        shutil.rmtree(target, ignore_errors=True)
        (target / "videos").mkdir(parents=True)
        for name in PROJECT:
            shutil.copy(name, target / name)
        for video in Path("videos").glob("*.mp4"):
            shutil.copy(video, target / "videos")
        for model in WEIGHTS:
            shutil.copytree(Path("models/emoji-world", model), target / "models/emoji-world" / model)


setup(cmdclass={"build_py": BuildWithProject})
