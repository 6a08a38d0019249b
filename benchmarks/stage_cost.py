"""What a stage costs over its own work, in CPU seconds: with the resident worker, and without.

    python benchmarks/stage_cost.py [--real | --demo] [--videos 2] [--edits 2] [--keep FOLDER]

Makes a project twice by `dvc repro`: on Emoji World, or (--real) on networks of Stable Diffusion 1.4's and CLIP
ViT-L/14's sizes with random weights at 128 px, few steps. Counts the CPU seconds of DVC and all that it starts, from
the line that names a stage to the next such line. A stage's own work (sampling, the VAE, the text encoder, CLIP's look
at frames, writing pictures) is clocked in a process of its own that runs each stage a second time. Medians over the
stages of a kind but for the first. Prints a Markdown table.
"""

import argparse
import ctypes
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial, update_wrapper
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from ruamel.yaml import YAML

KINDS = ("extract", "caption", "tune", "invert", "condition", "edit", "evaluate")
OWN = {  # the functions that are a stage's own work
    "extract": ["tav.stages.extract:write_frames", "tav.stages.extract:write_audio"],
    "caption": [],
    "tune": [
        "tav.model.tuning:tune",
        "tav.model.latents:encode_moments",
        "tav.model.prompts:encode_prompts",
        "tav.model.tuned_weights:save_tuned_weights",
    ],
    "invert": [
        "tav.from_params.sampling:invert_video",
        "tav.model.ddim:ddim_sample",
        "tav.model.latents:decode",
        "tav.model.latents:encode_moments",
        "tav.model.prompts:encode_prompts",
    ],
    "condition": [],
    "edit": [
        "tav.from_params.sampling:sample_edit",
        "tav.model.latents:decode",
        "tav.model.prompts:encode_prompts",
        "tav.stages.edit:_write",
    ],
    "evaluate": ["tav.metrics.clip:image_features", "tav.metrics.clip:text_features"],
}
STARTED = re.compile(r"Running stage '(\w+)(?:@([\w-]+))?'")
NEW_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER: what a stage leaves running becomes our child, so that its seconds are counted."""
Costs = dict[str, list[float]]
"""Kind -> CPU seconds of each of its stages, in the order in which they ran."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", action="store_true", help="Stable Diffusion 1.4's size instead of Emoji World")
    parser.add_argument("--demo", action="store_true", help="the demo as it is: all videos, edits and steps")
    parser.add_argument("--videos", type=int, default=2, choices=[2, 3])
    parser.add_argument("--edits", type=int, default=2, help="of each video")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, leave it, and go on there")
    parser.add_argument("--own", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.own:
        print(json.dumps(own_work(given.own)))
        return
    ctypes.CDLL(None).prctl(NEW_SUBREAPER, 1)
    with ExitStack() as stack:
        root = (given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))).absolute()
        costs = {}
        for resident in ("on", "off"):
            found = root / f"{resident}.json"
            if not found.exists():  # of a run that was stopped
                project = make_demo(root / resident)
                if not given.demo:
                    make_small(project, root if given.real else None, given.videos, given.edits)
                found.write_text(json.dumps(repro(project, resident)))
            costs[resident] = json.loads(found.read_text())
        told = subprocess.run(
            [sys.executable, __file__, "--own", str(root / "on")], stdout=subprocess.PIPE, check=True, text=True
        )
    report(costs, json.loads(told.stdout.splitlines()[-1]))


def make_demo(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "tav", "init", str(folder), "--demo"], check=True, stdout=subprocess.DEVNULL)
    return folder


def make_small(folder: Path, weights: Path | None, videos: int, edits: int) -> None:
    """Leave so many videos and edits. weights: where random weights of the real size lie, or shall lie."""
    yaml, path = YAML(), folder / "params.yaml"
    params = yaml.load(path)
    for name in list(params["videos"])[videos:]:
        del params["videos"][name]
    params["edits"] = {
        f"{name}--{i}": {"video": name, "prompt": f"a picture of a car on road {i}"}
        for name in params["videos"]
        for i in range(edits)
    }
    params["tune"] |= {"steps": 4, "checkpoint_every": 100}
    params["invert"]["num_inference_steps"] = 4
    if weights:
        if not (weights / "clip").is_dir():
            writing = get_context("spawn").Process(
                target=write_real_size, args=(weights, folder / "models/emoji-world")
            )
            writing.start()  # in a process of its own, which gives the memory back
            writing.join()
        params["base"]["source"], params["evaluate"]["clip"]["source"] = str(weights / "base"), str(weights / "clip")
        params["extract"] |= {"num_frames": 2, "size": 128}
        params["tune"]["steps"] = 1
        params["invert"]["num_inference_steps"] = 2
    yaml.dump(params, path)


