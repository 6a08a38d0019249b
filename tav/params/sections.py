"""The sections of params.yaml: every knob with its type, unit, range and default, once."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from tav.complaints import control_in, quoted
from tav.params.sources import HUB, check_file, check_source, refuse_old_keys, split_source

Reader = Literal["av", "decord"]
Fit = Literal["crop", "pad", "stretch"]
Precision = Literal["fp32", "bf16", "fp16"]
Memory = Literal["auto", "12gb", "16gb", "24gb", "max"]
MOST = 10**9
"""Of what is counted: no run comes near it, and the machine's numbers reach as far."""
Positive = Annotated[int, Field(ge=1, le=MOST)]
Side = Annotated[int, Field(ge=8, le=8192)]


def _printable(text: str) -> str:
    """Nothing that a terminal obeys, or that no file can hold. Raises ValueError."""
    if (odd := control_in(text)) is not None:
        raise ValueError(f"has {quoted(odd)} in it, which can't be shown: take it out")
    return text


def _not_blank(text: str) -> str:
    """Raises ValueError."""
    if not text.strip():
        raise ValueError("is blank: write what it is")
    return text


Words = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_printable)]
Text = Annotated[Words, AfterValidator(_not_blank), StringConstraints(min_length=1)]
Source = Annotated[Text, AfterValidator(check_source)]
File = Annotated[Text, AfterValidator(check_file)]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


class Model(Section):
    """Weights: in a folder or a file, or on the Hugging Face hub."""

    source: Source
    """A folder (for `base` also a single .safetensors file), relative to the project; or hub:owner/name@revision."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_key(cls, data: Any) -> Any:
        return refuse_old_keys(data)

    @property
    def hub_id(self) -> str | None:
        """owner/name on the hub. None: the source is a path."""
        return split_source(self.source)[0]

    @property
    def revision(self) -> str | None:
        """Branch, tag or commit on the hub."""
        return split_source(self.source)[1]

    @property
    def name(self) -> str:
        """As `from_pretrained` takes it: a path or owner/name."""
        return self.hub_id or self.source

    @property
    def place(self) -> str:
        """As the model's code takes it: a path or hub:owner/name."""
        return f"{HUB}{self.hub_id}" if self.hub_id else self.source


class Lora(Model):
    """Weights that are added to the base's."""

    source: Source
    """A .safetensors file, or a folder with one, relative to the project; or hub:owner/name@revision."""
    file: File | None = None
    """Which file of a folder or of the hub, as in pytorch_lora_weights.safetensors. null: all of a folder."""
    scale: Annotated[float, Field(ge=-10, le=10)] = 1.0
    """How much of it is added to the weights."""

    @model_validator(mode="after")
    def _names_one_of_the_hub(self) -> Self:
        if self.hub_id and self.file is None:
            raise ValueError(
                f"{self.source} is on the hub: name its file, as in file: pytorch_lora_weights.safetensors"
            )
        return self


class Base(Model):
    """The text-to-image model that is tuned."""

    config: Source | None = None
    """Of a single file: a folder, or hub:owner/name, with the model's settings. null: the hub's, for its kind."""
    loras: tuple[Lora, ...] = Field(default=(), strict=False)
    """LoRAs that are added to the weights before tuning."""


class Compute(Section):
    """How the models run on this machine."""

    memory: Memory = "auto"
    """What `tune` and `edit` may take of the GPU (or of the machine, where there is none). max: whatever they like."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of the UNet and the text encoders. auto: fp32 on a CPU; on a GPU bf16, or fp16 where it has no bf16."""
    attention: Literal["sdpa", "xformers"] = "sdpa"
    """sdpa: PyTorch's own. xformers: an extra to install, for a GPU."""
    compile: bool = False
    """torch.compile of the UNet's repeated blocks."""
    token_merging: Annotated[float, Field(ge=0, le=0.75)] = 0.0
    """Share of the tokens that self-attention merges at the finest level (tomesd). 0: none."""


class Extract(Section):
    """Which frames of a video are taken, and at what size."""

    num_frames: Annotated[int, Field(ge=1, le=100_000)] | None = 8
    """How many frames of the video are tuned on and edited. null: all from `start` on."""
    start: Annotated[float, Field(ge=0)] = 0.0
    """Seconds into the source."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Frames to take from a second of the source. Not together with `stride`."""
    stride: Positive | None = None
    """Take every n-th frame of the source. 1 when neither is given."""
    size: Side | Annotated[tuple[Side, Side], Field(strict=False)] = 512
    """Pixels: of the short side (the long one follows the source's aspect), or [width, height]."""
    fit: Fit = "stretch"
    """What is done where `size` has another aspect than the source: cut off, add borders, or distort."""
    reader: Reader = "av"
    """What decodes a video file: PyAV, or decord, whose every frame is then compared with PyAV's."""

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.fps is not None and self.stride is not None:
            raise ValueError(f"fps ({self.fps}) and stride ({self.stride}) both set the sampling rate: set one to null")
        return self


class Caption(Section):
    """The source prompt of a video that has no `caption`."""

    model: Model | None
    """BLIP-2, which writes the caption of a video that has none. null: every video has its own."""
    max_new_tokens: Annotated[int, Field(ge=1, le=256)] = 30
    """The longest caption, in BLIP-2's tokens."""


class Window(Section):
    """A long video is worked on in windows that overlap, in the memory that a window takes."""

    frames: Positive
    """Of a window. Frame 0 comes on top."""
    overlap: Annotated[int, Field(ge=0, le=MOST)]
    """Frames that a window has in common with the next."""

    @model_validator(mode="after")
    def _moves_on(self) -> Self:
        if self.overlap >= self.frames:
            raise ValueError(f"overlap ({self.overlap}) must be less than frames ({self.frames})")
        return self


class Invert(Section):
    """How a video's latents are led back to noise."""

    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] = 50
    """DDIM steps, of the inversion and of every edit: both walk the same time steps."""
    prompt: Words | None = ""
    """null: the video's caption. "" as in the paper."""
    method: Literal["ddim", "edit_friendly"] = "ddim"
    """ddim: as in the paper. edit_friendly: noise maps that bring the source back exactly; edits keep more of it."""
    refine: Annotated[int, Field(ge=0, le=50)] = 0
    """How often each step of ddim asks the network again: 2 bring the source back at any strength, in three times the
    time. 0 as in the paper."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 33
    """Of the noise that edit_friendly starts from."""
    window: Window | None = None
    """null: all frames at once."""

    @model_validator(mode="after")
    def _only_ddim_is_refined(self) -> Self:
        if self.refine and self.method != "ddim":
            raise ValueError(
                f"refine ({self.refine}) is for method ddim; {self.method} comes back exactly: set it to 0"
            )
        return self
