"""Stand-ins for the folders of benchmarks, as a person unpacks them: their layout, texts and pictures of our own."""

from pathlib import Path

from ruamel.yaml import YAML

from emoji_world.render import render_video
from emoji_world.world import PATHS, move, sample_scene

TABLE = """\
Video name,Our GT caption,Style Change Caption,Object Change Caption,Background Change Caption,Multiple Changes Caption
DAVIS Videos:,,,,,
glider,A red cat glides,"A red cat glides, in neon ",A fox glides,A red cat glides in space,"A fox in space, in neon"
hopper,A boat hops,"A boat hops, as a photo",A star hops,A boat hops on a road,A star hops on a road
,,,,,
Youtube Videos:,,,,,
roller,A pumpkin rolls,"A pumpkin rolls, in neon",An apple rolls,A pumpkin rolls under water,An apple rolls in a city
"""
VIDEOS = {"glider": ("DAVIS_480p", 4), "hopper": ("DAVIS_480p", 3), "roller": ("youtube_480p", 5)}
"""Split and number of frames of each."""


def frames(folder: Path, number: int, seed: int) -> None:
    """A folder of JPEGs: a video of Emoji World."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    scene = sample_scene(np.random.default_rng(seed))
    for i, frame in enumerate(render_video(move(scene, PATHS[seed % len(PATHS)], number))):
        Image.fromarray(frame).save(folder / f"{i:05d}.jpg")


def loveu(folder: Path) -> Path:
    """LOVEU-TGVE-2023's layout, with three videos and its table as a CSV."""
    for seed, (name, (split, number)) in enumerate(VIDEOS.items()):
        frames(folder / split / "480p_frames" / name, number, seed)
    (folder / "LOVEU-TGVE_2023_data.csv").write_text(TABLE)
    return folder


def loveu_config(file: Path) -> None:
    """One of its configs."""
    prompts = {
        "style": "A red cat glides, in neon",
        "object": "A fox glides",
        "background": "A red cat glides in space",
        "multiple": "A fox in space, in neon",
    }
    train = {"video_path": "./data/loveu-tgve-2023/DAVIS_480p/480p_frames/glider", "prompt": "A red cat glides"}
    file.parent.mkdir(parents=True, exist_ok=True)
    data = {"train_data": train | {"num_frames": 4}, "validation_data": {"prompts": prompts}}
    with file.open("w") as out:
        YAML().dump(data, out)


def davis(folder: Path) -> Path:
    """DAVIS's layout, with two videos in a split each; a third is listed and not there."""
    for seed, name in enumerate(("bear", "goose")):
        frames(folder / "JPEGImages/480p" / name, 70 if name == "bear" else 6, seed)
    sets = folder / "ImageSets/2017"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("bear\nlost\n")
    (sets / "val.txt").write_text("goose\n")
    return folder
