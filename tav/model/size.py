"""The size of a picture, in the one order that arrays have."""

from typing import NamedTuple


class Size(NamedTuple):
    """In pixels, latents or tokens, as whoever has it says."""

    height: int
    width: int
