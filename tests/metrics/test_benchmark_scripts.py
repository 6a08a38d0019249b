"""tav's formulas give what the benchmarks' own scripts gave for the same frames and models.

The values were recorded once, on 2026-11-29, by tests/benchmark_scripts.py (which says how), with torch 2.13.0,
transformers 4.41.2, simple-aesthetics-predictor 0.1.2 and OpenCV 5.0.0.93, from the scripts as they were published:
    showlab/loveu-tgve-2023 @d75589f, scripts/run_eval.py: the whole script, with each of its three metrics
    wenhao728/awesome-diffusion-v2v @20afc6f, v2vbench/*.py: each evaluator, called as their EvaluatorWrapper calls it;
        of motion_alignment.py all but `__init__`, which loads GMFlow
"""

from pathlib import Path

import pytest
from benchmark_scripts import CLIP, PROMPTS, SKIING, videos, write_models

from tav.metrics import aesthetic, dino
from tav.metrics.clip import image_features, load_clip, text_features
from tav.metrics.formulas import frame_consistency, motion_alignment, positive_consistency, textual_alignment
from tav.params import Model

LOVEU = {
    "square": {
        "clip_score_frame": [0.9741857647895813] * 4,
        "clip_score_text": [-9.002665519714355, 2.45814847946167, -0.8652361631393433, -4.726013660430908],
        "pick_score": [-9.002665519714355, 2.45814847946167, -0.8652361631393433, -4.726013660430908],
    },
    "skiing": {
        "clip_score_frame": [0.7462965846061707] * 4,
        "clip_score_text": [-12.106033325195312, -4.41984748840332, -8.042686462402344, 0.45197606086730957],
        "pick_score": [-12.106033325195312, -4.41984748840332, -8.042686462402344, 0.45197606086730957],
    },
}
"""Of an edit with each of PROMPTS. The shipped CLIP stood for both of the script's networks."""
V2VBENCH = {
    "square": {
        "aesthetic_score": -0.3661944344639778,
        "clip_consistency": 0.9727381070454916,
        "clip_text_alignment": 2.4589097797870636,
        "dino_consistency": 0.9996224840482076,
        "pick_score": 2.4589097797870636,
        "motion_alignment": -17.812820434570312,
    },
    "skiing": {
        "aesthetic_score": -0.3615866079926491,
        "clip_consistency": 0.7552520136038462,
        "clip_text_alignment": -4.416208624839783,
        "dino_consistency": 0.9955142140388489,
        "pick_score": -4.416208624839783,
        "motion_alignment": -30.190818786621094,
    },
}
"""Of an edit with the second of PROMPTS."""

on_each_video = pytest.mark.parametrize(
    "name", ["square", pytest.param("skiing", marks=pytest.mark.skipif(not SKIING.exists(), reason="no shared clips"))]
)


@on_each_video
def test_loveus_script(name: str) -> None:
    clip, (_, edit) = load_clip(Model(source=str(CLIP))), videos()[name]
    features, scale = image_features(clip, edit), clip.model.logit_scale.item()
    found = [textual_alignment(features, text_features(clip, prompt), scale) for prompt in PROMPTS]
    assert found == pytest.approx(LOVEU[name]["clip_score_text"], abs=1e-4)
    assert found == pytest.approx(LOVEU[name]["pick_score"], abs=1e-4)
    assert [frame_consistency(features)] * 4 == pytest.approx(LOVEU[name]["clip_score_frame"], abs=1e-5)


@on_each_video
def test_v2vbenchs_scripts(name: str, tmp_path: Path) -> None:
    write_models(tmp_path)
    clip, (source, edit) = load_clip(Model(source=str(CLIP))), videos()[name]
    seen = dino.pooled_features(dino.load_dino(Model(source=str(tmp_path / "dino"))), edit)
    predictor = aesthetic.load_aesthetic(Model(source=str(tmp_path / "aesthetic")))
    text, scale = text_features(clip, PROMPTS[1]), clip.model.logit_scale.item()
    aligned = textual_alignment(image_features(clip, edit, size=None), text, scale)
    found = {
        "aesthetic_score": float(aesthetic.scores(predictor, edit).mean()),
        "clip_consistency": positive_consistency(image_features(clip, edit, size=None, pooled=True)),
        "clip_text_alignment": aligned,
        "dino_consistency": positive_consistency(seen),
        "pick_score": aligned,
        "motion_alignment": motion_alignment(edit, source),
    }
    assert found == pytest.approx(V2VBENCH[name], abs=1e-4)
