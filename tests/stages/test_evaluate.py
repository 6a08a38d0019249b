import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import moving_square, tiny_blip2, tiny_clip

from tav import params
from tav.artifacts import artifact, read_json, write_frames, write_json
from tav.metrics import clip as clips_of
from tav.metrics.formulas import frame_consistency, motion_alignment, textual_alignment
from tav.metrics.table import METRICS
from tav.params import UserError
from tav.stages import Progress, evaluate

CAPTION, PROMPT = "a man is skiing", "a dog is running on the beach"
SOURCE, EDIT = moving_square(5, 32, 32, seed=0), moving_square(5, 32, 32, seed=1)[::-1].copy()


def settings(**models: Any) -> params.Params:
    data = params.read_yaml(Path(__file__).parents[2] / "params.yaml")
    data["videos"] = {"v": {"path": "v.mp4", "caption": CAPTION, "extract": {}, "tune": {}}}
    data["edits"] = {"v--dog": {"video": "v", "prompt": PROMPT}}
    data["evaluate"] = {"clip": {"source": "clip"}, "pick_score": None, **models}
    return params.check(data)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_clip(folder / "clip", seed=0)
    tiny_clip(folder / "pick", seed=1)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch, clips) -> Path:
    """A project with one finished edit, and two tiny CLIPs."""
    monkeypatch.chdir(tmp_path)
    for name in ("clip", "pick"):
        (tmp_path / name).symlink_to(clips / name)
    write_frames(artifact("extract", "v", "frames"), SOURCE)
    write_frames(artifact("edit", "v--dog", "frames"), EDIT)
    write_json(artifact("caption", "v", "caption.json"), {"caption": CAPTION, "by": "given"})
    return tmp_path


def run(**models: Any) -> dict[str, dict[str, float]]:
    told: list[Progress] = []
    evaluate.run(settings(**models), "v--dog", told.append)
    assert told[-1].done == told[-1].total
    return read_json(artifact("evaluate", "v--dog", "metrics.json"))


def logits(folder: Path, frames: np.ndarray, text: str) -> torch.Tensor:
    """(f), as transformers' own CLIPModel.forward gives them."""
    from transformers import CLIPModel, CLIPProcessor

    images = [Image.fromarray(f).resize((480, 480)) for f in frames]
    inputs = CLIPProcessor.from_pretrained(folder)(text=[text], images=images, return_tensors="pt", padding=True)
    with torch.no_grad():
        return CLIPModel.from_pretrained(folder).eval()(**inputs).logits_per_image[:, 0]


def test_metrics_of_edit_and_source(project, clips):
    metrics = run()
    consistencies = {"frame_consistency", "consecutive_consistency"}
    assert metrics["edit"].keys() <= METRICS.keys()
    assert set(metrics["edit"]) == consistencies | {"textual_alignment", "motion_alignment"}
    assert set(metrics["source"]) == consistencies | {"textual_alignment", "textual_alignment_with_target_prompt"}
    said = {
        metrics["edit"]["textual_alignment"]: (EDIT, PROMPT),
        metrics["source"]["textual_alignment"]: (SOURCE, CAPTION),
        metrics["source"]["textual_alignment_with_target_prompt"]: (SOURCE, PROMPT),
    }
    for value, (frames, text) in said.items():
        assert value == pytest.approx(float(logits(clips / "clip", frames, text).mean()), abs=1e-5)
    assert metrics["edit"]["motion_alignment"] == motion_alignment(EDIT, SOURCE) < 0


def test_features_are_clips_own(project, clips):
    clip = clips_of.load_clip(settings().evaluate.clip)
    features, text = clips_of.image_features(clip, SOURCE), clips_of.text_features(clip, PROMPT)
    assert features.shape == (5, 16)
    assert text.shape == (16,)
    scale = clip.model.logit_scale.item()
    expected = float(logits(clips / "clip", SOURCE, PROMPT).mean())
    assert textual_alignment(features, text, scale) == pytest.approx(expected, abs=1e-5)
    assert run()["source"]["frame_consistency"] == pytest.approx(frame_consistency(features), abs=1e-6)


def test_batches_change_nothing(project, monkeypatch):
    whole = run()
    monkeypatch.setattr(clips_of, "BATCH", 2)
    shutil.rmtree(artifact(".measured"))
    for who, values in run().items():
        assert values == pytest.approx(whole[who], abs=1e-5)


