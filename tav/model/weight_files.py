"""The weight files of a pipeline's folder: which there are, and whether they are what they should be."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

FLOATS = {"F16", "BF16", "F32", "F64", "F8_E4M3", "F8_E5M2"}
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
WEIGHTS["text_encoder_2"] = WEIGHTS["text_encoder"]
VARIANTS = (None, "fp16", "bf16", "fp32", "non_ema")


def variant_of(folder: Path, components: Collection[str]) -> str | None:
    """diffusers' name of the variant that all components have weights in: None, the plain one, where that is there.

    Raises ValueError: no variant has weights for all in safetensors.
    """
    wanted = [name for name in WEIGHTS if name in components and (folder / name).is_dir()]
    for variant in VARIANTS:
        if all(any(files_of(folder, name, variant)) for name in wanted):
            return variant
    lacking = next(name for name in wanted if not any(files_of(folder, name, None)))
    raise ValueError(
        f"{folder} has no {lacking}/{WEIGHTS[lacking]}.safetensors; it holds {_weights_in(folder / lacking)}"
    )


def files_of(folder: Path, component: str, variant: str | None) -> Iterator[Path]:
    """The safetensors files of a component's weights, in one part or in several."""
    stem, mark = WEIGHTS[component], f".{variant}" if variant else ""
    names = (f"{stem}{mark}.safetensors", f"{stem}{mark}-*-of-*.safetensors", f"{stem}-*-of-*{mark}.safetensors")
    yield from sorted({file for name in names for file in (folder / component).glob(name)})


def check_floats(file: Path) -> set[str]:
    """The names of a file's tensors. Raises ValueError: it is no safetensors file, or holds weights of another type."""
    try:
        with safe_open(file, "pt") as opened:
            kinds = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or not a safetensors file: {error}") from error
    for name, kind in kinds.items():
        if kind not in FLOATS and not name.endswith("position_ids"):
            raise ValueError(f"{file} has {name} of type {kind}; expected floating point numbers")
    return set(kinds)


def check_folder(folder: Path, pipe: Any, variant: str | None) -> None:
    """Raises ValueError where a component of a loaded pipeline has not all its weights from the folder."""
    for component in WEIGHTS:
        module = getattr(pipe, component, None)
        if module is None:
            continue
        names = {name for file in files_of(folder, component, variant) for name in check_floats(file)}
        if component.startswith("text_encoder"):  # what is missing here transformers fills with random numbers
            there = {name.removeprefix("text_model.") for name in names}
            expected = {name.removeprefix("text_model.") for name, _ in module.named_parameters()}
            if missing := sorted(expected - there):
                raise ValueError(f"{folder}/{component} lacks {missing[0]}" + _others(missing))
    check_loaded(str(folder), pipe)


def check_loaded(source: str, pipe: Any) -> None:
    """Raises ValueError where a component has a parameter without a value: diffusers leaves it so without a word."""
    for component in WEIGHTS:
        module = getattr(pipe, component, None)
        missing = sorted(n for n, p in module.named_parameters() if p.is_meta) if module is not None else []
        if missing:
            raise ValueError(f"{source}: its {component} lacks {missing[0]}" + _others(missing))


def _others(names: list[str]) -> str:
    return f" and {len(names) - 1} others" if len(names) > 1 else ""


def _weights_in(folder: Path) -> str:
    kinds = {".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5", ".safetensors", ".onnx"}
    names = sorted(file.name for file in folder.iterdir() if file.suffix in kinds)
    pickles = " (a pickle can run code when it is read: convert it)" if any(n.endswith(".bin") for n in names) else ""
    return (", ".join(names[:3]) or "no weights") + pickles
