"""Benchmarks' folders in, and LOVEU's submission out."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmark_folders import VIDEOS, davis, loveu, loveu_config
from PIL import Image
from project import ignore

from tav.artifacts import artifact, read_frames, write_frames
from tav.commands.data_set import Choice
from tav.commands.davis import import_davis
from tav.commands.export import export
from tav.commands.init import for_real_weights
from tav.commands.loveu import KINDS, import_loveu, read_texts
from tav.commands.params_text import parse
from tav.commands.spreadsheet import import_csv
from tav.params import UserError, load
from tav.stages import extract

ALL = Choice()


@pytest.fixture
def empty(project: Path) -> Path:
    """A project for real weights: it has no videos."""
    file = project / "params.yaml"
    file.write_text(for_real_weights(file.read_text()))
    return project


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loveu(tmp_path_factory.mktemp("data") / "loveu-tgve-2023")


def test_loveu_in_and_out(empty: Path, folder: Path, tmp_path: Path) -> None:
    """The whole way: imported, a video extracted, edits exported, and read back as the benchmark's script does."""
    said = import_loveu(folder, None, ALL)
    assert said[0].startswith("added 3 videos and 12 edits")
    params = load()
    assert {key: params.extract_of(key).num_frames for key in VIDEOS} == {key: n for key, (_, n) in VIDEOS.items()}
    glider = params.edits["glider--style"]
    assert (glider.prompt, glider.kind, glider.video) == ("A red cat glides, in neon", "style", "glider")
    assert params.videos["glider"].caption == "A red cat glides"
    assert params.videos["glider"].tune == {}  # the sections of such a project are the paper's
    assert params.videos["glider"].extract == {"num_frames": 4, "fps": None, "stride": 1, "size": [480, 480]}
    assert list(parse(Path("params.yaml").read_text())["edits"]["glider--style"]) == ["video", "prompt", "kind"]
    assert Path("videos/loveu-tgve-2023/DAVIS_480p/glider.dvc").exists()
    assert not Path("videos/loveu-tgve-2023/youtube_480p/roller/00000.jpg").is_symlink()

    extract.run(params, "glider", ignore)
    frames = read_frames(artifact("extract", "glider", "frames"))
    assert frames.shape == (4, 480, 480, 3)
    for kind in KINDS[:3]:
        write_frames(artifact("edit", f"glider--{kind}", "frames"), frames)
    lines = export(params, "loveu", tmp_path / "out")
    assert lines[0] == f"wrote 3 edits of 1 videos to {tmp_path / 'out'}"
    assert "DAVIS_480p/glider/multiple" in lines[1]
    back = sorted((tmp_path / "out/DAVIS_480p/glider/object").glob("*.jpg"))
    assert [file.name for file in back] == ["00000.jpg", "00001.jpg", "00002.jpg", "00003.jpg"]
    read = np.stack([np.asarray(Image.open(file)) for file in back])
    assert np.abs(read.astype(int) - frames).mean() < 3


def test_beside_other_videos_each_has_its_own_settings(project: Path, folder: Path) -> None:
    said = import_loveu(folder, None, Choice(only=["roller"]))
    params = load()
    assert (params.tune_of("roller").steps, params.tune_of("roller").temporal_learning_rate) == (500, None)
    assert params.tune_of("red-car").steps == params.tune.steps != 500
    edit = params.edit_of("roller--object")
    assert (edit.guidance_scale, edit.strength) == (12.5, 1.0)
    assert params.invert.num_inference_steps == 20
    assert any("invert.num_inference_steps is 20, there 50" in line for line in said)


