"""Drawn masks come to where the frames are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tav.params import UserError
from tav.video import write_mp4
from tav.video.masks import mask_pictures, read_mask

INDICES = [0, 2, 4]
SOURCE: dict[str, Any] = {"width": 64, "height": 48, "size": [32, 32], "fit": "stretch", "indices": INDICES}


def half(width: int = 64, height: int = 48) -> np.ndarray:
    """White on the right."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, width // 2 :] = 255
    return picture


def test_a_picture_is_for_all_frames(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    for picture in (half(), half(128, 96), half(320, 320)):  # of the source's shape, or of the frames'
        Image.fromarray(picture).save(path)
        mask = read_mask(path, SOURCE)
        assert mask.shape == (3, 32, 32)
        assert mask[:, :, 16:].all()
        assert not mask[:, :, :16].any()


def test_it_is_fitted_as_the_frames_are(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.full((48, 64, 3), 255, np.uint8)).save(path)
    padded = read_mask(path, SOURCE | {"indices": [0], "fit": "pad"})[0]
    assert padded[4:28].all()
    assert not padded[:4].any()
    assert not padded[28:].any()  # the borders aren't the source's


@pytest.mark.parametrize("number", [3, 6])
def test_a_video_has_a_mask_for_each_frame(tmp_path: Path, number: int) -> None:
    """Of those that are edited, or of all of the source's. H.264's noise is neither black nor white."""
    frames = np.zeros((number, 48, 64, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[:, 8 * i : 8 * i + 16] = 255
    write_mp4(tmp_path / "mask.mp4", frames, 8)
    mask = read_mask(tmp_path / "mask.mp4", SOURCE)
    starts = [4 * i for i in (INDICES if number == 6 else range(3))]
    assert [row.nonzero()[0][0] for row in mask[:, 16]] == starts
    assert mask.sum(axis=(1, 2)).tolist() == [8 * 32] * 3


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no mask at .*none.png"):
        read_mask(tmp_path / "none.png", SOURCE | {"fit": "crop"})
    Image.fromarray(half(100, 20)).save(tmp_path / "long.png")
    with pytest.raises(UserError, match=r"long.png is 100x20; expected the shape of the video, 64x48 or 32x32"):
        read_mask(tmp_path / "long.png", SOURCE | {"fit": "crop"})
    write_mp4(tmp_path / "short.mp4", half()[None].repeat(4, axis=0), 8)
    with pytest.raises(UserError, match=r"has 4 frames; expected 3, one for each that is edited"):
        read_mask(tmp_path / "short.mp4", SOURCE | {"fit": "crop"})


def test_to_look_at() -> None:
    assert mask_pictures(np.array([[[0.0, 0.5, 1.0]]])).tolist() == [[[[0] * 3, [128] * 3, [255] * 3]]]
