"""The benchmarks' own scripts on frames of ours: where the values in metrics/test_benchmark_scripts.py are from.

    python tests/benchmark_scripts.py write FOLDER           # with tav's packages: frames and models
    python tests/benchmark_scripts.py run FOLDER LOVEU V2V   # with theirs: prints the values as JSON

LOVEU and V2V are clones of showlab/loveu-tgve-2023 @d75589f and wenhao728/awesome-diffusion-v2v @20afc6f, unedited.
Their models can't be had here: the shipped CLIP stands where they name CLIP and PickScore, tiny networks of the same
classes for DINOv2 and the aesthetic predictor, and OpenCV's DIS flow for GMFlow. So it is the formulas that are held.
"""

import json
import os
import runpy
import shutil
import sys
import zlib
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "models/emoji-world/clip"
NAMES = ("openai/clip-vit-large-patch14", "pickapic-anonymous/PickScore_v1", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K")
"""What LOVEU's script loads, from the folder that it runs in as it would from the hub."""
KINDS = ("style", "object", "background", "multiple")
PROMPTS = ("a neon picture of a red car on a road", "a mushroom on a road", "a red car on the beach", "a blue fish")
SKIING = ROOT.parent / "shared/clips/man-skiing.mp4"
SIDE = 256


def videos() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Source and edit, uint8 (f h w 3), of each video: one of ours, and a real one where it is at hand."""
    from tiny import moving_square

    from tav.video import read_frames, resize

    sources = {"square": moving_square(4, SIDE, SIDE)}
    if SKIING.exists():
        sources["skiing"] = resize(read_frames(SKIING, range(0, 32, 8)), SIDE, SIDE)
    return {name: (source, 255 - source[::-1]) for name, source in sources.items()}


def write_models(folder: Path) -> None:
    """FOLDER/dino and FOLDER/aesthetic: of the real classes, with weights that no library's random numbers decide."""
    from safetensors.numpy import load_file, save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    Dinov2Model(Dinov2Config(**small)).save_pretrained(folder / "dino")
    config = CLIPVisionConfig(**small, intermediate_size=64, projection_dim=16)
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "aesthetic")
    widths = (16, 1024, 128, 64, 16, 1)
    layers = dict(zip((0, 2, 4, 6, 7), pairwise(widths), strict=True))  # dropout between
    shapes = {f"layers.{n}.weight": np.empty((out, of), np.float32) for n, (of, out) in layers.items()}
    shapes |= {f"layers.{n}.bias": np.empty(out, np.float32) for n, (_, out) in layers.items()}
    for name, more in (("dino", {}), ("aesthetic", shapes)):
        file = folder / name / "model.safetensors"
        weights = {key: _weight(key, tensor.shape) for key, tensor in (load_file(file) | more).items()}
        save_file(weights, file, {"format": "pt"})
        kind = "BitImageProcessor" if name == "dino" else "CLIPImageProcessor"
        write_json(folder / name / "preprocessor_config.json", _image_processor() | {"image_processor_type": kind})