def test_what_is_there_is_added_and_what_is_missing_is_told(empty: Path, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "configs/DAVIS_480p/glider.yaml"
    loveu_config(config)
    lost = config.with_name("lost.yaml")
    lost.write_text(config.read_text().replace("/glider", "/lost"))
    said = import_loveu(folder, tmp_path / "configs", ALL)
    assert said[:2] == ["added 1 videos and 4 edits (0 videos were there already)", "missing: DAVIS_480p/lost"]
    text = Path("params.yaml").read_text()
    again = import_loveu(folder, None, Choice(split=["davis"]))
    assert again[0] == "added 1 videos and 4 edits (1 videos were there already)"
    assert Path("params.yaml").read_text().startswith(text[: text.index("    tune: {}")])
    assert import_loveu(folder, None, Choice(limit=1))[0].startswith("added 0 videos and 0 edits")


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(only=["nobody"]), "no video nobody; there are: glider, hopper, roller"),
        (Choice(split=["vimeo"]), "no split vimeo; there are: DAVIS_480p, youtube_480p"),
    ],
)
def test_a_choice_of_nothing(empty: Path, folder: Path, choice: Choice, said: str) -> None:
    with pytest.raises(UserError, match=said):
        import_loveu(folder, None, choice)


def test_nothing_is_left_when_dvc_refuses(empty: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("videos").write_text("in the way")
    before = Path("params.yaml").read_bytes()
    with pytest.raises((UserError, OSError)):
        import_loveu(folder, None, ALL)
    assert Path("params.yaml").read_bytes() == before
    Path("videos").unlink()
    (empty / ".dvc/config").write_text("no config\n")
    with pytest.raises(UserError, match="DVC can't track"):
        import_loveu(folder, None, ALL)
    assert Path("params.yaml").read_bytes() == before
    assert not Path("videos").exists()


def test_texts_that_are_none(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("name,words\na,b\n")
    with pytest.raises(UserError, match=r"no column for style, .*; it has name, words"):
        read_texts(tmp_path / "x.csv")
    (tmp_path / "y.yaml").write_text("videos: [{name: a}]\n")
    with pytest.raises(UserError, match=r"no config of LOVEU-TGVE-2023: it lacks 'split'"):
        read_texts(tmp_path / "y.yaml")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="as CSV"):
        read_texts(tmp_path / "nothing")


def test_export_says_what_is_wrong(empty: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no edit is of LOVEU-TGVE-2023"):
        export(load(), "loveu", tmp_path / "out")
    import_loveu(folder, None, Choice(only=["glider"]))
    with pytest.raises(UserError, match="no edit is made yet"):
        export(load(), "loveu", tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="is there already"):
        export(load(), "loveu", tmp_path / "out")


def test_davis(empty: Path, tmp_path: Path) -> None:
    said = import_davis(davis(tmp_path / "DAVIS"), ALL)
    assert said[:2] == ["added 2 videos and 0 edits (0 videos were there already)", "missing: lost"]
    params = load()
    assert params.videos["bear"].caption is None
    bear, goose = params.extract_of("bear"), params.extract_of("goose")
    assert (bear.num_frames, bear.stride, bear.size) == (32, 2, (512, 512))
    assert (goose.num_frames, goose.stride) == (6, 1)
    assert Path("videos/davis/bear").is_dir()
    with pytest.raises(UserError, match="is not DAVIS"):
        import_davis(tmp_path, ALL)


def test_csv(project: Path, video: Path) -> None:
    table = video.parent / "mine.csv"
    table.write_text(
        "video,caption,prompt,kind\nMy Cat.mp4,a cat,a dog,object\nMy Cat.mp4,,a cat in space,background\nno.mp4,,a,\n"
    )
    said = import_csv(table, ALL)
    assert said[:2] == ["added 1 videos and 2 edits (0 videos were there already)", "missing: no.mp4"]
    params = load()
    assert (params.videos["my-cat"].path, params.videos["my-cat"].extract) == ("videos/my-cat.mp4", {})
    assert {e.kind: e.prompt for e in params.edits.values() if e.video == "my-cat"} == {
        "object": "a dog",
        "background": "a cat in space",
    }
    table.write_text("film,prompt\na,b\n")
    with pytest.raises(UserError, match=r"has the columns film, prompt; expected video"):
        import_csv(table, ALL)


def test_the_commands_are_typed_so(project: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "tav", "import", "csv", "no.csv"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: can't read no.csv as a CSV")
