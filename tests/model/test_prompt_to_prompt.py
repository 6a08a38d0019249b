"""Prompt-to-Prompt against the network written out, with every map materialised and the words aligned by hand."""

import naive_video_unet
import pytest
import torch

from tav.model.ddim import Schedule, Trajectory, ddim_sample
from tav.model.denoiser import DiffusionStep, Network, guided
from tav.model.inflation import set_num_frames
from tav.model.latents import sample_latents
from tav.model.prompt_to_prompt import WordSettings, prompt_to_prompt
from tav.model.prompts import encode_prompts
from tav.model.source_branch import SourceBranch

PROMPTS = "a cat on the beach", "a red cat on the beach"
RED = 2
"""The token's place in the target. Those before it are the source's of the same place, those after it of one less."""
STEPS = 10


@pytest.fixture(scope="module")
def inverted(moments):
    """Any latents will do as the source's: those of the video, with more and more noise."""
    generator = torch.Generator().manual_seed(0)
    levels = [level * sample_latents(moments, generator) for level in torch.linspace(0.2, 1, STEPS + 1)]
    return Trajectory(torch.stack(levels))


@pytest.fixture
def branch(pipe, inverted):
    for name, parameter in pipe.unet.named_parameters():
        if "attn_temp.to_out" in name:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(1))
    source, target, negative = encode_prompts(pipe, [*PROMPTS, ""])
    return SourceBranch(Network(pipe.unet), inverted, source, target, negative, 3.0)


@pytest.fixture
def latents(inverted):
    return torch.randn(inverted.latents.shape[1:], generator=torch.Generator().manual_seed(2))


def step_of(pipe, index):
    schedule = Schedule.of(pipe.scheduler, STEPS)
    return DiffusionStep(schedule.timesteps[index], index, STEPS)


def shifted(maps):
    """The source's maps as the target's words want them, n m in and out; the column of "red" is not for use."""
    last = maps.shape[-1] - 1
    return torch.stack([maps[..., j if j < RED else min(j - 1, last)] for j in range(last + 1)], -1)


class NaiveAttention:
    """For naive_video_unet.attend, of a batch of source and target."""

    def __init__(self, unet, cross, itself, amplify):
        self.cross, self.itself, self.amplify = cross, itself, amplify
        blocks = [m for m in unet.modules() if hasattr(m, "attn2")]
        self.self_layers, self.cross_layers = [b.attn1 for b in blocks], [b.attn2 for b in blocks]
        self.seen = {}
        """Of each number of places: the maps of "cat" in the source, in the target, a frame after the other."""

    def __call__(self, attn, x, context):
        query, key, value = attn.to_q(x), attn.to_k(context), attn.to_v(context)
        size = query.shape[-1] // attn.heads
        outputs, cats = [], 0
        for i in range(attn.heads):
            q, k, v = (part[..., i * size : (i + 1) * size] for part in (query, key, value))
            maps = (q @ k.transpose(1, 2) * size**-0.5).softmax(-1)
            if attn in self.self_layers and self.itself:
                maps = torch.stack([maps[0], maps[0]])
            if attn in self.cross_layers:
                if self.cross:
                    taken = shifted(maps[0])
                    taken[:, RED] = maps[1][:, RED]
                    maps = torch.stack([maps[0], taken])
                factors = torch.ones(maps.shape[-1])
                factors[RED] = self.amplify
                maps = torch.stack([maps[0], maps[1] * factors])
                cats = cats + torch.stack([maps[0][:, 2], maps[1][:, 3]]) / attn.heads
            outputs.append(maps @ v)
        if attn in self.cross_layers:
            self.seen.setdefault(x.shape[1], []).append(cats)
        return attn.to_out[0](torch.cat(outputs, -1))


def naive(unet, monkeypatch, step, latents, branch, **what):
    """The guided prediction of the target, and the attention that saw its maps."""
    video = torch.stack([branch.inverted.at(step.steps_left), latents]).transpose(1, 2)
    text = torch.cat([branch.source.embeds, branch.target.embeds])
    run = naive_video_unet.naive_video_unet
    with torch.no_grad():
        negative = run(unet, video[1:], step.timestep.expand(1), branch.negative.embeds)
        attention = NaiveAttention(unet, **what)
        monkeypatch.setattr(naive_video_unet, "attend", attention)
        target = run(unet, video, step.timestep.expand(2), text)[1:]
        monkeypatch.undo()
    return (negative + 3.0 * (target - negative))[0].transpose(0, 1), attention


