"""Depth and pose by real classes of transformers with random weights: the way in and out is right."""

import numpy as np
import pytest
import torch
from tiny import moving_square, tiny_clip
from tiny_detectors import tiny_depth_estimator, tiny_vitpose

from tav.model.detectors import LIMBS, depth, draw_skeleton, pose

FRAMES = moving_square(2, 32, 40)


def test_depth_is_the_networks_scaled_by_the_whole_video(tmp_path):
    from PIL import Image
    from transformers import AutoModelForDepthEstimation, DPTImageProcessorPil

    folder = tiny_depth_estimator(tmp_path)
    maps = depth(FRAMES, str(folder))
    assert (maps.dtype, maps.shape) == (np.uint8, FRAMES.shape)
    assert (maps.min(), maps.max()) == (0, 255)
    model, processor = AutoModelForDepthEstimation.from_pretrained(folder), DPTImageProcessorPil.from_pretrained(folder)
    inputs = processor([Image.fromarray(frame) for frame in FRAMES], return_tensors="pt")
    with torch.inference_mode():
        found = model(**inputs).predicted_depth
    found = torch.nn.functional.interpolate(found[:, None], FRAMES.shape[1:3], mode="bicubic")[:, 0].numpy()
    expected = (found - found.min()) / (found.max() - found.min()) * 255
    assert np.abs(maps[..., 0] - expected).max() < 2


def test_pose_draws_what_the_network_finds(tmp_path, monkeypatch):
    folder = tiny_vitpose(tmp_path)
    monkeypatch.setattr("tav.model.detectors.SURE", 1e9)
    assert not pose(FRAMES, str(folder)).any()
    monkeypatch.setattr("tav.model.detectors.SURE", -1)
    maps = pose(FRAMES, str(folder))
    assert (maps.dtype, maps.shape) == (np.uint8, FRAMES.shape)
    assert maps.any(axis=(1, 2, 3)).all()


def test_a_skeleton_has_its_limbs_where_the_points_are():
    points = np.stack([np.linspace(8, 120, 17), np.linspace(16, 112, 17)], 1)
    points[[5, 6]] = [[40, 20], [80, 20]]  # shoulders: the neck lies between
    canvas, scores = np.zeros((128, 128, 3), np.uint8), np.ones(17)
    draw_skeleton(canvas, points, scores)
    assert canvas[20, 60].any()
    for point in points:
        assert canvas[round(point[1]), round(point[0])].any()
    assert len({tuple(colour) for colour in canvas.reshape(-1, 3)}) > len(LIMBS)
    unsure = np.zeros_like(canvas)
    draw_skeleton(unsure, points, scores * 0.1)
    assert not unsure.any()


def test_what_is_no_detector_is_told(tmp_path):
    clip = str(tiny_clip(tmp_path / "clip"))
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        depth(FRAMES, "nowhere")
    with pytest.raises(ValueError, match="clip is no model for depth-estimation: "):
        depth(FRAMES, clip)
    with pytest.raises(ValueError, match="clip is no model for pose: it is of the type clip; expected vitpose"):
        pose(FRAMES, clip)
