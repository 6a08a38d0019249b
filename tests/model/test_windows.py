"""A long video in windows: whole and the same as without where it fits, else an average that a naive sum gives too."""

import pytest
import torch

from tav.artifacts import read_tensors, room_on_disk, write_tensors
from tav.model.ddim import Schedule, ddim_invert, ddim_sample
from tav.model.denoiser import DiffusionStep, Network, guided, prompted
from tav.model.edit_friendly import edit_friendly_invert
from tav.model.prompts import encode_prompts
from tav.model.windows import pyramid, windowed, windows_of

STEP = DiffusionStep(torch.tensor(501), 0, 1)


@pytest.mark.parametrize(
    ("num_frames", "frames", "overlap", "expected"),
    [
        (8, 8, 4, [(0, 8)]),
        (3, 8, 0, [(0, 3)]),
        (9, 8, 4, [(0, 8), (1, 9)]),
        (16, 8, 4, [(0, 8), (4, 12), (8, 16)]),
        (11, 4, 1, [(0, 4), (3, 7), (6, 10), (7, 11)]),
        (6, 2, 0, [(0, 2), (2, 4), (4, 6)]),
    ],
)
def test_every_frame_is_in_a_window(num_frames, frames, overlap, expected):
    assert windows_of(num_frames, frames, overlap) == [range(*window) for window in expected]


@pytest.mark.parametrize("overlap", [-1, 4])
def test_an_overlap_that_does_not_move_on(overlap):
    with pytest.raises(ValueError, match=f"windows of 4 frames got an overlap of {overlap}; expected 0 to 3"):
        windows_of(9, 4, overlap)


def test_pyramid():
    assert pyramid(5).tolist() == [1, 2, 3, 2, 1]
    assert pyramid(4).tolist() == [1, 2, 2, 1]
    assert pyramid(1).tolist() == [1]


def test_predictions_are_averaged_by_weight():
    """Each window predicts another constant; frame 0 is in front, and its prediction counts in its own window alone."""
    seen = []

    def denoise(latents, step):
        seen.append(step.frames.tolist())
        assert torch.equal(latents[:, 0, 0, 0], step.frames.float())
        return torch.full_like(latents, float(10 ** len(seen)))

    latents = torch.arange(7.0).reshape(7, 1, 1, 1).expand(7, 2, 4, 4)
    done = []
    prediction = windowed(denoise, 3, 1, on_window=lambda *window: done.append(window))(latents, STEP)
    assert seen == [[0, 1, 2], [0, 2, 3, 4], [0, 4, 5, 6]]
    assert done == [(1, 3), (2, 3), (3, 3)]
    naive = [10, 10, (10 + 100) / 2, 100, (100 + 1000) / 2, 1000, 1000]  # weights 1 2 1 of each
    assert prediction[:, 1, 2, 3].tolist() == pytest.approx(naive)


def test_a_trajectory_on_disk_is_the_one_in_memory(pipe, moments, prompt_embeds, tmp_path):
    denoise, schedule = prompted(Network(pipe.unet), prompt_embeds), Schedule.of(pipe.scheduler, 3)
    expected = ddim_invert(denoise, schedule, moments.mean)
    with room_on_disk(tmp_path / "made") as room:
        inverted = ddim_invert(denoise, schedule, moments.mean, room=room)
        (file,) = (tmp_path / "made").glob(".tmp-tensors.*/*")
        assert file.read_bytes() == expected.latents.numpy().tobytes()
        write_tensors(tmp_path / "latents.safetensors", inverted.tensors())
    assert list((tmp_path / "made").iterdir()) == []
    assert torch.equal(read_tensors(tmp_path / "latents.safetensors")["latents"], expected.latents)
    with room_on_disk(tmp_path / "made") as room:
        friendly = edit_friendly_invert(denoise, schedule, moments.mean, seed=1, room=room).noises
        assert torch.equal(friendly, edit_friendly_invert(denoise, schedule, moments.mean, seed=1).noises)


def test_one_window_is_none_bit_for_bit(pipe, moments, prompt_embeds):
    (empty,) = encode_prompts(pipe, [""])
    network, schedule = Network(pipe.unet), Schedule.of(pipe.scheduler, 2)
    inverse, forward = prompted(network, prompt_embeds), guided(network, prompt_embeds, empty, 3.0)
    plain = ddim_invert(inverse, schedule, moments.mean)
    inverted = ddim_invert(windowed(inverse, 3, 2), schedule, moments.mean)
    assert torch.equal(inverted.latents, plain.latents)
    edited = ddim_sample(windowed(forward, 99, 0), schedule, plain.at(2))
    assert torch.equal(edited, ddim_sample(forward, schedule, plain.at(2)))


def test_a_windows_frames_are_a_video_of_their_own(pipe, moments, prompt_embeds):
    """The network under windows gives what it gives for each window with frame 0 in front."""
    latents = torch.cat([moments.mean, moments.mean.flip(0)])[:5]
    denoise = prompted(Network(pipe.unet), prompt_embeds)
    with torch.no_grad():
        prediction = windowed(denoise, 3, 1)(latents, STEP)
        first, second = denoise(latents[:3], STEP), denoise(latents[[0, 2, 3, 4]], STEP)
    torch.testing.assert_close(prediction[:2], first[:2], rtol=0, atol=1e-5)
    torch.testing.assert_close(prediction[2], (first[2] + second[1]) / 2, rtol=0, atol=1e-5)
    torch.testing.assert_close(prediction[3:], second[2:], rtol=0, atol=1e-5)
