"""ControlNets and T2I-Adapters, and the maps that they follow."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tav.params.sections import Model, Section, Text
from tav.params.where import Share

Kind = Literal["canny", "lineart", "scribble", "luma", "tile", "blur", "depth", "pose"]
Threshold = Annotated[int, Field(ge=0, le=1020)]


class Condition(Section):
    """Maps of each video that controls follow, made once: its edges, its depth, and so on."""

    kinds: tuple[Kind, ...] = Field(default=(), strict=False)
    """canny (edges), lineart (soft edges), scribble (few and thick), luma (grey), tile (coarse), blur, depth, pose."""
    canny: Annotated[tuple[Threshold, Threshold], Field(strict=False)] = (100, 200)
    """Canny's two thresholds: an edge begins at the second, and goes on as far as it is above the first."""
    tile: Annotated[int, Field(ge=2, le=64)] = 8
    """How many times smaller the frames get before they are enlarged again."""
    blur: Annotated[float, Field(gt=0, le=100)] = 8.0
    """Standard deviation of the Gaussian blur, in pixels."""
    depth: Model | None = None
    """A depth estimator of transformers, as in hub:depth-anything/Depth-Anything-V2-Small-hf."""
    pose: Model | None = None
    """A VitPose of transformers, as in hub:usyd-community/vitpose-base-simple."""
    person: Model | None = None
    """What finds the people for `pose`: an object detector, as in hub:PekingU/rtdetr_r50vd_coco_o365.
    null: one person in each frame, as large as it."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.canny[0] > self.canny[1]:
            raise ValueError(f"canny ({self.canny[0]}, {self.canny[1]}): the first must not be above the second")
        for kind, model in (("depth", self.depth), ("pose", self.pose)):
            if kind in self.kinds and model is None:
                raise ValueError(f"kinds has {kind}, which needs a model: set condition.{kind}")
        return self


class Control(Section):
    """A ControlNet or a T2I-Adapter (its own files say which), and the maps that it follows."""

    kind: Kind | None = None
    """Which maps: one of condition.kinds. Not together with `frames`."""
    frames: Text | None = None
    """Maps of your own: a video or a folder of pictures, one for each frame of the edit or of the source."""
    model: Model
    """Of the base's own kind: made for SD 1, 2 or XL."""
    scale: Annotated[float, Field(ge=0, le=10)] = 1.0
    """How strongly it is followed. 0: not at all."""
    start: Share = 0.0
    """Share of the steps that are done before it sets in."""
    end: Share = 1.0
    """Share of the steps after which it lets go."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.kind is None) == (self.frames is None):
            got = "both" if self.kind else "neither"
            raise ValueError(f"got {got} of kind and frames: give one of them")
        if self.start >= self.end:
            raise ValueError(f"start ({self.start}) must be less than end ({self.end})")
        return self
