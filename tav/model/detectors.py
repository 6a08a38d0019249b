"""Depth and pose of frames, by models of transformers from a folder or the hub. No torchvision.

uint8 (f h w 3) in and out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tav.model.hub_names import HUB, line

FAR_IS_LARGE = {"zoedepth", "depth_pro"}
"""Models whose depth is a distance; the others' grows towards the camera, as ControlNets were trained with."""
# OpenPose's body of 18 points from COCO's 17: right and left shoulder, elbow, wrist and so on; the neck comes second.
OF_COCO = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
SURE = 0.3
"""The least score of a point that is drawn, and of a person."""


def depth(frames: np.ndarray, source: str, *, revision: str | None = None, device: str = "cpu") -> np.ndarray:
    """Near is white, far is black; scaled by the whole video, so that what stands still keeps its grey.

    Args:
        frames: uint8, f h w 3.
        source: a depth estimator of transformers: a folder, or "hub:owner/name".
        revision: branch, tag or commit on the hub.
        device: where it runs.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: not a depth estimator.
    """
    from PIL import Image

    estimate = _pipeline("depth-estimation", source, revision, device)
    pictures = [Image.fromarray(frame) for frame in frames]
    depths = torch.stack([estimate(picture)["predicted_depth"].float() for picture in pictures]).cpu().numpy()
    config = estimate.model.config
    if config.model_type in FAR_IS_LARGE or getattr(config, "depth_estimation_type", "") == "metric":
        depths = 1 / np.maximum(depths, 1e-3)
    low, high = depths.min(), depths.max()
    grey = ((depths - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def pose(
    frames: np.ndarray, source: str, person: str | None = None, *, revision: str | None = None, device: str = "cpu"
) -> np.ndarray:
    """Skeletons as OpenPose draws them, on black.

    Args:
        frames: uint8, f h w 3.
        source: a VitPose of transformers: a folder, or "hub:owner/name".
        person: an object detector that knows persons, from such a place. None: the frame is the person's box.
        revision: branch, tag or commit on the hub, of the VitPose.
        device: where they run.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: models of other kinds.
    """
    model, processor = _vitpose(source, revision)
    model = model.eval().to(device)
    height, width = frames.shape[1:3]
    whole = [(0.0, 0.0, float(width), float(height))] * len(frames)
    boxes = [[box] for box in whole] if person is None else list(_persons(frames, person, device))
    maps = np.zeros_like(frames)
    for frame, persons, canvas in zip(frames, boxes, maps, strict=True):
        if not persons:
            continue
        corners = np.array([[x, y, right - x, bottom - y] for x, y, right, bottom in persons])
        inputs = processor(frame, boxes=[corners], return_tensors="pt").to(device)
        if getattr(model.config.backbone_config, "num_experts", 1) > 1:
            inputs["dataset_index"] = torch.zeros(len(persons), dtype=torch.long, device=device)  # COCO's
        with torch.inference_mode():
            (people,) = processor.post_process_pose_estimation(model(**inputs), boxes=[corners])
        for one in people:
            draw_skeleton(canvas, one["keypoints"].cpu().numpy(), one["scores"].cpu().numpy())
    return maps


def draw_skeleton(canvas: np.ndarray, points: np.ndarray, scores: np.ndarray) -> None:
    """Draw one body on uint8 (h w 3), in place. points: COCO's 17, (x, y) in pixels; scores: as many, in [0, 1]."""
    import cv2

    sure = [scores[i] >= SURE if i is not None else min(scores[5], scores[6]) >= SURE for i in OF_COCO]
    neck = (points[5] + points[6]) / 2
    body = [tuple(int(v) for v in (points[i] if i is not None else neck).round()) for i in OF_COCO]
    thick = max(1, round(min(canvas.shape[:2]) / 128))
    for number, (a, b) in enumerate(LIMBS):
        if sure[a] and sure[b]:
            cv2.line(canvas, body[a], body[b], tuple(int(0.6 * c) for c in _colour(number)), thick)
    for number, (point, there) in enumerate(zip(body, sure, strict=True)):
        if there:
            cv2.circle(canvas, point, thick, _colour(number), -1)


def _colour(number: int) -> tuple[int, int, int]:
    """Of 18 colours around the circle, as OpenPose has them: red first, RGB."""
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb(number / 18, 1, 1)
    return round(255 * red), round(255 * green), round(255 * blue)


def _persons(frames: np.ndarray, source: str, device: str) -> Iterator[list[tuple[float, float, float, float]]]:
    """The boxes (left, top, right, bottom) of the persons in each frame."""
    from PIL import Image

    find = _pipeline("object-detection", source, None, device)
    labels = {str(label) for label in find.model.config.id2label.values()}
    if "person" not in labels:
        raise ValueError(f"{source} knows {', '.join(sorted(labels)[:5])}, ...; expected a detector that knows person")
    for frame in frames:
        detections = find(Image.fromarray(frame), threshold=SURE)
        boxes = [one["box"] for one in detections if one["label"] == "person"]
        yield [(box["xmin"], box["ymin"], box["xmax"], box["ymax"]) for box in boxes]


def _pipeline(task: str, source: str, revision: str | None, device: str) -> Any:
    from transformers import pipeline

    name = _name(source)
    try:
        detector = pipeline(task, model=name, revision=revision, device=device)
        kind = type(detector.model).__name__
        if not kind.lower().endswith(f"for{task.replace('-', '')}"):  # a pipeline takes any model
            raise ValueError(f"it is a {kind}")
        return detector
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ValueError(f"{source.removeprefix(HUB)} is no model for {task}: {line(error)}") from error


def _vitpose(source: str, revision: str | None) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoImageProcessor, VitPoseForPoseEstimation

    name = _name(source)
    try:
        kind = AutoConfig.from_pretrained(name, revision=revision).model_type
        if kind != "vitpose":
            raise ValueError(f"it is of the type {kind}; expected vitpose")
        model = VitPoseForPoseEstimation.from_pretrained(name, revision=revision)
        return model, AutoImageProcessor.from_pretrained(name, revision=revision, backend="pil")
    except (OSError, ValueError) as error:
        raise ValueError(f"{source.removeprefix(HUB)} is no model for pose: {line(error)}") from error


def _name(source: str) -> str:
    """As transformers takes it. Raises FileNotFoundError: a path is never asked for on the hub."""
    if not source.startswith(HUB) and not Path(source).is_dir():
        raise FileNotFoundError(f"{source}: no such folder; a model on the hub is hub:owner/name")
    return source.removeprefix(HUB)
