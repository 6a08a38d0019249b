"""`tav export VIDEO --lora FILE` and `tav import-lora`: tuned weights as a LoRA, and back."""

from pathlib import Path

from tav.artifacts import artifact
from tav.commands.export import free
from tav.params import Params, UserError, user_errors

RANK = 16


def weights_of(params: Params, name: str) -> tuple[str, Path]:
    """The video of that name, or of an edit of that name, and its tuned weights. Raises UserError."""
    video = params.edits[name].video if name in params.edits else name
    params.video(video)
    weights = artifact("tune", video, "weights.safetensors")
    if not weights.exists():
        raise UserError(f"no {weights}: run `dvc repro tune@{video}` first")
    return video, weights


def export_lora(params: Params, name: str, out: Path, rank: int) -> list[str]:
    """Write what was tuned on a video as a LoRA. Returns what to tell the person. Raises UserError."""
    free(out)
    video, weights = weights_of(params, name)
    error = write_lora(params, video, weights, out, rank)
    return [
        f"{out}: a LoRA of rank {rank}, without {error:.1%} of what tuning added"
        + (" (a higher --rank keeps more)" if error > 0.01 else "")
    ]


def write_lora(params: Params, video: str, weights: Path, out: Path, rank: int) -> float:
    """Write it; gives the share of what tuning added that it lacks. Raises UserError."""
    from tav.from_params.base import open_base
    from tav.from_params.loaded_base import identity_of
    from tav.model.tuned_lora import save_lora, tuned_lora
    from tav.model.tuned_weights import load_tuned_weights, saved_tensors

    seed = params.tune_of(video).seed
    pipe = open_base(params, seed=seed)
    untuned = {name: tensor.clone() for name, tensor in saved_tensors(pipe.unet).items()}
    with user_errors():
        bound_to = identity_of(params.base)
        load_tuned_weights(pipe.unet, weights, base=bound_to)
        tensors, error = tuned_lora(saved_tensors(pipe.unet), untuned, rank)
        save_lora(tensors, out, base=bound_to, seed=seed, rank=rank)
    return error


def import_lora(params: Params, lora: Path, out: Path) -> None:
    """Write a LoRA of tuned weights as a file of tuned weights, bound to the base of params.yaml. Raises UserError."""
    from tav.from_params.base import open_base
    from tav.from_params.loaded_base import identity_of
    from tav.model.tuned_lora import add_lora, seed_of
    from tav.model.tuned_weights import save_tuned_weights
    from tav.model.tuning import DTYPES

    free(out)
    with user_errors():
        pipe = open_base(params, seed=seed_of(lora))
        bound_to = identity_of(params.base)
        add_lora(pipe.unet, lora, base=bound_to)
        save_tuned_weights(pipe.unet, out, base=bound_to, dtype=DTYPES[params.tune.save_precision])
