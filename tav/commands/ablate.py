"""`tav ablate`: variants of a video's edits, each without a part of the method, or made by another one.

A variant that changes tuning is an entry of `videos` with `variant_of`, since a tuning, its inversion and its metrics
are kept by that name in every stage; one that changes the edit alone uses what the video has. So variants share the
tuning where they can: all that need none share one of zero steps.
"""

from typing import Any, NamedTuple

from tav.artifacts import artifact, read_json
from tav.commands.names import free_name
from tav.commands.params_text import add_entries, parse, read_text, sole_writer, write_text
from tav.complaints import listed
from tav.params import Params, UserError, check

Data = dict[str, Any]


class Variant(NamedTuple):
    """What is other than in the default edit."""

    name: str
    says: str
    tune: Data = {}  # noqa: RUF012 - never changed
    edit: Data = {}  # noqa: RUF012 - never changed


UNTUNED: Data = {"steps": 0}
VARIANTS = (
    Variant("untuned", "without tuning (paper, section 4)", tune=UNTUNED),
    Variant("no-inversion", "from noise (paper, section 4)", edit={"from": "noise"}),
    Variant("no-sparse-causal", "each frame sees itself alone (paper, section 4)", tune={"self_attention": "frame"}),
    Variant("no-temporal", "without temporal attention", tune={"temporal": False}),
    Variant("full-attention", "each frame sees all frames", tune={"self_attention": "full"}),
    Variant("per-frame", "each frame inverted and edited alone", tune=UNTUNED, edit={"method": "per-frame-ddim"}),
)
BASELINES = (
    Variant(
        "plug-and-play", "each frame alone, on its features", tune=UNTUNED, edit={"method": "per-frame-plug-and-play"}
    ),
    Variant("sdedit", "each frame noised and denoised alone", tune=UNTUNED, edit={"method": "per-frame-sdedit"}),
    Variant("text2video-zero", "a new video of the prompt", tune=UNTUNED, edit={"method": "text2video-zero"}),
)
SDEDIT_STRENGTH = 0.8
"""Of SDEdit where the edits have full strength, at which nothing of the video is left (diffusers' default)."""


def ablate(video: str, only: list[str], baselines: bool) -> list[str]:
    """Add variants of all of a video's edits to params.yaml. Returns what to tell the person. Raises UserError.

    only: names of variants. Empty: all, with the baselines where these are asked for.
    """
    chosen = _chosen(only, baselines)
    read_text()
    with sole_writer():
        text = read_text()
        params = check(parse(text))
        videos, edits = variants_of(params, video, chosen)
        text = add_entries(text, "videos", videos) if videos else text
        text = add_entries(text, "edits", edits) if edits else text
        write_text(text)
    lines = [f"{variant.name}: {variant.says}" for variant in chosen]
    tunings = sum(entry["tune"].get("steps") != 0 for entry in videos.values())
    return [*lines, f"added {len(edits)} edits, which need {tunings} tunings more", "now run: dvc repro"]


def _chosen(only: list[str], baselines: bool) -> list[Variant]:
    known = {variant.name: variant for variant in (*VARIANTS, *BASELINES)}
    if lost := [name for name in only if name not in known]:
        raise UserError(f"no variant {listed(lost, ', ')}; there are: {listed(list(known), ', ')}")
    if only:
        return [known[name] for name in dict.fromkeys(only)]
    return [*VARIANTS, *(BASELINES if baselines else ())]


def variants_of(params: Params, video: str, chosen: list[Variant]) -> tuple[dict[str, Data], dict[str, Data]]:
    """What `videos` and `edits` get. What is there already, by the same name or with the same tuning, is used.

    Raises UserError: no such video, no edits of it, or no caption to share.
    """
    entry = params.video(video)
    if entry.variant_of:
        raise UserError(f"{video} is a variant itself: give {entry.variant_of}")
    originals = {key: edit for key, edit in params.edits.items() if edit.video == video and not edit.variant}
    if not originals:
        raise UserError(f"{video} has no edits: `tav add` adds some")
    there = {key: v.tune for key, v in params.videos.items() if v.variant_of == video}
    videos: dict[str, Data] = {}
    edits: dict[str, Data] = {}
    for variant in chosen:
        tuned = _tuning(video, {**entry.tune, **variant.tune}, entry.tune, there, [*params.videos, *videos], variant)
        if tuned not in params.videos and tuned not in videos:
            there[tuned] = {**entry.tune, **variant.tune}
            caption = entry.caption or _caption(video)
            settings = {"path": entry.path, "caption": caption, "extract": dict(entry.extract), "tune": there[tuned]}
            videos[tuned] = {**settings, "variant_of": video}
        for key, edit in originals.items():
            asked = {**edit.model_dump(exclude_none=True, by_alias=True), "video": tuned, "variant": variant.name}
            asked |= _edit_settings(params, key, variant)
            if not _is_there(params, asked):
                name = free_name(
                    f"{key[: 60 - len(variant.name) - 2]}--{variant.name}", [*params.edits, *edits], "edit"
                )
                edits[name] = asked
    return videos, edits


def _tuning(video: str, tune: Data, default: Data, there: dict[str, Data], taken: list[str], variant: Variant) -> str:
    """The name of the video, or variant, that has this tuning; a free one where none has."""
    if tune == default:
        return video
    known = next((key for key, other in there.items() if other == tune), None)
    name = "untuned" if tune.get("steps") == 0 else variant.name
    return known or free_name(f"{video[: 60 - len(name) - 2]}--{name}", taken, "video")


def _edit_settings(params: Params, key: str, variant: Variant) -> Data:
    settings = dict(variant.edit)
    if settings.get("method") == "per-frame-sdedit" and params.edit_of(key).strength == 1:
        settings["strength"] = SDEDIT_STRENGTH
    return settings


def _is_there(params: Params, asked: Data) -> bool:
    return any(edit.model_dump(exclude_none=True, by_alias=True) == asked for edit in params.edits.values())


def _caption(video: str) -> str:
    """What BLIP-2 said: it is asked once for all variants."""
    file = artifact("caption", video, "caption.json")
    if not file.exists():
        raise UserError(f"{video} has no caption yet, which its variants share: run `dvc repro caption@{video}` first")
    return str(read_json(file)["caption"])
