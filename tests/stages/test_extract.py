import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from make_video import make_video, moving_frames, nearest, psnr
from PIL import Image

from tav import params
from tav.artifacts import artifact, read_frames, read_json
from tav.params import UserError
from tav.stages import Progress, extract
from tav.video import Span, probe, resize, unfit, write_mp4
from tav.video.sound import read_audio

ROOT = Path(__file__).parents[2]
CLIPS = ROOT.parent / "shared" / "clips"
NTSC = Fraction(30000, 1001)


def run(path: Path, **own: object) -> list[Progress]:
    """The stage on one video, in the current folder."""
    data = params.read_yaml(ROOT / "params.yaml")
    data["videos"] = {"v": {"path": str(path), "caption": "a box", "extract": own, "tune": {}}}
    data["edits"] = {}
    data["extract"] = {"num_frames": 4, "start": 0.0, "fps": None, "stride": None, "size": 64, "fit": "crop"}
    seen: list[Progress] = []
    extract.run(params.check(data), "v", seen.append)
    return seen


def made() -> tuple[np.ndarray, dict[str, object]]:
    return read_frames(artifact("extract", "v", "frames")), read_json(artifact("extract", "v", "source/info.json"))


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_frames_and_source(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", fps=NTSC)
    assert [p.done for p in run(path, stride=3, start=0.2)] == [1, 2, 3, 4]
    frames, source = made()
    assert frames.shape == (4, 64, 88, 3)  # 128x96, the long side to a multiple of 8
    assert source["indices"] == [6, 9, 12, 15]
    assert source["fps"] == float(NTSC / 3)
    assert source["span"] == pytest.approx({"start": 6 / NTSC, "end": 18 / NTSC})
    assert (source["size"], source["width"], source["height"], source["fit"]) == ([88, 64], 128, 96, "crop")
    assert source["path"] == str(path)
    assert psnr(frames, resize(moving_frames()[6:16:3], 88, 64, "crop")) > 30
    assert not artifact("extract", "v", "source/audio.flac").exists()
    assert sorted(p.name for p in artifact("extract", "v").iterdir()) == ["frames", "source"]


def test_frames_a_second_of_a_variable_rate(tmp_path: Path) -> None:
    times = [0, 50, 100, 200, 240, *range(300, 1630, 70)]
    run(make_video(tmp_path / "v.mkv", times=times), fps=5, num_frames=6)
    frames, source = made()
    assert source["indices"] == [0, 3, 6, 9, 12, 15]  # nearest to 0, 200, 400, 600, 800, 1000 ms
    assert source["fps"] == 5
    assert source["span"] == pytest.approx({"start": 0, "end": 1.2})
    assert nearest(frames, resize(moving_frames(), 88, 64, "crop")) == source["indices"]


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_cadence_of_an_avi_without_times(stride: int) -> None:
    run(ROOT / "tests/cases/packed-b-frames.avi", stride=stride, num_frames=5)
    assert made()[1]["fps"] == pytest.approx(30 / stride)
    assert made()[1]["indices"] == [i * stride for i in range(5)]


def test_by_decord(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4")
    run(path, stride=3)
    by_av = made()[0]
    run(path, stride=3, reader="decord")
    assert np.array_equal(made()[0], by_av)
    with pytest.raises(UserError, match=r"set extract\.reader to av"):
        run(ROOT / "tests/cases/short-gop-fragmented.mp4", reader="decord")


def test_the_way_back_keeps_size_cadence_and_sound(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", moving_frames(60), fps=NTSC, tone=2.0)
    run(path, stride=4, num_frames=8, start=0.5, size=[64, 64], fit="pad")
    frames, source = made()
    shown = unfit(frames, source["width"], source["height"], source["fit"])
    write_mp4(tmp_path / "back.mp4", shown, source["fps"], audio_from=artifact("extract", "v", "source/audio.flac"))
    info = probe(tmp_path / "back.mp4")
    assert (info.width, info.height, info.num_frames, info.has_audio) == (128, 96, 8, True)
    assert info.fps == pytest.approx(float(NTSC / 4))
    expected, _ = read_audio(path, Span(**source["span"]))
    sound, _ = read_audio(tmp_path / "back.mp4", Span(0, float(8 * 4 / NTSC)))
    assert np.corrcoef(sound[0], expected[0])[0, 1] > 0.97
    assert psnr(shown, moving_frames(60)[source["indices"]]) > 22


def test_run_again_leaves_nothing_of_before(tmp_path: Path) -> None:
    run(make_video(tmp_path / "a.mp4", tone=0.8), num_frames=6)
    assert artifact("extract", "v", "source/audio.flac").exists()
    run(make_video(tmp_path / "b.mp4"), num_frames=3)
    assert not artifact("extract", "v", "source/audio.flac").exists()
    assert len(made()[0]) == 3


def test_folder_of_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i in range(12):
        Image.new("RGB", (80, 64), (20 * i,) * 3).save(tmp_path / "images" / f"{i}.png")
    run(tmp_path / "images", fps=12)
    frames, source = made()
    assert frames[:, 0, 0, 0].tolist() == [0, 20, 40, 60]
    assert source["fps"] == 12  # images have no rate of their own: they are taken one by one
    run(tmp_path / "images", stride=3)
    assert made()[0][:, 0, 0, 0].tolist() == [0, 60, 120, 180]
    assert made()[1]["fps"] == pytest.approx(8 / 3)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            {"num_frames": 30},
            r"24 frames at 30 a second \(0\.80 s\)\. Of 30 frames from 0 s on, with a stride of 1, 24 are",
        ),
        ({"stride": 8}, r"Of 4 frames from 0 s on, with a stride of 8, 3 are there: set a smaller extract\.num_frames"),
        ({"start": 5}, "Of 4 frames from 5 s on, with a stride of 1, 0 are there"),
        ({"fps": 4, "num_frames": 5}, "Of 5 frames from 0 s on, 4 a second, 4 are there"),
        ({"fps": 60}, r"fps 60 is more than the video has \(30\)"),
        ({"size": 100}, "size 100 isn't a multiple of 8: take 96 or 104"),
    ],
)
def test_what_can_not_be_had(own: dict[str, object], message: str, tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4")
    with pytest.raises(UserError, match=message) as error:
        run(path, **own)
    assert "\n" not in str(error.value)
    assert not artifact("extract", "v").exists()


def test_needs_no_torch(tmp_path: Path) -> None:
    heavy = ("torch", "av", "decord", "cv2", "PIL")
    code = f"import sys, tav.stages.extract; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("clip", "size", "sound"), [("man-skiing.mp4", (718, 718), True), ("hiker_tiny.mp4", (368, 240), False)]
)
def test_real_clips(clip: str, size: tuple[int, int], sound: bool) -> None:
    if not (CLIPS / clip).exists():
        pytest.skip(f"{CLIPS / clip} is not here")
    run(CLIPS / clip, fps=8, num_frames=8, size=32)
    frames, source = made()
    assert frames.shape[:2] == (8, 32)
    assert (source["width"], source["height"]) == size
    assert artifact("extract", "v", "source/audio.flac").exists() == sound
    assert len(set(nearest(frames, frames))) == 8
