"""A project with something to report: two videos, one with edits. A frame's brightness tells which one it is."""

from pathlib import Path
from typing import Any

import numpy as np

from tav import params
from tav.artifacts import artifact, atomic, write_frames, write_json
from tav.stages import report

FRAMES, FPS, SIDE = 8, 8.0, 64
EVIL = '<script>document.title = "evil"</script> & "quotes" \'\'</q><img src=x onerror="document.title=1">'


def settings() -> params.Params:
    return params.check(raw_settings())


def raw_settings() -> dict[str, Any]:
    """Two videos: one with four edits, of which one is not made; one with nothing made."""
    data = params.read_yaml(Path(__file__).parents[1] / "params.yaml")
    data["videos"] = {
        "car": {"path": "car.mp4", "caption": "a red car on a road", "extract": {}, "tune": {"steps": 77}},
        "later": {"path": "later.mp4", "caption": None, "extract": {"size": 48}, "tune": {}},
    }
    data["edits"] = {
        "car--dog": {"video": "car", "prompt": "a dog on a road"},
        "car--blue": {"video": "car", "prompt": "a blue car on a road", "guidance_scale": 4.5},
        "car--evil": {"video": "car", "prompt": EVIL},
        "car--missing": {"video": "car", "prompt": "a cat on a road"},
        "later--cat": {"video": "later", "prompt": "a cat"},
    }
    return data


def counting(colour: tuple[float, float, float]) -> np.ndarray:
    """uint8 (f h w 3): frames of one brightness each, so that a picture of the page tells which one is shown."""
    levels = np.linspace(40, 220, FRAMES)[:, None, None, None] * np.array(colour)
    return np.broadcast_to(levels, (FRAMES, SIDE, SIDE, 3)).astype(np.uint8)


def make_edit(key: str, frames: np.ndarray, **metrics: float) -> None:
    from tav.video import write_mp4

    write_mp4(artifact("edit", key, "video.mp4"), frames, FPS)
    source = {"frame_consistency": 0.97, "textual_alignment": 25.0, "textual_alignment_with_target_prompt": 18.25}
    if metrics:
        write_json(artifact("evaluate", key, "metrics.json"), {"edit": metrics, "source": source})


def make_report_project() -> None:
    """Write it into the current folder, with its page."""
    write_frames(artifact("extract", "car", "frames"), counting((1, 1, 1)))
    source = {"width": SIDE, "height": SIDE, "fit": "stretch", "fps": FPS}
    write_json(artifact("extract", "car", "source/info.json"), source)
    write_json(artifact("caption", "car", "caption.json"), {"caption": "a red car on a road", "by": "given"})
    write_json(artifact("invert", "car", "inversion.json"), {"psnr": 24.06, "psnr_from_half": 25.31, "vae_psnr": 27.64})
    write_json(artifact("tune", "car", "tuning.json"), {"seconds": 48.2, "peak_memory_gb": 1.21})
    rows = "".join(f"{step},{1 / step:.6g}\n" for step in range(1, 78))
    with atomic(artifact("tune", "car", "loss.csv")) as fresh:
        fresh.write_text("step,loss\n" + rows)
    write_frames(artifact("condition", "car", "maps/canny"), counting((0.5, 0.5, 0.5)))
    write_json(artifact("condition", "car", "maps/settings.json"), {"kinds": ["canny"]})
    make_edit("car--dog", counting((1, 0.9, 0.9)), frame_consistency=0.9, textual_alignment=30.0)
    make_edit("car--blue", counting((0.9, 0.9, 1)), frame_consistency=0.95, textual_alignment=20.0)
    write_frames(artifact("edit", "car--blue", "frames/mask"), counting((1, 1, 1)))
    make_edit("car--evil", counting((0.9, 1, 0.9)))
    report.run(settings(), "", lambda progress: None)
