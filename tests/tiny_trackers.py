"""A tiny SAM 2 of transformers' own class."""

from pathlib import Path


def tiny_tracker(folder: Path) -> Path:
    """For pictures of 64 x 64, with features of 16 x 16, 8 x 8 and 4 x 4."""
    import torch
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig

    torch.manual_seed(0)
    width, side = 128, 64
    backbone = Sam2HieraDetConfig(
        hidden_size=8, image_size=[side, side], blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 24, 32],
        num_attention_heads_per_stage=[1, 1, 1, 1], window_size_per_stage=[4, 4, 4, 4], global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[32, 24, 16, 8], fpn_hidden_size=width,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )  # fmt: skip
    decoder = {"hidden_size": width, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    config = Sam2VideoConfig(
        vision_config=vision, mask_decoder_config=decoder, image_size=side,
        prompt_encoder_config={"hidden_size": width, "image_size": side, "mask_input_channels": 4},
        num_maskmem=2, memory_attention_hidden_size=width, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=width, memory_encoder_output_channels=64, mask_downsampler_embed_dim=width,
        memory_fuser_embed_dim=width, memory_fuser_intermediate_dim=32,
    )  # fmt: skip
    model = Sam2VideoModel(config)
    torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, 5.0)  # the object is always in sight
    model.save_pretrained(folder)
    return folder
