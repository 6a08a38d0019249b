"""A tuning that was stopped goes on, and never from what is another's."""

import dataclasses

import pytest
import torch
from tune_tiny import SETTINGS, fresh, same, tuned

from tav.model.checkpoints import Step, resume, save_checkpoint
from tav.model.options.token_merging import merge_tokens
from tav.model.tuning import TuneSettings, start_run, tune


@pytest.mark.parametrize("stopped_after", [1, 2, 5])
def test_a_stopped_run_ends_as_one_that_was_not(sd_folder, moments, prompt_embeds, tmp_path, stopped_after):
    settings = dataclasses.replace(SETTINGS, lr_schedule="cosine", warmup_steps=2)
    whole, steps = tuned(sd_folder, moments, prompt_embeds, settings)
    tuned(sd_folder, moments, prompt_embeds, settings, stopped_after, checkpoint_dir=tmp_path)
    resumed, told = tuned(sd_folder, moments, prompt_embeds, settings, checkpoint_dir=tmp_path)
    assert same(resumed, whole)
    assert [step.replayed for step in told] == [step.step <= stopped_after // 2 * 2 for step in told]
    for ours, theirs in zip(told, steps, strict=True):
        assert (ours.step, ours.loss, ours.grad_norm, ours.lr) == (
            theirs.step,
            theirs.loss,
            theirs.grad_norm,
            theirs.lr,
        )


def test_checkpoints_are_whole_and_few(sd_folder, moments, prompt_embeds, tmp_path):
    tuned(sd_folder, moments, prompt_embeds, checkpoint_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000004.safetensors", "step-000006.safetensors"]


def test_damaged_and_foreign_checkpoints_are_not_used(sd_folder, moments, prompt_embeds, tmp_path):
    whole, _ = tuned(sd_folder, moments, prompt_embeds)
    tuned(sd_folder, moments, prompt_embeds, steps=5, checkpoint_dir=tmp_path)
    newest = tmp_path / "step-000004.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    resumed, told = tuned(sd_folder, moments, prompt_embeds, checkpoint_dir=tmp_path)
    assert same(resumed, whole)
    assert sum(step.replayed for step in told) == 2
    others = dataclasses.replace(SETTINGS, learning_rate=2e-3)
    _, told = tuned(sd_folder, moments, prompt_embeds, others, checkpoint_dir=tmp_path)
    assert not any(step.replayed for step in told)


@pytest.mark.parametrize(("every", "stopped_after"), [(1, 2), (2, 3), (3, 5)])
def test_an_abandoned_run_s_checkpoints_push_out_none(
    sd_folder, moments, prompt_embeds, tmp_path, every, stopped_after
):
    """They are of later steps than the new run's first."""
    tuned(sd_folder, moments, prompt_embeds, checkpoint_dir=tmp_path)
    others = dataclasses.replace(SETTINGS, learning_rate=2e-3, checkpoint_every=every)
    tuned(sd_folder, moments, prompt_embeds, others, stopped_after, checkpoint_dir=tmp_path)
    saved = range(every, stopped_after + 1, every)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-{step:06d}.safetensors" for step in saved]
    _, told = tuned(sd_folder, moments, prompt_embeds, others, checkpoint_dir=tmp_path)
    assert sum(step.replayed for step in told) == saved[-1]


def test_an_abandoned_run_goes_on_while_the_new_one_has_no_checkpoint(sd_folder, moments, prompt_embeds, tmp_path):
    tuned(sd_folder, moments, prompt_embeds, steps=4, checkpoint_dir=tmp_path)
    others = dataclasses.replace(SETTINGS, learning_rate=2e-3)
    tuned(sd_folder, moments, prompt_embeds, others, steps=1, checkpoint_dir=tmp_path)
    _, told = tuned(sd_folder, moments, prompt_embeds, checkpoint_dir=tmp_path)
    assert sum(step.replayed for step in told) == 4


def test_what_a_killed_save_has_left_goes(sd_folder, moments, prompt_embeds, tmp_path):
    (tmp_path / ".step-000002.safetensors.1.partial").touch()
    tuned(sd_folder, moments, prompt_embeds, steps=2, checkpoint_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002.safetensors"]


def test_the_newest_checkpoint_is_of_the_most_steps(tmp_path):
    """Past a million, where the names' order is another."""

    def start():
        return start_run({"a.attn1.to_q.weight": torch.nn.Parameter(torch.eye(2))}, SETTINGS, torch.device("cpu"))

    run = start()
    for name in ("step-999999", "step-1000000"):
        run.history.append(Step(step=len(run.history) + 1, loss=0.0, grad_norm=0.0, lr=0.0, seconds=0.0))
        save_checkpoint(run, tmp_path, "mark", keep=9)
        (tmp_path / f"step-{len(run.history):06d}.safetensors").rename(tmp_path / f"{name}.safetensors")
    resumed = start()
    resume(resumed, tmp_path, "mark")
    assert len(resumed.history) == 2


def test_a_run_goes_on_with_gradient_checkpointing(sd_folder, moments, prompt_embeds, tmp_path):
    """As after running out of memory."""
    tuned(sd_folder, moments, prompt_embeds, steps=5, checkpoint_dir=tmp_path)
    frugal = dataclasses.replace(SETTINGS, gradient_checkpointing=True)
    _, told = tuned(sd_folder, moments, prompt_embeds, frugal, checkpoint_dir=tmp_path)
    assert [step.replayed for step in told] == [True] * 4 + [False] * 2


def test_a_run_does_not_go_on_with_other_token_merging(sd_folder, moments, prompt_embeds, tmp_path):
    pytest.importorskip("tomesd")
    tuned(sd_folder, moments, prompt_embeds, checkpoint_dir=tmp_path)
    unet, scheduler = fresh(sd_folder)
    merge_tokens(unet, 0.5)
    assert not next(tune(unet, scheduler, moments, prompt_embeds, SETTINGS, checkpoint_dir=tmp_path)).replayed


def test_a_run_does_not_go_on_from_another_base(sd_folder, moments, prompt_embeds, tmp_path):
    """Not even one whose tuned weights start alike, such as a base with a LoRA on its keys, or another schedule."""
    tuned(sd_folder, moments, prompt_embeds, checkpoint_dir=tmp_path)

    def goes_on(unet, scheduler):
        return next(tune(unet, scheduler, moments, prompt_embeds, SETTINGS, checkpoint_dir=tmp_path)).replayed

    unet, scheduler = fresh(sd_folder)
    assert goes_on(unet, scheduler)
    unet, _ = fresh(sd_folder)
    unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_k.weight.data[0, 0] += 1e-3
    assert not goes_on(unet, scheduler)
    other = type(scheduler).from_config(scheduler.config, beta_end=0.02)
    assert not goes_on(fresh(sd_folder)[0], other)


def test_a_checkpoint_of_8_bit_adamw_at_the_size_of_real_layers(tmp_path):
    """Below 4096 numbers bitsandbytes keeps 32 bits, so that the tiny model's tensors tell nothing of 8."""
    pytest.importorskip("bitsandbytes")

    def start():
        names = ("a.attn1.to_q.weight", "b.attn2.to_q.weight", "c.attn_temp.to_q.weight")
        parameters = {name: torch.nn.Parameter(torch.eye(80)) for name in names}
        return start_run(parameters, TuneSettings(adam8bit=True, learning_rate=1e-3), torch.device("cpu"))

    def go_on(run):
        for parameter in run.parameters.values():
            parameter.grad = torch.randn(parameter.shape, generator=run.generator)
        run.optimizer.step()

    run, resumed = start(), start()
    go_on(run)
    save_checkpoint(run, tmp_path, "mark", keep=1)
    resume(resumed, tmp_path, "mark")
    go_on(run)
    go_on(resumed)
    assert same(resumed.parameters, run.parameters)
    assert not same(run.parameters, start().parameters)
