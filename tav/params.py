"""params.yaml as frozen, checked models: every knob's type, unit and range, once.

All that is wrong with a file is told at once. Nothing heavy is imported here.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
Key = Annotated[str, StringConstraints(pattern=rf"^{KEY.pattern}$")]
Fit = Literal["crop", "pad", "stretch"]
Precision = Literal["fp32", "bf16", "fp16"]
Positive = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=8, le=8192)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


V = TypeVar("V")


class UserError(Exception):
    """What a person can mend: says what was got, what was expected and what to do, in one line."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


S = TypeVar("S", bound=Section)


class Model(Section):
    """Weights, from a place that DVC tracks or from the Hugging Face hub."""

    path: Text
    """Folder (for `base` also a single .safetensors file). Relative to the project."""
    hub_id: Text | None = None
    """Used instead of `path` when given, as in "stable-diffusion-v1-5/stable-diffusion-v1-5"."""
    revision: Text | None = None
    """Branch, tag or commit on the hub."""

    @property
    def source(self) -> str:
        return self.hub_id or self.path


class Lora(Section):
    path: Text
    scale: Annotated[float, Field(ge=-10, le=10)] = 1.0


class Base(Model):
    """The text-to-image model that is tuned."""

    loras: tuple[Lora, ...] = Field(default=(), strict=False)


class Extract(Section):
    num_frames: Annotated[int, Field(ge=1, le=1024)] = 8
    start: Annotated[float, Field(ge=0)] = 0.0
    """Seconds into the source."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Frames to take from a second of the source. Not together with `stride`."""
    stride: Positive | None = None
    """Take every n-th frame of the source. 1 when neither is given."""
    size: Side | Annotated[tuple[Side, Side], Field(strict=False)] = 512
    """Pixels: of the short side (the long one follows the source's aspect), or [width, height]."""
    fit: Fit = "stretch"

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.fps is not None and self.stride is not None:
            raise ValueError(f"fps ({self.fps}) and stride ({self.stride}) both set the sampling rate: keep one, set the other to null")
        return self


class Caption(Section):
    model: Model
    max_new_tokens: Annotated[int, Field(ge=1, le=256)] = 30


class Tune(Section):
    steps: Positive = 500
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-5
    """Of the query projections, and of the temporal attention where that has none of its own."""
    temporal_learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-2
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    precision: Precision = "fp32"
    """Of the forward pass. The tuned weights are float32 masters all the same."""
    gradient_checkpointing: bool = False
    official_checkpointing: bool = False
    """Do as the official code: reentrant checkpointing, which leaves the down blocks untrained."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 33
    checkpoint_every: Positive = 100
    """Steps."""
    keep_checkpoints: Positive = 2
    sample_every: Positive | None = None
    """Steps between samples of the prompts of this video's edits. null: none."""
    save_precision: Precision = "fp16"

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be fewer than steps ({self.steps})")
        return self


class Invert(Section):
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] = 50
    """DDIM steps, of the inversion and of every edit: both walk the same time steps."""
    prompt: str | None = ""
    """null: the video's caption. "" as in the paper."""


