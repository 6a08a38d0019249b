"""`tav import-official` and `tav export-official`: weights from and for the official code (showlab/Tune-A-Video)."""

from pathlib import Path

from tav.artifacts import artifact
from tav.params import Params, UserError, user_errors


def import_weights(params: Params, unet_folder: Path, out: Path) -> None:
    """Write what the official code tuned as a file of tuned weights, bound to the base of params.yaml.

    unet_folder: `unet` of an official output folder, tuned from that base. out: a .safetensors file, which
    `tav.model.tuned_weights.load_tuned_weights` reads. Raises UserError.
    """
    from tav.from_params.base import open_base
    from tav.from_params.loaded_base import identity_of
    from tav.model.official import import_official
    from tav.model.tuned_weights import save_tuned_weights
    from tav.model.tuning import DTYPES

    _free(out)
    pipe = open_base(params)
    with user_errors():
        import_official(pipe.unet, unet_folder)
        bound_to = identity_of(params.base)
        save_tuned_weights(pipe.unet, out, base=bound_to, dtype=DTYPES[params.tune.save_precision])


def export_weights(params: Params, video: str, out: Path) -> None:
    """Write the tuned UNet of a video as a folder that the official code reads. Raises UserError."""
    from tav.from_params.base import open_base
    from tav.model.official import export_official

    params.video(video)
    weights = artifact("tune", video, "weights.safetensors")
    if not weights.exists():
        raise UserError(f"no {weights}: run `dvc repro tune@{video}` first")
    _free(out)
    pipe = open_base(params, tuned=weights)
    with user_errors():
        export_official(pipe.unet, out)


def _free(out: Path) -> None:
    if out.exists():
        raise UserError(f"{out} is there already: give another name, or delete it")
