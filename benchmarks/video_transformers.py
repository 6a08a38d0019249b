"""What would the paper's rule tune in a present-day video transformer, and what would it take? Counted, not run.

    python benchmarks/video_transformers.py          # Markdown

The networks are built from diffusers' own classes on the meta device, so no weight is loaded. The rule: the queries of
self-attention and cross-attention (attn1.to_q, attn2.to_q), and no temporal layer, since these attend in time already.
"""

import re
from typing import Any

import torch

QUERIES = re.compile(r"\.(attn1|attn2)\.to_q\.")
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "Wan 2.1, 1.3B": (
        "WanTransformer3DModel",
        {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
    ),
    "Wan 2.1, 14B": ("WanTransformer3DModel", {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40}),
    "CogVideoX, 2B": ("CogVideoXTransformer3DModel", {"num_attention_heads": 30, "num_layers": 30}),
    "CogVideoX, 5B": ("CogVideoXTransformer3DModel", {"num_attention_heads": 48, "num_layers": 42}),
}
"""Of each its class and what its published config has that differs from the class's defaults in size."""
BYTES_FROZEN, BYTES_TUNED = 2, 16
"""bfloat16; float32 with its gradient and AdamW's two moments."""
GB = 1e9


def counted(kind: str, config: dict[str, Any]) -> tuple[int, int, int]:
    """Parameters, of those what the rule tunes, and in how many tensors."""
    import diffusers

    with torch.device("meta"):
        network = getattr(diffusers, kind)(**config)
    tuned = {name: p.numel() for name, p in network.named_parameters() if QUERIES.search(name)}
    return sum(p.numel() for p in network.parameters()), sum(tuned.values()), len(tuned)


def main() -> None:
    print("| network | parameters | tuned by the rule | tensors | memory without activations |")
    print("| --- | --- | --- | --- | --- |")
    for name, (kind, config) in NETWORKS.items():
        parameters, tuned, tensors = counted(kind, config)
        memory = (BYTES_FROZEN * (parameters - tuned) + BYTES_TUNED * tuned) / GB
        share = f"{tuned / 1e6:.0f} M ({tuned / parameters:.1%})"
        print(f"| {name} | {parameters / 1e9:.2f} G | {share} | {tensors} | {memory:.1f} GB |")


if __name__ == "__main__":
    main()
