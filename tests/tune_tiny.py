"""Tiny tunings for the tests of tuning and of its checkpoints."""

import itertools

import torch

from tav.model.inflation import inflate
from tav.model.pretrained import load_pipeline
from tav.model.tuned_weights import tuned_parameters
from tav.model.tuning import TuneSettings, tune

SETTINGS = TuneSettings(steps=6, learning_rate=1e-3, seed=1, checkpoint_every=2)


def fresh(folder):
    pipe = load_pipeline(str(folder), components=("unet", "scheduler"))
    return inflate(pipe.unet), pipe.scheduler


def weights(unet):
    return {name: parameter.detach().clone() for name, parameter in tuned_parameters(unet).items()}


def tuned(folder, moments, prompt_embeds, settings=SETTINGS, steps=None, **more):
    unet, scheduler = fresh(folder)
    done = list(itertools.islice(tune(unet, scheduler, moments, prompt_embeds, settings, **more), steps))
    return weights(unet), done


def same(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)
