"""What would the paper's rule tune in a present-day video transformer, and what would it take? Counted, not run.

    python benchmarks/video_transformers.py          # Markdown; a few minutes

The networks are built from diffusers' own classes on the meta device, so no weight is loaded. The rule: the queries of
self-attention and cross-attention (attn1.to_q, attn2.to_q), and no temporal layer, since these attend in time already.
The memory is what `tav plan` would say: its meter sees a real tuning step, forward and backward, without numbers.
"""

import re
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tav.budget.expectation import Expectation
from tav.budget.meter import Meter
from tav.model.master_weights import keep_masters

QUERIES = re.compile(r"\.(attn1|attn2)\.to_q\.")
WAN, COG = "WanTransformer3DModel", "CogVideoXTransformer3DModel"
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "Wan 2.1, 1.3B": (WAN, {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}),
    "Wan 2.1, 14B": (WAN, {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40}),
    "CogVideoX, 2B": (COG, {"num_attention_heads": 30, "num_layers": 30}),
    "CogVideoX, 5B": (COG, {"num_attention_heads": 48, "num_layers": 42}),
}
"""Of each its class and what its published config has that differs from the class's defaults in size."""
LATENT_FRAMES, HEIGHT, WIDTH = 9, 60, 90
"""Of 33 frames of 480 x 720: both VAEs make one frame of four, after the first, and a side of eight pixels one."""
TEXT = {WAN: (512, 4096), COG: (226, 4096)}
"""Tokens of a prompt, and their width."""
STATE = 8
"""Bytes of AdamW's two moments, for each tuned parameter. Its gradient is the step's."""
GB = 1e9


class Count(NamedTuple):
    parameters: int
    tuned: int
    tensors: int
    memory: float
    """Bytes that tuning would take on a GPU, with gradient checkpointing."""


class Step(nn.Module):
    """A tuning step: forward, and backward to what is tuned."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: dict[str, Tensor]) -> None:
        self.network(**inputs, return_dict=False)[0].square().mean().backward()


def counted(kind: str, config: dict[str, Any]) -> Count:
    import diffusers

    with torch.device("meta"):
        network = getattr(diffusers, kind)(**config)
    tuned = {name: p.numel() for name, p in network.named_parameters() if QUERIES.search(name)}
    keep_masters(network, tuned.keys(), torch.bfloat16)
    network.enable_gradient_checkpointing()
    network.train()
    weights = sum(p.nbytes for p in network.parameters()) + STATE * sum(tuned.values())
    memory = Expectation(weights, activations(network, kind), 0, 0).memory("cuda")
    return Count(sum(p.numel() for p in network.parameters()), sum(tuned.values()), len(tuned), memory)


def activations(network: Any, kind: str) -> float:
    """Bytes at the peak of a step, its gradients among them."""
    channels, meter = network.config.in_channels, Meter(None)
    shape = (channels, LATENT_FRAMES) if kind == WAN else (LATENT_FRAMES, channels)
    with FakeTensorMode(allow_non_fake_inputs=True):
        weights = {
            f"network.{name}": torch.empty(p.shape, dtype=p.dtype).requires_grad_(p.requires_grad)
            for name, p in [*network.named_parameters(), *network.named_buffers()]
        }
        inputs = {
            "hidden_states": torch.empty(1, *shape, HEIGHT, WIDTH, dtype=torch.bfloat16),
            "encoder_hidden_states": torch.empty(1, *TEXT[kind], dtype=torch.bfloat16),
            "timestep": torch.zeros(1, dtype=torch.long),
        }
        with meter:
            torch.func.functional_call(Step(network), weights, (inputs,))
    return meter.peak


def main() -> None:
    print("| network | parameters | tuned by the rule | tensors | memory |")
    print("| --- | --- | --- | --- | --- |")
    for name, (kind, config) in NETWORKS.items():
        found = counted(kind, config)
        share = f"{found.tuned / 1e6:.0f} M ({found.tuned / found.parameters:.1%})"
        sizes = f"{found.parameters / GB:.2f} G | {share} | {found.tensors}"
        print(f"| {name} | {sizes} | {found.memory / GB:.1f} GB |", flush=True)


if __name__ == "__main__":
    main()
