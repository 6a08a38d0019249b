"""Compiling a graph takes ten seconds and more of CPU, so there is one, of the forward pass."""

import os
import shutil

import pytest
import torch
from tiny import tiny_unet

from tav.model.inflation import inflate, set_num_frames
from tav.model.options.compilation import compile_blocks
from tav.model.tuned_weights import tuned_parameters


@pytest.fixture
def unet():
    """With four blocks at one level, and trained from its first layer on, so that all blocks' inputs have gradients."""
    torch.manual_seed(0)
    return inflate(tiny_unet())


def step(unet):
    """Gradients of the tuned tensors."""
    parameters = tuned_parameters(unet)
    generator = torch.Generator().manual_seed(1)
    latents, text = (torch.randn(3, *shape, generator=generator) for shape in ((4, 8, 8), (7, 24)))
    set_num_frames(unet, 3)
    loss = unet(latents, 501, text).sample.square().mean()
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    return dict(zip(parameters, gradients, strict=True))


@pytest.fixture
def counters(monkeypatch, tmp_path):
    """What torch.compile counts, from nothing."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # a killed run may have left half a file in the other
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    return counters


def test_all_blocks_share_a_graph_and_have_the_same_gradients(unet, counters):
    """The graphs are those of every backend. This one runs them without code of its own."""
    expected = step(unet)
    compile_blocks(unet, backend="aot_eager")
    for _ in range(2):
        torch.testing.assert_close(step(unet), expected, rtol=1e-3, atol=1e-6)
        assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


@pytest.mark.skipif(shutil.which(os.environ.get("CXX") or "g++") is None, reason="no C++ compiler")
def test_code_is_compiled_once_and_computes_the_same(unet, counters, monkeypatch):
    """Forward only: the kernels of the backward pass take a C++ compiler three times as long."""
    from torch._inductor import config

    monkeypatch.setattr(config, "compile_threads", 1)
    monkeypatch.setattr(config.cpp, "vec_isa_ok", True)  # no trial of each instruction set is compiled
    monkeypatch.setattr(config.cpp, "simdlen", 1)  # without PyTorch's vector headers
    latents, text = torch.randn(3, 4, 8, 8), torch.randn(3, 7, 24)
    set_num_frames(unet, 3)
    with torch.no_grad():
        expected = unet(latents, 501, text).sample
        compile_blocks(unet)
        torch.testing.assert_close(unet(latents, 501, text).sample, expected, rtol=1e-3, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == 1
    assert counters["inductor"]


def test_says_that_there_is_no_compiler(unet, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match="found no no-such-compiler: install one"):
        compile_blocks(unet)
    assert not any(module._compiled_call_impl for module in unet.modules())
