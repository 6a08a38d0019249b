"""Tiny detectors of transformers' own classes, with their processors that need no torchvision."""

from pathlib import Path


def tiny_depth_estimator(folder: Path) -> Path:
    """A DepthAnything for pictures of 28x28."""
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessorPil

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=7, intermediate_size=32,
        out_features=["stage1", "stage2"], apply_layernorm=False, reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, patch_size=7, reassemble_hidden_size=16, reassemble_factors=[2, 1],
        neck_hidden_sizes=[8, 8], fusion_hidden_size=8, head_in_channels=8, head_hidden_size=8,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    size = {"height": 28, "width": 28}
    DPTImageProcessorPil(size=size, ensure_multiple_of=7, keep_aspect_ratio=False).save_pretrained(folder)
    return folder


def tiny_vitpose(folder: Path) -> Path:
    """A VitPose of COCO's 17 points."""
    import torch
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessorPil

    torch.manual_seed(0)
    backbone = VitPoseBackboneConfig(
        image_size=(64, 48), patch_size=(16, 16), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, out_features=["stage1"],
    )  # fmt: skip
    names = {str(i): i for i in range(17)}
    config = VitPoseConfig(
        backbone_config=backbone, num_labels=17, label2id=names, id2label={i: name for name, i in names.items()}
    )
    VitPoseForPoseEstimation(config).save_pretrained(folder)
    VitPoseImageProcessorPil(size={"height": 64, "width": 48}).save_pretrained(folder)
    return folder
