"""Where an edit may change a video, and what it keeps of it word by word."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from tav.params.sections import Model, Section, Text

Share = Annotated[float, Field(ge=0, le=1)]
TRACKER = "{source: hub:facebook/sam2.1-hiera-tiny}"
WordList = Annotated[tuple[Text, ...], Field(strict=False)]


class Mask(Section):
    """Where an edit may change the video; all else stays the source's. Drawn, a box, or words of the caption."""

    path: Text | None = None
    """A picture (for all frames), a video or a folder of pictures: white where the edit may change something."""
    box: Annotated[tuple[Share, Share, Share, Share], Field(strict=False)] | None = None
    """[left, top, right, bottom] in shares of the picture: [0, 0, 0.5, 1] is its left half."""
    words: WordList | None = None
    """Words of the caption, as in [boat]: where the network sees them in the video."""
    point: Annotated[tuple[Share, Share], Field(strict=False)] | None = None
    """[x, y] in shares of the picture: the thing that is there in the first frame. Needs `tracker`."""
    tracker: Model | None = None
    """What follows the thing in the first frame through the video, as in hub:facebook/sam2.1-hiera-tiny (SAM 2).
    null: a box stays where it is, a picture is for all frames."""
    threshold: Share = 0.3
    """For `words`: how much of what is seen most, at least. Lower takes in more."""
    grow: Annotated[int, Field(ge=-512, le=512)] = 0
    """Pixels of the model's frames by which it gets wider on each side; below 0, narrower."""
    feather: Annotated[int, Field(ge=0, le=256)] = 0
    """Pixels on each side of the edge over which the edit fades into the source."""
    invert: bool = False
    """Everything but that."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("path", "box", "words", "point") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"got {' and '.join(given) or 'none'} of path, box, words and point: give one of them")
        if self.point and self.tracker is None:
            raise ValueError(f"point {list(self.point)} is a thing to follow: set tracker, as {TRACKER}")
        if self.box and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError(f"box {list(self.box)} is empty: give [left, top, right, bottom], as in [0, 0, 0.5, 1]")
        return self


class Attention(Section):
    """Prompt-to-Prompt: the edit keeps what the network looks at in the video, where its words agree with the caption's."""  # noqa: E501

    cross_replace: Share = 0.4
    """Share of the steps, from the first, in which words of the caption look at what they looked at in the video."""
    self_replace: Share = 0.3
    """Share of the steps in which the picture holds together as the video does: its shapes."""
    amplify: dict[Text, Annotated[float, Field(ge=0, le=20)]] = Field(default_factory=dict)
    """How many times more words of the prompt count, as in {neon: 2.0}; less than 1 weakens."""
    blend: WordList = ()
    """Words, of the caption or of the prompt, whose places may change, as in [car, boat]. []: all may."""
    threshold: Share = 0.3
    """For `blend`. See mask.threshold."""