def test_frames_are_made_480_first(project):
    """CLIP's own processor alone would crop a wide frame; 480x480 keeps all of it, out of aspect."""
    wide = np.zeros((2, 32, 96, 3), np.uint8)
    wide[1, :, :24] = wide[1, :, -24:] = 255  # differs only where a centre crop does not look
    clip = clips_of.load_clip(settings().evaluate.clip)
    first, second = clips_of.image_features(clip, wide)
    assert (first - second).abs().max() > 1e-4


def test_pick_score_is_the_alignment_by_its_own_model(project, clips):
    metrics = run(pick_score={"source": "pick"})
    for value, (frames, text) in {
        metrics["edit"]["pick_score"]: (EDIT, PROMPT),
        metrics["source"]["pick_score"]: (SOURCE, CAPTION),
        metrics["source"]["pick_score_with_target_prompt"]: (SOURCE, PROMPT),
    }.items():
        assert value == pytest.approx(float(logits(clips / "pick", frames, text).mean()), abs=1e-5)
    assert metrics["edit"]["textual_alignment"] == run()["edit"]["textual_alignment"]


def test_an_unchanged_video_is_its_own_reference(project):
    write_frames(artifact("edit", "v--dog", "frames"), SOURCE)
    metrics = run()
    assert metrics["edit"]["frame_consistency"] == metrics["source"]["frame_consistency"]
    assert metrics["edit"]["textual_alignment"] == metrics["source"]["textual_alignment_with_target_prompt"]
    assert metrics["edit"]["motion_alignment"] == 0


def test_one_frame_has_only_what_one_frame_can_have(project):
    for path, frames in ((("extract", "v"), SOURCE), (("edit", "v--dog"), EDIT)):
        write_frames(artifact(*path, "frames"), frames[:1])
    assert set(run()["edit"]) == {"textual_alignment"}


@pytest.mark.parametrize("source", [None, Path(__file__).parents[2] / "models/emoji-world/clip"])
def test_a_prompt_longer_than_clip_can_read(project, source):
    """77 tokens, and 32 of the shipped one."""
    model = settings().evaluate.clip
    clip = clips_of.load_clip(model.model_copy(update={"source": str(source)}) if source else model)
    assert torch.isfinite(clips_of.text_features(clip, "a dog " * 200)).all()


def test_no_number_that_is_not_finite_is_written(project, clips, tmp_path):
    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(clips / "clip")
    with torch.no_grad():
        model.visual_projection.weight.fill_(math.nan)
    model.save_pretrained(tmp_path / "broken")
    CLIPProcessor.from_pretrained(clips / "clip").save_pretrained(tmp_path / "broken")
    with pytest.raises(UserError, match="frame_consistency of the edit is nan"):
        run(clip={"source": "broken"})
    assert not artifact("evaluate", "v--dog").exists()


def test_json_is_strict(project):
    run()
    text = artifact("evaluate", "v--dog", "metrics.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))


def test_frames_of_another_extraction(project):
    write_frames(artifact("edit", "v--dog", "frames"), EDIT[:3])
    with pytest.raises(UserError, match=r"\(3, 32, 32, 3\) \(edit\) and \(5, 32, 32, 3\) \(source\).*dvc repro"):
        run()


def test_what_is_not_made_yet(project):
    shutil.rmtree(artifact("edit", "v--dog"))
    with pytest.raises(UserError, match=r"no artifacts/edit/v--dog/frames: run `dvc repro`"):
        run()


def test_no_such_folder(project):
    with pytest.raises(UserError, match="no CLIP at nowhere: no such folder; set its source under evaluate"):
        run(clip={"source": "nowhere"})


def test_another_kind_of_model_is_named(project):
    tiny_blip2(project / "blip2")
    with pytest.raises(UserError, match=r"blip2 is a model of type 'blip-2', where evaluate needs a CLIP"):
        run(clip={"source": "blip2"})


def test_a_hub_id_that_is_not_there(project):
    with pytest.raises(UserError, match="can't load a CLIP from nobody/no-such-model"):
        run(clip={"source": "hub:nobody/no-such-model"})


def test_the_device_is_the_one_that_was_asked_for(project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAV_DEVICE", "gpu9")
    with pytest.raises(UserError, match="TAV_DEVICE is 'gpu9'"):
        run()
