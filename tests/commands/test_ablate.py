"""`tav ablate`: variants beside the default, which share what they have in common."""

import shutil
from pathlib import Path

import pytest
from project import ROOT

from flows import dag
from tav.artifacts import artifact, write_json
from tav.commands.ablate import BASELINES, VARIANTS, ablate
from tav.commands.remove import remove
from tav.params import UserError, load


def test_the_papers_ablations_and_ours(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    said = ablate("red-car", [], baselines=False)
    params = load()
    assert said[-2] == "added 12 edits, which need 3 tunings more"
    variants = {key: video for key, video in params.videos.items() if video.variant_of}
    assert set(variants) == {f"red-car--{n}" for n in ("untuned", "no-sparse-causal", "no-temporal", "full-attention")}
    assert {params.tune_of(key).steps for key in variants} == {0, params.tune.steps}
    assert params.tune_of("red-car--full-attention").self_attention == "full"
    assert not params.tune_of("red-car--no-temporal").temporal
    assert {video.path for video in variants.values()} == {params.videos["red-car"].path}
    blue = {edit.variant: edit for key, edit in params.edits.items() if edit.prompt == "a blue car on a road"}
    assert set(blue) == {None, *(variant.name for variant in VARIANTS)}
    assert blue["no-inversion"].video == "red-car"  # its tuning is the default's
    assert blue["per-frame"].video == blue["untuned"].video == "red-car--untuned"
    text = (project / "params.yaml").read_text()
    assert ablate("red-car", [], baselines=False)[-2] == "added 0 edits, which need 0 tunings more"
    assert (project / "params.yaml").read_text() == text
    remove("red-car")
    assert not [key for key in load().videos if key.startswith("red-car")]
    assert before.startswith("# yaml")


def test_variants_that_share_a_tuning_run_none(project: Path) -> None:
    """In the DAG, not just in params.yaml: no stage `tune` comes with them."""
    for name in ("dvc.yaml", "recipe.yaml"):
        shutil.copy(ROOT / name, project)
    for name in load().videos:
        Path(f"videos/{name}.mp4").parent.mkdir(exist_ok=True)
        Path(f"videos/{name}.mp4").touch()
    before = {stage.name: stage for stage in dag.read(["evaluate"])}
    ablate("red-car", ["no-inversion"], baselines=False)
    after = {stage.name: stage for stage in dag.read(["evaluate"])}
    new = after.keys() - before.keys()
    assert {name.partition("@")[0] for name in new} == {"edit", "evaluate"}
    assert "tune@red-car" in after["edit@red-car--blue--no-inversion"].upstream


def test_baselines_need_no_tuning(project: Path) -> None:
    said = ablate("yellow-cat", [variant.name for variant in BASELINES], baselines=False)
    assert said[-2] == "added 3 edits, which need 0 tunings more"
    params = load()
    methods = {params.edit_of(key).method for key, edit in params.edits.items() if edit.variant}
    assert methods == {"per-frame-plug-and-play", "per-frame-sdedit", "text2video-zero"}
    assert {edit.video for edit in params.edits.values() if edit.variant} == {"yellow-cat--untuned"}
    assert params.tune_of("yellow-cat--untuned").steps == 0


def test_a_caption_is_shared(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("caption: a red car on a road", "caption: null"))
    with pytest.raises(UserError, match=r"has no caption yet.*dvc repro caption@red-car"):
        ablate("red-car", ["untuned"], baselines=False)
    write_json(artifact("caption", "red-car", "caption.json"), {"caption": "a car", "by": "blip2"})
    ablate("red-car", ["untuned"], baselines=False)
    assert load().videos["red-car--untuned"].caption == "a car"


def test_what_is_wrong_is_told(project: Path) -> None:
    for video, only, said in (
        ("red-cat", [], "no video 'red-cat'; did you mean 'red-car'"),
        ("red-car", ["nothing"], "no variant nothing; there are: untuned, "),
    ):
        with pytest.raises(UserError, match=said):
            ablate(video, only, baselines=False)
    ablate("red-car", ["untuned"], baselines=False)
    with pytest.raises(UserError, match="is a variant itself: give red-car"):
        ablate("red-car--untuned", [], baselines=False)
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("variant_of: red-car", "variant_of: red-cat"))
    with pytest.raises(UserError, match=r"videos.red-car--untuned.variant_of: expected a video that is no variant"):
        load()
