import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import moving_square, tiny_blip2, tiny_clip

from tav import params
from tav.artifacts import artifact, read_json, write_frames
from tav.params import UserError
from tav.stages import Progress, caption

MODEL = {"source": "blip2"}
WORD = 10  # of the tiny vocabulary, not a special one


def settings(given: str | None, model: dict[str, str] = MODEL, tokens: int = 5) -> params.Params:
    data = params.read_yaml(Path(__file__).parents[2] / "params.yaml")
    data["videos"] = {"v": {"path": "v.mp4", "caption": given, "extract": {}, "tune": {}}}
    data["edits"] = {}
    data["caption"] = {"model": model, "max_new_tokens": tokens}
    return params.check(data)


@pytest.fixture(scope="module")
def blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that says words: random weights alone repeat the start token, which is the end token too."""
    import torch
    from transformers import Blip2ForConditionalGeneration

    folder = tiny_blip2(tmp_path_factory.mktemp("models") / "blip2")
    model = Blip2ForConditionalGeneration.from_pretrained(folder)
    decoder = model.language_model.model.decoder
    with torch.no_grad():
        decoder.final_layer_norm.bias.copy_(100 * decoder.embed_tokens.weight[WORD])
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch, blip2) -> Path:
    """A project whose video is extracted, with a tiny BLIP-2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blip2").symlink_to(blip2)
    write_frames(artifact("extract", "v", "frames"), moving_square(5, 32, 32))
    return tmp_path


def run(given: str | None, **changes) -> dict[str, str]:
    told: list[Progress] = []
    caption.run(settings(given, **changes), "v", told.append)
    assert told == [Progress(1, 1)]
    return read_json(artifact("caption", "v", "caption.json"))


def test_a_given_caption_is_used_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no frames, no model
    assert run("a <b>man</b> is  skiing") == {"caption": "a <b>man</b> is skiing", "by": "given"}


def test_a_given_caption_loads_no_model_and_no_torch(tmp_path):
    code = (
        "import sys; from tav import params; from tav.stages import caption;"
        "caption.run(params.load(), 'v', print); print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    yaml = (Path(__file__).parents[2] / "params.yaml").read_text()
    start, end = yaml.index("videos:"), yaml.index("# How to make it")
    own = "videos: {v: {path: v.mp4, caption: a man, extract: {}, tune: {}}}\nedits: {}\n"
    (tmp_path / "params.yaml").write_text(yaml[:start] + own + yaml[end:])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_blip2_writes_one_clean_line_and_the_same_again(project):
    first = run(None)
    assert first["by"] == "blip2"
    assert first["caption"] == " ".join(first["caption"].split()) != ""
    assert "<image>" not in first["caption"]
    assert run(None) == first


def test_blip2_looks_at_the_middle_frame(project, monkeypatch):
    seen = []
    monkeypatch.setattr(caption, "write_caption", lambda frame, _: seen.append(frame) or "x")
    run(None)
    assert (seen[0] == moving_square(5, 32, 32)[2]).all()


def test_max_new_tokens_bounds_the_caption(project):
    assert len(run(None, tokens=1)["caption"].split()) <= 1 < len(run(None, tokens=8)["caption"].split())


def test_an_empty_caption_says_what_to_do(project, monkeypatch):
    monkeypatch.setattr(caption, "write_caption", lambda frame, _: " \n ")
    with pytest.raises(UserError, match=r"blip2 has nothing to say of video 'v': write videos\.v\.caption"):
        run(None)
    assert not artifact("caption", "v").exists()


def test_half_precision_weights_run_on_cpu(project, blip2, tmp_path_factory):
    from transformers import Blip2ForConditionalGeneration, Blip2Processor

    half = tmp_path_factory.mktemp("half")
    Blip2ForConditionalGeneration.from_pretrained(blip2).half().save_pretrained(half)
    Blip2Processor.from_pretrained(blip2).save_pretrained(half)
    assert '"float16"' in (half / "config.json").read_text()
    assert run(None, model={"source": str(half)})["caption"] == run(None)["caption"]


def test_no_such_folder(project):
    with pytest.raises(UserError, match=r"no BLIP-2 at nowhere: no such folder; set caption\.model .* or give"):
        run(None, model={"source": "nowhere"})


def test_a_folder_without_a_model(project):
    (project / "empty").mkdir()
    with pytest.raises(UserError, match=r"no BLIP-2 at empty: it has no config\.json"):
        run(None, model={"source": "empty"})


def test_another_kind_of_model_is_named(project):
    tiny_clip(project / "clip")
    with pytest.raises(UserError, match="clip is CLIPModel, where a Blip2ForConditionalGeneration is needed"):
        run(None, model={"source": "clip"})


def test_a_blip2_without_safetensors(project, blip2):
    bare = project / "bare"
    bare.mkdir()
    for file in blip2.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, bare)
    (bare / "pytorch_model.bin").write_bytes(b"a pickle would be here")
    with pytest.raises(UserError, match=r"can't load BLIP-2 from bare: .*safetensors"):
        run(None, model={"source": "bare"})


def test_a_hub_id_that_is_not_there(project):
    with pytest.raises(UserError, match="no BLIP-2 at nobody/no-such-model"):
        run(None, model={"source": "hub:nobody/no-such-model"})


def test_the_device_is_the_one_that_was_asked_for(project, monkeypatch):
    monkeypatch.setenv("TAV_DEVICE", "gpu9")
    with pytest.raises(UserError, match="TAV_DEVICE is 'gpu9'"):
        run(None, model={"source": "blip2"})
