"""Tuned weights in float32 in a network of half precision: what autocast does, where it is needed and nowhere else.

On a GPU autocast runs every norm in float32: twice the memory traffic, and twice the activations that are kept for the
backward pass. And it casts float32 weights that are frozen anew in each step.
"""

from collections.abc import Set

import torch
from torch import Tensor, nn
from torch.nn import functional


class MasterLinear(nn.Linear):
    """Computes in its input's precision, whatever its weights'. They and their gradients keep theirs."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(hidden_states.dtype)
        return functional.linear(hidden_states, self.weight.to(hidden_states.dtype), bias)


def keep_masters(network: nn.Module, masters: Set[str], dtype: torch.dtype) -> None:
    """Freeze a network in `dtype` but for the parameters named, which become float32, in place.

    Raises:
        TypeError: one of them is of another module than nn.Linear.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in masters)
        parameter.data = parameter.data.to(torch.float32 if name in masters else dtype)
    for name in masters:
        module = network.get_submodule(name.rpartition(".")[0])
        if not isinstance(module, nn.Linear):
            raise TypeError(f"{name} is of a {type(module).__name__}; expected nn.Linear")
        module.__class__ = MasterLinear
