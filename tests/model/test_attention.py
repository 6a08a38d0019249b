import pytest
import torch
from torch.nn import functional

from tav.model.attention import attention, sdpa
from tav.model.inflation import InflatedTransformerBlock, set_num_frames
from tav.model.options.xformers_attention import probe, use_kernel, use_xformers
from tav.model.tuned_weights import tuned_parameters

CPU = torch.device("cpu")


def materialised(query, key, value, scale):
    return (query @ key.mT * scale).softmax(-1) @ value


FAULTY = {  # what faulty builds did, or might do
    "output is off SDPA's by 0": lambda q, k, v, scale: materialised(q, k, v, 1.1 * scale),
    "output is off SDPA's by nan": lambda q, k, v, scale: materialised(q, k, v, scale) * float("nan"),
    "gradient of q is zero or missing": lambda q, k, v, scale: materialised(q, k, v, scale).detach(),
    "gradient of k is zero": lambda q, k, v, scale: materialised(q, k.detach() + 0 * k, v, scale),
    "gradient of v is zero or missing": lambda q, k, v, scale: materialised(q, k, v.detach(), scale),
    "it fails .ValueError: no kernel for this.$": lambda q, k, v, scale: explode("no kernel for this:\n many\nlines"),
}


def explode(text):
    raise ValueError(text)


def gradients(unet):
    """Of the tuned tensors, at a step of three frames."""
    unet.requires_grad_(False)
    parameters = {name: parameter.requires_grad_(True) for name, parameter in tuned_parameters(unet).items()}
    generator = torch.Generator().manual_seed(1)
    latents, text = (torch.randn(3, *shape, generator=generator) for shape in ((4, 8, 8), (7, 32)))
    set_num_frames(unet, 3)
    loss = unet(latents, 501, text).sample.square().mean()
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


@pytest.mark.parametrize("width", [8, 16, 20])
@pytest.mark.parametrize("tokens", [3, 40])
def test_is_softmax_attention(width, tokens):
    query, key, value = (torch.randn(2, n, 3 * width, dtype=torch.float64) for n in (5, tokens, tokens))
    parts = zip(*(part.split(width, -1) for part in (query, key, value)), strict=True)
    expected = torch.cat([materialised(*heads, width**-0.5) for heads in parts], -1)
    torch.testing.assert_close(attention(query, key, value, heads=3), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kernel", [materialised, sdpa])
def test_probe_takes_a_right_kernel(kernel, dtype):
    assert probe(kernel, 40, CPU, dtype) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fault", FAULTY)
def test_probe_finds_faults(fault, dtype):
    with pytest.raises(AssertionError, match=fault):
        raise AssertionError(probe(FAULTY[fault], 16, CPU, dtype))


def test_a_right_kernel_computes_all_attention(pipe):
    calls = []

    def kernel(query, key, value, scale):
        calls.append(key.shape)
        return materialised(query, key, value, scale)

    expected = gradients(pipe.unet)
    assert use_kernel(pipe.unet, kernel, torch.float32) is None
    calls.clear()
    torch.testing.assert_close(gradients(pipe.unet), expected, rtol=1e-3, atol=1e-6)
    blocks = sum(isinstance(module, InflatedTransformerBlock) for module in pipe.unet.modules())
    assert len(calls) == 4 * blocks  # sparse-causal attention takes two: to frame 0, and to two frames


def test_nothing_else_computes_attention(pipe, monkeypatch):
    use_kernel(pipe.unet, materialised, torch.float32)
    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda *_, **__: explode("SDPA was called"))
    assert gradients(pipe.unet)


def test_a_faulty_kernel_changes_nothing(pipe):
    """At one of its head widths (8 and 16) is enough."""

    def kernel(query, key, value, scale):
        return materialised(query, key, value if query.shape[-1] < 16 else value.detach(), scale)

    processors = dict(pipe.unet.attn_processors)
    line = use_kernel(pipe.unet, kernel, torch.float32)
    assert line == (
        "xformers is left out, and attention stays with SDPA: on cpu, float32, heads 16 wide, "
        "its gradient of v is zero or missing"
    )
    assert pipe.unet.attn_processors == processors
    blocks = [module for module in pipe.unet.modules() if isinstance(module, InflatedTransformerBlock)]
    assert {part.kernel for block in blocks for part in (block.attn1, block.attn_temp)} == {sdpa}


def test_xformers_is_left_out_on_a_cpu(pipe):
    """Whether it is installed or not: no release has a kernel for it."""
    expected = gradients(pipe.unet)
    line = use_xformers(pipe.unet, torch.float32)
    assert line.startswith("xformers is left out, and attention stays with SDPA: ")
    assert "\n" not in line
    for name, gradient in gradients(pipe.unet).items():
        assert torch.equal(gradient, expected[name]), name