@torch.no_grad()
@pytest.mark.parametrize(("index", "cross", "itself"), [(2, True, True), (4, True, False), (8, False, False)])
def test_equals_the_naive_one(pipe, branch, latents, monkeypatch, index, cross, itself):
    settings = WordSettings(cross_replace=0.5, self_replace=0.4, amplify={"red": 2.0}, blend=["cat"])
    step = step_of(pipe, index)
    with prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, PROMPTS, settings) as control:
        got = branch(latents, step)
    what = {"cross": cross, "itself": itself, "amplify": 2.0}
    expected, attention = naive(pipe.unet, monkeypatch, step, latents, branch, **what)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
    plain = guided(branch.network, branch.target, branch.negative, 3.0)(latents, step)
    assert (got - plain).abs().max() > 1e-3  # the tolerance says something
    height, width = latents.shape[-2:]
    naive_maps = torch.stack(attention.seen[height * width], 1).unflatten(1, (-1, len(latents))).sum(1)
    torch.testing.assert_close(control.seen.read(height, width).flatten(2), naive_maps, rtol=0, atol=1e-4)


@torch.no_grad()
def test_the_network_is_as_before(pipe, branch, latents):
    def traces():
        hooks = [name for name, module in pipe.unet.named_modules() if module._forward_hooks]
        return hooks, list(pipe.unet.attn_processors.values())

    step, before = step_of(pipe, 0), traces()
    set_num_frames(pipe.unet, 3)
    plain = guided(branch.network, branch.target, branch.negative, 3.0)
    expected = plain(latents, step)
    with prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, PROMPTS, WordSettings(blend=["cat"])):
        assert not torch.equal(branch(latents, step), expected)
        assert traces() != before
    assert traces() == before
    assert torch.equal(plain(latents, step), expected)


@torch.no_grad()
def test_halves_one_after_the_other(pipe, branch, latents):
    settings, step = WordSettings(cross_replace=0.5, self_replace=0.4), step_of(pipe, 0)
    with prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, PROMPTS, settings):
        whole = branch(latents, step)
        branch.split = True
        torch.testing.assert_close(branch(latents, step), whole, rtol=0, atol=1e-5)


@torch.no_grad()
def test_nothing_asked_is_plain_guidance(pipe, branch, latents):
    """And costs no source row."""
    nothing, step = WordSettings(cross_replace=0, self_replace=0), step_of(pipe, 0)
    plain = guided(branch.network, branch.target, branch.negative, 3.0)(latents, step)
    with prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, PROMPTS, nothing):
        assert torch.equal(branch(latents, step), plain)


@torch.no_grad()
def test_some_frames_of_the_video(pipe, branch, latents):
    """As windows ask for them: the source's row has the same frames."""
    step = step_of(pipe, 0)
    some = DiffusionStep(step.timestep, 0, STEPS, torch.tensor([0, 2]))
    settings = WordSettings(cross_replace=1, self_replace=1, blend=["cat"])
    with prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, PROMPTS, settings) as control:
        got = branch(latents[[0, 2]], some)
        seen = control.seen.read(*latents.shape[-2:])
    assert seen[:, [0, 2]].amin() > 0
    assert (seen[:, 1] == 0).all()
    branch.inverted = Trajectory(branch.inverted.latents[:, [0, 2]])
    with prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, PROMPTS, settings):
        assert torch.equal(branch(latents[[0, 2]], step), got)


def test_the_same_prompt_blended_gives_the_source(pipe, branch, inverted):
    """Where no place looks at the word more than at its strongest, nothing changes."""
    settings = WordSettings(cross_replace=1, self_replace=1, blend=["cat"], threshold=1.0)
    with prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, (PROMPTS[0], PROMPTS[0]), settings) as control:
        schedule = Schedule.of(pipe.scheduler, STEPS)
        made = ddim_sample(branch, schedule, inverted.at(STEPS), after_step=control.after_step)
    assert torch.equal(made, inverted.at(0))


def test_words_that_are_not_there(pipe, branch):
    for settings in (WordSettings(amplify={"dog": 2.0}), WordSettings(blend=["dog"])):
        with (
            pytest.raises(ValueError, match="'dog' is not in"),
            prompt_to_prompt(pipe.unet, branch, pipe.tokenizer, PROMPTS, settings),
        ):
            pass