def _weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) < 2:  # norms, biases, position ids of one row
        return (float("norm" in name and "weight" in name) + 0.1 * noise).astype(np.float32)
    return (noise / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def _image_processor() -> dict[str, Any]:
    whole: dict[str, Any] = json.loads((CLIP / "processor_config.json").read_text())["image_processor"]
    return whole


def write(folder: Path) -> None:
    from PIL import Image

    write_models(folder)
    for name in NAMES:
        new = shutil.ignore_patterns("tokenizer.json", "processor_config.json")  # of forms that theirs can't read
        shutil.copytree(CLIP, folder / name, ignore=new)
        write_json(folder / name / "preprocessor_config.json", _image_processor())
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(CLIP / name, folder / "aesthetic")
    for name, (source, edit) in videos().items():
        places = [f"source/{name}", *(f"submission/DAVIS_480p/{name}/{kind}" for kind in KINDS)]
        for place, frames in zip(places, (source, *[edit] * len(KINDS)), strict=True):
            (folder / place).mkdir(parents=True)
            for i, frame in enumerate(frames):
                Image.fromarray(frame).save(folder / place / f"{i:05d}.jpg", "PNG")  # LOVEU's name, without its loss
    heads = ["Video name", "Style Change Caption", "Object Change Caption", "Background Change Caption"]
    lines = [",".join([*heads, "Multiple Changes Caption"]), "DAVIS Videos:,,,,"]  # the script skips the first row
    lines += [",".join([name, *PROMPTS]) for name in videos()]
    (folder / "LOVEU-TGVE-2023_Dataset.csv").write_text("\n".join(lines) + "\n")


def write_json(file: Path, what: Any) -> None:
    file.write_text(json.dumps(what))


def run(folder: Path, loveu: Path, v2v: Path) -> dict[str, dict[str, list[float] | float]]:
    """By metric of theirs and video: LOVEU's have a value for each kind of edit."""
    os.chdir(folder)
    names = sorted(path.name for path in Path("source").iterdir())
    found: dict[str, dict[str, list[float] | float]] = {}
    for metric in ("clip_score_frame", "clip_score_text", "pick_score"):
        sys.argv = [
            "run_eval.py", "--submission_path", "submission", "--data_path", ".", "--metric", metric, "--device", "cpu"
        ]  # fmt: skip
        scores = [float(s) for s in runpy.run_path(str(loveu / "scripts/run_eval.py"), run_name="__main__")["scores"]]
        in_order = [line.split(",")[0] for line in Path("LOVEU-TGVE-2023_Dataset.csv").read_text().splitlines()[2:]]
        found[f"loveu {metric}"] = {name: scores[4 * i : 4 * i + 4] for i, name in enumerate(in_order)}
    sys.path.insert(0, str(v2v))
    from v2vbench.aesthetic_score import AestheticScore
    from v2vbench.clip_consistency import ClipConsistency
    from v2vbench.clip_text_alignment import ClipTextAlignment
    from v2vbench.dino_consistency import DinoConsistency
    from v2vbench.pick_score import PickScore

    clip = {"pretrained_model_name": NAMES[0]}
    for evaluator, models in (
        (AestheticScore, {"pretrained_model_name": "aesthetic"}),
        (ClipConsistency, clip),
        (ClipTextAlignment, clip),
        (DinoConsistency, {"pretrained_model_name": "dino"}),
        (PickScore, {"pretrained_model_name": NAMES[1], "pretrained_processor_name": NAMES[2]}),
    ):
        of = {name: _v2v(evaluator, name, models) for name in names}
        found[evaluator.__module__.replace(".", " ")] = of
    found["v2vbench motion_alignment"] = {name: _motion(name) for name in names}
    return found


def _v2v(evaluator: Any, name: str, models: dict[str, str]) -> float:
    import torch

    edit = Path(f"submission/DAVIS_480p/{name}/object")
    return float(evaluator(None, edit, None, PROMPTS[1], torch.device("cpu"), **models)()["score"][0])


def _motion(name: str) -> float:
    """V2VBench's motion alignment with another network: its `__init__` would load GMFlow's weights."""
    import torch
    from third_party.gmflow.utils import InputPadder
    from v2vbench.motion_alignment import MotionAlignment

    own = MotionAlignment.__new__(MotionAlignment)
    edit, source = Path(f"submission/DAVIS_480p/{name}/object"), Path(f"source/{name}")
    super(MotionAlignment, own).__init__(None, edit, source, "", torch.device("cpu"))
    vars(own).update(padder=InputPadder((SIDE, SIDE)), model=_dis, cache_flow=False)
    return float(own()["score"][0])


def _dis(now: Any, then: Any, **_: Any) -> dict[str, Any]:
    """OpenCV's DIS flow as GMFlow would give it. Frames: float (1 3 h w)."""
    import cv2
    import torch

    grey = [cv2.cvtColor(f[0].permute(1, 2, 0).numpy().astype(np.uint8), cv2.COLOR_RGB2GRAY) for f in (now, then)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    return {"flow_preds": [torch.from_numpy(flow).permute(2, 0, 1)[None]]}


if __name__ == "__main__":
    asked = SimpleNamespace(what=sys.argv[1], folders=[Path(path).resolve() for path in sys.argv[2:]])
    if asked.what == "write":
        sys.path.append(str(ROOT / "tests"))
        write(*asked.folders)
    else:
        print(json.dumps(run(*asked.folders), indent=1))