class Edit(Section):
    guidance_scale: Annotated[float, Field(ge=1, le=100)] = 12.5
    negative_prompt: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 33
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the schedule that is denoised. 1.0 as in the paper."""
    start_from: Literal["inversion", "noise"] = Field(default="inversion", alias="from")
    output_size: Literal["source", "model"] = "source"


class Evaluate(Section):
    clip: Model
    pick_score: Model | None = None


class Video(Section):
    path: Text
    """A video file or a folder of images. Relative to the project."""
    caption: Text | None
    """null: BLIP-2 writes it."""
    extract: dict[str, Any]
    """What this video has of its own, over the section of the same name. {} when nothing."""
    tune: dict[str, Any]


class VideoEdit(Section):
    video: Key
    prompt: Text
    guidance_scale: float | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    strength: float | None = None
    start_from: str | None = Field(default=None, alias="from")
    output_size: str | None = None


class Params(Section):
    """The whole of params.yaml. Use the `*_of` methods: they put a video's or an edit's own settings over the section."""

    videos: dict[Key, Video]
    edits: dict[Key, VideoEdit]
    base: Base
    extract: Extract
    caption: Caption
    tune: Tune
    invert: Invert
    edit: Edit
    evaluate: Evaluate

    def video(self, key: str) -> Video:
        return _known(self.videos, key, "video")

    def video_edit(self, key: str) -> VideoEdit:
        return _known(self.edits, key, "edit")

    def extract_of(self, video: str) -> Extract:
        return _over(self.extract, self.video(video).extract)

    def tune_of(self, video: str) -> Tune:
        return _over(self.tune, self.video(video).tune)

    def edit_of(self, edit: str) -> Edit:
        own = self.video_edit(edit).model_dump(exclude={"video", "prompt"}, exclude_none=True)
        return _over(self.edit, own)

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        wrong = []
        for place, check, key in (
            *((f"videos.{k}.extract", self.extract_of, k) for k in self.videos),
            *((f"videos.{k}.tune", self.tune_of, k) for k in self.videos),
            *((f"edits.{k}", self.edit_of, k) for k in self.edits),
        ):
            try:
                check(key)
            except ValidationError as error:
                wrong += _complaints(error, type(getattr(self, check.__name__[:-3])), place)
        for key, edit in self.edits.items():
            if edit.video not in self.videos:
                wrong.append(f"edits.{key}.video: there is no video {edit.video!r}{_nearest(edit.video, self.videos)}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def read_yaml(path: Path) -> Any:
    """A YAML 1.2 file as plain data. (PyYAML reads 1.1, where 4e-4 is a string.) Raises UserError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise UserError(f"no {path.name} in {path.absolute().parent}: run this in the project's folder") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml. Raises UserError with all that is wrong."""
    return check(read_yaml(path), path.name)


def check(data: Any, name: str = "params.yaml") -> Params:
    """Check what a params.yaml holds. Raises UserError with all that is wrong."""
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{name}: " + "; ".join(_complaints(error, Params))) from None


def check_key(key: str) -> str:
    """A name of a video or an edit. Raises UserError."""
    if not KEY.fullmatch(key):
        raise UserError(f"{key!r} can't be a name: use 1 to 64 letters, digits, '-' and '_'")
    return key


def _over(section: S, own: dict[str, Any]) -> S:
    given = dict(own)
    if "fps" in given or "stride" in given:  # the video's own rate replaces the section's, of either kind
        given = {"fps": None, "stride": None, **given}
    return type(section).model_validate({**section.model_dump(), **given})


def _known(named: dict[str, V], key: str, kind: str) -> V:
    if key not in named:
        raise UserError(f"params.yaml has no {kind} {key!r}{_nearest(key, named)}")
    return named[key]


def _nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known) or 'none'}"


def _complaints(error: ValidationError, model: type[BaseModel], place: str = "") -> list[str]:
    """One short sentence for each thing that is wrong."""
    said = []
    for e in error.errors():
        where = ".".join([*([place] if place else []), *(str(p) for p in e["loc"] if p != "[key]")])
        if e["type"] == "extra_forbidden":
            fields = _fields_at(model, e["loc"][:-1])
            said.append(f"{where}: unknown key{_nearest(str(e['loc'][-1]), fields)}")
        elif e["type"] == "value_error":
            said.append(f"{where}: {e['ctx']['error']}" if where else str(e["ctx"]["error"]))
        elif e["type"] == "missing":
            said.append(f"{where}: is missing")
        elif "[key]" in e["loc"] or e["type"] == "string_pattern_mismatch":
            said.append(f"{where}: {e['input']!r} can't be a name: use 1 to 64 letters, digits, '-' and '_'")
        else:
            said.append(f"{where}: {e['msg'][0].lower()}{e['msg'][1:]}, got {e['input']!r}")
    return said


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The names that may stand at a place of params.yaml."""
    for part in loc:
        field = model.model_fields.get(str(part))
        kinds = re.findall(r"tav\.params\.(\w+)", str(field.annotation)) if field else []
        if kinds:
            model = globals()[kinds[-1]]
    return [f.alias or n for n, f in model.model_fields.items()]
