import numpy as np
import pytest
from make_video import moving_frames, psnr

from tav.params import Fit, UserError
from tav.video import fitted_size, moved, resize, unfit


def quarters(width: int, height: int) -> np.ndarray:
    """Each quarter of its own colour, to see what was cut or moved."""
    frame = np.zeros((1, height, width, 3), np.uint8)
    frame[:, : height // 2, : width // 2] = (200, 0, 0)
    frame[:, : height // 2, width // 2 :] = (0, 200, 0)
    frame[:, height // 2 :, : width // 2] = (0, 0, 200)
    frame[:, height // 2 :, width // 2 :] = (200, 200, 0)
    return frame


def test_fitted_size() -> None:
    assert fitted_size(718, 718, 512) == (512, 512)
    assert fitted_size(1920, 1080, 512) == (912, 512)
    assert fitted_size(1080, 1920, 256) == (256, 456)
    assert fitted_size(368, 240, (320, 176)) == (320, 176)
    assert fitted_size(257, 256, 64, multiple=64) == (64, 64)
    with pytest.raises(UserError, match="500 isn't a multiple of 8: take 496 or 504"):
        fitted_size(100, 100, 500)
    with pytest.raises(UserError, match="4 isn't a multiple of 8: take 8 or 16"):
        fitted_size(100, 100, (64, 4))


@pytest.mark.parametrize(("width", "height"), [(200, 100), (100, 200), (101, 37)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_sizes_and_middle(width: int, height: int, fit: str) -> None:
    small = resize(quarters(width, height), 64, 48, fit)  # type: ignore[arg-type]
    assert small.shape == (1, 48, 64, 3)
    assert small.dtype == np.uint8
    y, x = (20, 28) if fit == "pad" else (12, 16)
    assert small[0, y, x].tolist() == pytest.approx([200, 0, 0], abs=4)
    assert small[0, 47 - y, 63 - x].tolist() == pytest.approx([200, 200, 0], abs=4)


def test_pad_keeps_all_and_crop_fills() -> None:
    wide = np.full((2, 50, 200, 3), 255, np.uint8)
    padded = resize(wide, 64, 64, "pad")
    assert (padded[:, 24:40] == 255).all()
    assert (padded[:, :24] == 0).all()
    assert (padded[:, 40:] == 0).all()
    assert (resize(wide, 64, 64, "crop") == 255).all()


def test_crop_keeps_the_aspect() -> None:
    """A circle stays a circle."""
    y, x = np.mgrid[:120, :300]
    circle = (((x - 150) ** 2 + (y - 60) ** 2) < 40**2).astype(np.uint8)[None, ..., None] * np.full(3, 255, np.uint8)
    small = resize(circle, 64, 64, "crop")[0, ..., 0] > 127
    across, down = small.any(0).sum(), small.any(1).sum()
    assert across == down == pytest.approx(80 * 64 / 120, abs=1)


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((1, 96, 96, 3), np.uint8)
    stripes[:, :, ::2] = 255
    assert resize(stripes, 32, 32)[0, 8:-8, 8:-8].std() < 4  # every third pixel taken would swing from 0 to 255


def test_same_size_is_the_same() -> None:
    frames = moving_frames(2)
    for fit in ("crop", "pad", "stretch"):
        assert np.array_equal(resize(frames, 128, 96, fit), frames)


@pytest.mark.parametrize(("width", "height"), [(200, 120), (120, 200), (160, 160)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_unfit_undoes_resize(width: int, height: int, fit: str) -> None:
    frames = moving_frames(2, width, height)
    back = unfit(resize(frames, 128, 128, fit), width, height, fit)  # type: ignore[arg-type]
    kept = frames
    if fit == "crop":
        side = min(width, height)
        top, left = (height - side) // 2, (width - side) // 2
        kept = frames[:, top : top + side, left : left + side]
    assert back.shape == kept.shape
    assert psnr(back, kept) > 28


def test_wrong_frames() -> None:
    for frames in (np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            resize(frames, 8, 8)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_place_goes_where_resize_takes_it(fit: Fit) -> None:
    source = np.zeros((1, 60, 120, 3), np.uint8)
    source[0, 27:33, 66:72] = 255  # its middle at .575, .5
    frame = resize(source, 64, 48, fit)[0, ..., 0].astype(float)
    x, y = ((frame.sum(axis) * (np.arange(side) + 0.5)).sum() / frame.sum() / side for axis, side in ((0, 64), (1, 48)))
    assert moved((0.575, 0.5), (120, 60), (64, 48), fit) == pytest.approx((x, y), abs=0.01)
    assert moved((0.0, 0.5), (120, 60), (64, 48), fit) == (0.0, 0.5)
