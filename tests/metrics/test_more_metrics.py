"""More metrics: formulas against naive ones, models of the real classes, and that one more computes one more."""

import itertools
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tiny import moving_square, tiny_clip

from tav import params
from tav.artifacts import artifact, read_json, write_frames, write_json
from tav.metrics import aesthetic, dino
from tav.metrics.clip import image_features, load_clip
from tav.metrics.formulas import positive_consistency, structure_distance, warping_error
from tav.metrics.measures import MEASURES
from tav.metrics.table import METRICS
from tav.params import Model, UserError
from tav.params.evaluating import MODEL_OF, More
from tav.stages import evaluate

LEFT_OUT = {"frames_pick_score", "background_psnr", "source_lpips", "background_lpips"}
"""Of the metrics by name those that need what isn't here: PickScore, a mask, an extra."""
SOURCE, EDIT = moving_square(4, 32, 32, seed=0), moving_square(4, 32, 32, seed=1)[::-1].copy()


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def test_negative_cosines_count_as_zero() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.1, -1.0]], dtype=torch.float64)
    naive = [max(0.0, cosine(a, b)) for a, b in itertools.pairwise(features)]
    assert positive_consistency(features) == pytest.approx(np.mean(naive))
    assert naive[1] == 0


def test_structure_distance_is_of_self_similarities() -> None:
    keys, others = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    naive = [
        (cosine(a[i], a[j]) - cosine(b[i], b[j])) ** 2
        for a, b in zip(keys, others, strict=True)
        for i in range(5)
        for j in range(5)
    ]
    assert structure_distance(keys, others) == pytest.approx(np.mean(naive))
    turned = torch.linalg.qr(torch.randn(7, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    assert structure_distance(3 * keys @ turned, keys) == pytest.approx(0, abs=1e-12)  # another look, the same layout


def scrolling(step: int) -> np.ndarray:
    """A wide picture that moves by `step` pixels a frame."""
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 256, (16, 32, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return np.stack([wide[:, step * i : step * i + 64] for i in range(4)])


def test_warping_error_follows_the_source() -> None:
    source = scrolling(3)
    other_look = 255 - source
    flickering = source.copy()
    flickering[1::2] = flickering[1::2] // 2
    still = np.stack([source[0]] * 4)
    own, look, flicker, stopped = (warping_error(f, source) for f in (source, other_look, flickering, still))
    assert own == pytest.approx(look, rel=0.01)
    assert own < 0.02
    assert flicker > 5 * own
    assert stopped > 2 * own  # the source's motion leads a still picture astray
    assert warping_error(still, still) == 0
    with pytest.raises(ValueError, match="one shape"):
        warping_error(source, source[:2])


def tiny_dino(folder: Path, kind: str) -> Path:
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    model = Dinov2Model(Dinov2Config(**size)) if kind == "dinov2" else ViTModel(ViTConfig(**size, intermediate_size=64))
    model.save_pretrained(folder)
    processor = {
        "image_processor_type": "BitImageProcessor" if kind == "dinov2" else "ViTImageProcessor",
        "size": {"shortest_edge": 32} if kind == "dinov2" else {"height": 32, "width": 32},
        "crop_size": {"height": 32, "width": 32},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def tiny_aesthetic(folder: Path) -> Path:
    """A CLIP's vision model with linear layers upon it, in one file, as the published one."""
    from safetensors.torch import load_file, save_file
    from transformers import CLIPConfig, CLIPVisionModelWithProjection

    tiny_clip(folder, seed=2)
    torch.manual_seed(0)
    config = CLIPConfig.from_pretrained(folder).vision_config
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    widths = [config.projection_dim, 8, 1]
    layers = {}
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        layers[f"layers.{2 * number}.weight"] = torch.randn(after, before)
        layers[f"layers.{2 * number}.bias"] = torch.randn(after)
    save_file(load_file(folder / "model.safetensors") | layers, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("more")
    tiny_clip(folder / "clip")
    tiny_dino(folder / "dino", "dinov2")
    tiny_aesthetic(folder / "aesthetic")
    return folder


@pytest.mark.parametrize("kind", ["dinov2", "vit"])
def test_dinos_features_and_keys(tmp_path: Path, kind: str) -> None:
    seen = dino.load_dino(Model(source=str(tiny_dino(tmp_path, kind))))
    with torch.inference_mode():
        inputs = seen.processor(images=list(SOURCE), return_tensors="pt")
        outputs = seen.model(**inputs, output_hidden_states=True)
    torch.testing.assert_close(dino.pooled_features(seen, SOURCE), outputs.pooler_output)
    found = dino.keys(seen, SOURCE)
    assert found.shape == (4, 17, 32)  # the class token and 4x4 patches
    attention = (seen.model.encoder.layer if kind == "dinov2" else seen.model.layers)[-1]
    norm = attention.norm1 if kind == "dinov2" else attention.layernorm_before
    with torch.inference_mode():
        expected = attention.attention.k_proj(norm(outputs.hidden_states[-2]))
    torch.testing.assert_close(found, expected)


def test_what_is_no_dino_is_told(models: Path) -> None:
    with pytest.raises(UserError, match=r"is a model of type 'clip', where evaluate.dino needs dinov2 or vit"):
        dino.load_dino(Model(source=str(models / "clip")))
    with pytest.raises(UserError, match=r"no DINO at nowhere: no such folder"):
        dino.load_dino(Model(source="nowhere"))


def test_aesthetic_scores_are_linear_layers_on_the_normed_embedding(models: Path) -> None:
    predictor = aesthetic.load_aesthetic(Model(source=str(models / "aesthetic")))
    with torch.inference_mode():
        embeds = predictor.model(**predictor.processor(images=list(SOURCE), return_tensors="pt")).image_embeds
    (w1, b1), (w2, b2) = predictor.layers
    expected = (embeds / embeds.norm(dim=-1, keepdim=True)) @ w1.T @ w2.T + b1 @ w2.T + b2
    torch.testing.assert_close(aesthetic.scores(predictor, SOURCE), expected.flatten(), atol=1e-5, rtol=1e-5)
    with pytest.raises(UserError, match="it is a CLIP without an aesthetic predictor"):
        aesthetic.load_aesthetic(Model(source=str(models / "clip")))


@pytest.fixture
def project(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("clip", "dino", "aesthetic"):
        (tmp_path / name).symlink_to(models / name)
    write_frames(artifact("extract", "v", "frames"), SOURCE)
    write_frames(artifact("edit", "v--dog", "frames"), EDIT)
    write_json(artifact("caption", "v", "caption.json"), {"caption": "a cat", "by": "given"})
    return tmp_path


def run(*metrics: str, **settings: Any) -> dict[str, dict[str, float]]:
    data = params.read_yaml(Path(__file__).parents[2] / "params.yaml")
    data["videos"] = {"v": {"path": "v.mp4", "caption": "a cat", "extract": {}, "tune": {}}}
    data["edits"] = {"v--dog": {"video": "v", "prompt": "a dog"}}
    models = {"dino": {"source": "dino"}, "aesthetic": {"source": "aesthetic"}}
    data["evaluate"] = {"clip": {"source": "clip"}, "metrics": list(metrics), **models, **settings}
    evaluate.run(params.check(data), "v--dog", lambda progress: None)
    found: dict[str, dict[str, float]] = read_json(artifact("evaluate", "v--dog", "metrics.json"))
    return found


def test_one_more_metric_computes_that_one_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run()
    computed: list[str] = []
    for name, measure in MEASURES.items():

        def counted(subject: Any, name: str = name, of: Any = measure.of) -> Any:
            computed.append(name)
            return of(subject)

        monkeypatch.setitem(MEASURES, name, measure._replace(of=counted))
    more = run("warping_error")
    assert computed == ["warping_error"]
    assert {who: {k: v for k, v in values.items() if k != "warping_error"} for who, values in more.items()} == plain
    computed.clear()
    assert run("warping_error", "source_psnr") == run("warping_error", "source_psnr")
    assert computed == ["source_psnr"]
    computed.clear()
    write_frames(artifact("edit", "v--dog", "frames"), SOURCE)  # another edit: all of it anew
    run("warping_error")
    assert computed == ["frame_consistency", "textual_alignment", "motion_alignment", "warping_error"]


def test_what_lies_outside_of_the_mask(project: Path) -> None:
    """The edit differs from the source by 10 of 255 there, and by more within; a pixel of 1/255 is within."""
    assert "background_psnr" not in run("background_psnr")["edit"]  # it has no mask
    mask = np.zeros_like(SOURCE)
    mask[:, 8:16, 8:16] = 255
    mask[:, 7, 7] = 1
    source = np.full_like(SOURCE, 100)
    write_frames(artifact("extract", "v", "frames"), source)
    write_frames(artifact("edit", "v--dog", "frames"), np.where(mask > 0, 0, source + 10).astype(np.uint8))
    write_frames(artifact("edit", "v--dog", "frames/mask"), mask)
    found = run("background_psnr", "source_psnr")["edit"]
    assert found["background_psnr"] == pytest.approx(20 * np.log10(25.5))
    assert found["source_psnr"] < found["background_psnr"]
    write_frames(artifact("edit", "v--dog", "frames/mask"), np.full_like(mask, 255))  # nothing lies outside
    assert "background_psnr" not in run("background_psnr")["edit"]


def test_another_model_in_its_place_is_asked_again(project: Path) -> None:
    first = run("object_consistency")
    (project / "dino").unlink()
    tiny_dino(project / "dino", "vit")
    second = run("object_consistency")
    assert first["edit"]["object_consistency"] != second["edit"]["object_consistency"]
    assert first["edit"]["frame_consistency"] == second["edit"]["frame_consistency"]


def test_all_at_once_and_each_in_the_table(project: Path) -> None:
    names = [name for name in get_args(More) if name not in LEFT_OUT]
    found = run(*names)
    assert set(names) <= found["edit"].keys() <= METRICS.keys()
    assert {name for name in MEASURES if name not in METRICS} == set()
    clip = load_clip(Model(source="clip"))
    pooled = image_features(clip, EDIT, size=None, pooled=True)
    assert found["edit"]["semantic_consistency"] == pytest.approx(positive_consistency(pooled), abs=1e-6)
    assert found["source"]["warping_error"] <= found["edit"]["warping_error"]
    for name, knob in MODEL_OF.items():
        assert METRICS[name].knob == knob == MEASURES[name].knob


def test_a_metric_without_its_model_is_told(project: Path) -> None:
    with pytest.raises(UserError, match=r"metrics has aesthetic_quality, which needs a model: set evaluate.aesthetic"):
        run("aesthetic_quality", aesthetic=None)
