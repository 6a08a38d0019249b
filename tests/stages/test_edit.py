"""Stage edit on a tiny Stable Diffusion: the files are right, and each setting does what it says."""

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from project import edited, ignore
from tiny import tiny_video
from tiny_video_models import tiny_wan

from tav.params import Params, UserError, check, parse_settings
from tav.stages import caption, extract, invert, tune
from tav.video import Span, probe, text_in
from tav.video.sound import read_audio

FOLDER = Path("artifacts/edit/cat--dog")


@pytest.fixture
def inverted(data: dict[str, Any], params: Params) -> dict[str, Any]:
    """params.yaml's content, with two steps tuned and four inverted."""
    data["tune"]["steps"] = 2
    data["invert"]["num_inference_steps"] = 4
    made = check(data)
    tune.run(made, "cat", ignore)
    invert.run(made, "cat", ignore)
    return data


def test_writes_the_video_as_the_source_was(inverted: dict[str, Any]) -> None:
    frames = edited(inverted)
    assert frames.shape == (4, 32, 40, 3)
    info = probe(FOLDER / "video.mp4")
    assert (info.width, info.height, info.num_frames, info.fps) == (64, 48, 4, 8.0)
    assert info.has_audio
    assert info.duration == pytest.approx(0.5, abs=0.03)
    assert {f.name for f in FOLDER.iterdir()} == {"frames", "video.mp4", "preview.gif", "sheet.png", "edit.json"}
    facts = json.loads((FOLDER / "edit.json").read_text())
    assert (facts["from"], facts["device"], facts["precision"]) == ("inversion", "cpu", "fp32")
    for name in ("video.mp4", "preview.gif"):
        made = parse_settings(text_in(FOLDER / name) or "")
        assert (made.prompt, made.source_prompt, made.path) == ("a dog running", "a cat running", "videos/cat.mp4")
        assert (made.tune.steps, made.others["invert"]["num_inference_steps"]) == (2, 4)


def test_a_whole_clip_with_its_sound_is_as_long_as_before(data: dict[str, Any]) -> None:
    """In windows, at 29.97 frames a second: all frames, the same sound at the same time."""
    rate = Fraction(30000, 1001)
    clip = tiny_video(Path("videos/cat.mp4"), num_frames=25, fps=rate, audio=True)
    data["extract"] |= {"num_frames": None, "size": 16}
    data["tune"] |= {"steps": 1, "window_frames": 4, "windows": "all"}
    data["invert"] |= {"num_inference_steps": 2, "window": {"frames": 8, "overlap": 3}}
    data["edit"] |= {"window": {"frames": 8, "overlap": 3}}
    for stage in (extract, caption, tune, invert):
        stage.run(check(data), "cat", ignore)
    assert len(edited(data)) == 25
    before, after = probe(clip), probe(FOLDER / "video.mp4")
    assert (after.num_frames, after.fps, after.width, after.height) == (25, pytest.approx(float(rate)), 64, 48)
    assert after.duration == pytest.approx(before.duration, abs=float(1 / rate))
    span = Span(0, float(25 / rate))
    (expected, sound_rate), (sound, _) = read_audio(clip, span), read_audio(FOLDER / "video.mp4", span)
    assert abs(len(sound[0]) - len(expected[0])) < sound_rate / rate
    shorter = min(len(sound[0]), len(expected[0]))
    assert np.corrcoef(sound[0][:shorter], expected[0][:shorter])[0, 1] > 0.97


def test_settings_are_left_out_where_nobody_wants_them(inverted: dict[str, Any]) -> None:
    plain = edited(inverted)
    assert (edited(inverted, metadata=False) == plain).all()
    assert text_in(FOLDER / "video.mp4") is None
    assert text_in(FOLDER / "preview.gif") is None


def test_settings_of_an_edit(inverted: dict[str, Any]) -> None:
    plain = edited(inverted)
    assert (edited(inverted) == plain).all()  # bit for bit
    assert (edited(inverted, seed=7) == plain).all()  # nothing random in an inversion
    for other in ({"guidance_scale": 9.0}, {"negative_prompt": "a cat"}, {"strength": 0.75}, {"from": "noise"}):
        assert (edited(inverted, **other) != plain).any(), other
    noise = edited(inverted, **{"from": "noise", "seed": 1})
    assert (edited(inverted, **{"from": "noise", "seed": 2}) != noise).any()


def test_model_size(inverted: dict[str, Any]) -> None:
    edited(inverted, output_size="model")
    assert (probe(FOLDER / "video.mp4").width, probe(FOLDER / "video.mp4").height) == (40, 32)


def test_a_variant_is_tuned_otherwise_and_a_baseline_uses_nothing_of_it(data: dict[str, Any], params: Params) -> None:
    """Untuned: no step, no loss, and its edits are made all the same. Per frame: neither weights nor inversion."""
    data["tune"]["steps"] = 0
    made = check(data)
    tune.run(made, "cat", ignore)
    assert Path("artifacts/tune/cat/loss.csv").read_text().splitlines() == ["step,loss,lr,grad_norm,seconds"]
    assert "loss_of_last_tenth" not in json.loads(Path("artifacts/tune/cat/tuning.json").read_text())
    invert.run(made, "cat", ignore)
    untuned = edited(data)
    for name in ("tune", "invert"):
        shutil.rmtree(f"artifacts/{name}")
    alone = edited(data, method="per-frame-ddim")
    assert alone.shape == untuned.shape
    assert (alone != untuned).any()
    assert json.loads((FOLDER / "edit.json").read_text())["method"] == "per-frame-ddim"


def test_a_video_model_edits_without_the_base(data: dict[str, Any], params: Params, tmp_path: Path) -> None:
    data["extract"]["size"] = [32, 32]
    data["base"]["source"] = "models/none"
    model = {"source": str(tiny_wan(tmp_path / "vace", vace=True))}
    extract.run(check(data), "cat", ignore)
    assert edited(data, method="wan-vace", video_model=model).shape == (4, 32, 32, 3)
    with pytest.raises(UserError, match="needs a pipeline with a WanTransformer3DModel"):
        edited(data, method="wan", video_model=model)
    with pytest.raises(UserError, match=r"method wan needs a model: set edit\.video_model"):
        edited(data, method="wan")
    data["edits"]["cat--dog"] |= {"method": "wan-vace", "video_model": model}
    assert check(data).sources()["controls"] == [model["source"]]
