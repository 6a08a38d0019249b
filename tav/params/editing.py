"""The section `edit`, and what an edit may follow besides its prompt."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tav.params.controls import Control
from tav.params.sections import File, Lora, Model, Section, Text, Window, Words
from tav.params.where import Attention, Mask

Method = Literal[
    "tune-a-video",
    "plug-and-play",
    "per-frame-ddim",
    "per-frame-sdedit",
    "per-frame-plug-and-play",
    "text2video-zero",
    "cogvideox",
    "wan",
    "wan-vace",
    "wan-flow-edit",
]
ON_NETWORK = ("controls", "reference", "mask", "scheduler", "steps", "loras")
"""What also plug-and-play takes."""
ON_TUNED = ("tune-a-video", "plug-and-play")
"""The methods that use what was tuned and inverted."""
BY_VIDEO_MODEL = ("cogvideox", "wan", "wan-vace", "wan-flow-edit")
"""The methods of `edit.video_model`, which use nothing of the base."""


class Adapter(Model):
    """An IP-Adapter and its image encoder, as they lie together in a folder or on the hub."""

    file: Annotated[File, Field(pattern=r"\.safetensors$")] = "models/ip-adapter_sd15.safetensors"
    """The adapter in it: a .safetensors file, made for the base's kind."""
    image_encoder: File = "models/image_encoder"
    """The folder in it with the CLIP that the adapter was trained with."""


class Reference(Section):
    """A picture beside the prompt, by an IP-Adapter: this jacket, this style."""

    picture: File
    """Its middle square counts. In the folder `models`, DVC sees when it changes."""
    scale: Annotated[float, Field(ge=0, le=2)] = 0.6
    """How much it counts. 1 as it was trained; lower leaves more to the prompt."""
    model: Adapter
    """The adapter, as in {source: hub:h94/IP-Adapter}."""


class Edit(Section):
    """How an edited video is made."""

    method: Method = "tune-a-video"
    """What makes the edit. plug-and-play: on the tuned network, with the video's own features. The others are baselines: on the same base, or (cogvideox, wan, wan-vace, wan-flow-edit) a video model's own. None of them uses what was tuned."""  # noqa: E501
    video_model: Model | None = None
    """A CogVideoX, Wan or Wan VACE of diffusers, for the methods of that name. null: none."""
    guidance_scale: Annotated[float, Field(ge=1, le=100)] = 12.5
    """How strongly the prompt guides. 1: no guidance, in half the time."""
    negative_prompt: Words = ""
    """What guidance leads away from."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 33
    """Of the noise, where an edit starts from noise."""
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the schedule that is denoised. 1.0 as in the paper."""
    start_from: Literal["inversion", "noise"] = Field(default="inversion", alias="from")
    """inversion: the video's inverted latents. noise: pure noise, below strength 1 added to the video (SDEdit)."""
    output_size: Literal["source", "model"] = "source"
    """Of the edited video: the source's width and height, or the model's."""
    scheduler: Literal["ddim", "lcm", "tcd"] = "ddim"
    """ddim: as the inversion. lcm, tcd: with `loras` that were distilled for it (LCM-LoRA; TCD, Hyper-SD), in few steps."""  # noqa: E501
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    """So many of the inversion's noise levels below `strength`, evenly. null: all of them."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Of tcd: the share of noise that each step draws afresh. 0: none."""
    loras: tuple[Lora, ...] = Field(default=(), strict=False)
    """LoRAs on top of the tuned weights for the edit alone: those that make few steps do."""
    window: Window | None = None
    """null: all frames at once. See also `invert.window`."""
    controls: tuple[Control, ...] = Field(default=(), strict=False)
    """ControlNets and T2I-Adapters that hold the video to its edges, its depth and so on. All of them at once."""
    first_frame: Text | None = None
    """A picture: frame 0 as somebody has edited it already. The other frames follow it. null: none."""
    reference: Reference | None = None
    """A picture that shows what the prompt can't say. null: none."""
    mask: Mask | None = None
    """Where the edit may change the video. null: everywhere."""
    attention: Attention | None = None
    """What it keeps of the video word by word (Prompt-to-Prompt). null: nothing."""
    metadata: bool = True
    """Put the settings that made it into its MP4 and GIF, where `tav add --like` finds them."""

    @model_validator(mode="after")
    def _has_its_model(self) -> Self:
        if self.method in BY_VIDEO_MODEL and self.video_model is None:
            raise ValueError(f"method {self.method} needs a model: set edit.video_model")
        return self

    @model_validator(mode="after")
    def _baselines_are_plain(self) -> Self:
        parts = {name: getattr(self, name) for name in ("first_frame", "attention", *ON_NETWORK)}
        parts["scheduler"] = self.scheduler != "ddim"
        known = {"tune-a-video": set(parts), "plug-and-play": set(ON_NETWORK)}.get(self.method, set())
        if given := [name for name, part in parts.items() if part and name not in known]:
            raise ValueError(f"method {self.method} takes no {', '.join(given)}: those are tune-a-video's")
        return self

    @model_validator(mode="after")
    def _few_steps_fit(self) -> Self:
        fresh = self.scheduler == "lcm" or (self.scheduler == "tcd" and self.eta > 0)
        beside = "attention" if self.attention else "method plug-and-play" if self.method == "plug-and-play" else ""
        if fresh and beside:
            raise ValueError(
                f"scheduler {self.scheduler} draws fresh noise, so the source beside it ({beside}) is on another path: "
                "set scheduler to ddim, or to tcd with eta 0"
            )
        if self.scheduler != "ddim" and self.steps is None:
            raise ValueError(f"scheduler {self.scheduler} is for few steps: set steps to 4, or to what its LoRA is for")
        return self