def write_real_size(folder: Path, small: Path) -> None:
    """Random weights, in float16 as most bases lie on the hub. small: whose tokenizers and schedulers are taken."""
    import shutil

    import torch
    from diffusers import UNet2DConditionModel
    from real_size import REAL, build
    from transformers import CLIPConfig, CLIPModel

    shutil.copytree(small / "stable-diffusion", folder / "base", ignore=shutil.ignore_patterns("*.safetensors"))
    models = build(REAL, "cpu", torch.float16)
    flat = UNet2DConditionModel.from_config(models.unet.config)  # build's is inflated
    for name, model in (("unet", flat.half()), ("vae", models.vae.half()), ("text_encoder", models.text_encoder)):
        model.save_pretrained(folder / "base" / name)
    index = folder / "base/unet/config.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "UNet2DConditionModel"}))
    shutil.copytree(small / "clip", folder / "clip", ignore=shutil.ignore_patterns("*.safetensors"))
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    config = CLIPConfig(
        text_config=text | {"vocab_size": 49408, "eos_token_id": 617, "max_position_embeddings": 32},
        vision_config=vision | {"patch_size": 4, "image_size": 32},
        projection_dim=768,
    )
    CLIPModel(config).save_pretrained(folder / "clip")


def repro(project: Path, resident: str) -> Costs:
    """The CPU seconds of each stage, as one `dvc repro` makes them all."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}
    env |= {"OMP_WAIT_POLICY": "PASSIVE", "TAV_TRACKING": "off"}
    if resident == "off":
        env["TAV_RESIDENT"] = "off"
    command, start = [sys.executable, "-m", "dvc", "repro"], time.monotonic()
    first = spent()
    costs, last, began = defaultdict[str, list[float]](list), "", first
    with subprocess.Popen(
        command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout
        for line in run.stdout:
            print(line, end="", file=sys.stderr)
            if found := STARTED.search(line):
                now = spent()
                costs[last].append(now - began)
                last, began = found[1], now
    while resident == "on" and psutil.Process().children():  # the worker ends with its DVC
        with suppress(ChildProcessError):
            os.wait()
    if run.returncode:
        sys.exit("error: dvc repro failed")
    return {**costs, "all": [spent() - first], "clock": [time.monotonic() - start]}


def spent() -> float:
    """CPU seconds of all that this process has started, and of what that has started."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def own_work(project: Path) -> dict[str, float]:
    """Kind -> CPU seconds of its own work, the second time that a process does it."""
    os.chdir(project)
    os.environ["TAV_TRACKING"] = "off"
    import torch

    from tav.metrics.memo import Memo
    from tav.model.holding import HELD
    from tav.params import load
    from tav.running.stage import run_stage

    torch.set_num_threads(1)
    HELD.on = True
    Memo.recall = lambda *_: None  # type: ignore[method-assign] - what was measured before is, again
    params, found = load(), {}
    for kind in KINDS:
        keys = list(params.edits if kind in ("edit", "evaluate") else params.videos)[:2]
        for key in keys:
            with clocked(OWN[kind]) as seconds:
                run_stage(kind, key)
            found[kind] = sum(seconds)
    return found


@contextmanager
def clocked(names: list[str]) -> Iterator[list[float]]:
    """The CPU seconds of calls of these functions ("module:name"), where none of them called another."""
    seconds: list[float] = []
    with ExitStack() as stack:
        for name in names:
            module, _, function = name.partition(":")
            owner = import_module(module)
            real = getattr(owner, function)
            setattr(owner, function, update_wrapper(partial(_clock, seconds, real), real))
            stack.callback(setattr, owner, function, real)
        yield seconds


def _clock(seconds: list[float], real: Any, *given: Any, **named: Any) -> Any:
    began = time.process_time()
    made = real(*given, **named)
    if isinstance(made, Iterator):
        made = iter(list(made))
    seconds.append(time.process_time() - began)
    return made


def report(costs: dict[str, Costs], own: dict[str, float]) -> None:
    print("| stage | own work | alone | over it | with the resident worker | over it |\n|" + " --- |" * 6)
    over = []
    for kind in KINDS:
        alone, held = (median(costs[how][kind][1:]) for how in ("off", "on"))
        mine = own[kind]
        over.append(held - mine)
        print(f"| {kind} | {mine:.2f} | {alone:.2f} | {alone - mine:.2f} | {held:.2f} | {held - mine:.2f} |")
    alone, held = (costs[how]["all"][0] for how in ("off", "on"))
    print(f"| all of `dvc repro` | | {alone:.1f} | | {held:.1f} | |")
    clocks = [f"{costs[how]['clock'][0]:.0f}" for how in ("off", "on")]
    print(
        f"\n{alone / held:.2f} times fewer CPU seconds in all; on the clock {clocks[0]} s alone, {clocks[1]} s with it."
    )
    print(f"The most over its own work, from the second of a kind on: {max(over):.2f} CPU-s")


if __name__ == "__main__":
    main()
