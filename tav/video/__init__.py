"""Video files: read, pick frames, resize, write. Frames are uint8 (f h w 3), RGB.

The only package that imports decord and av, and it does so when a file is opened. No torch.
"""

from tav.video.alongside import read_alongside, read_picture, read_picture_alongside
from tav.video.fitting import fitted_size, moved, resize, unfit
from tav.video.metadata import text_in
from tav.video.picking import Picked, Span, cadence, pick_frames
from tav.video.reading import IMAGE_FPS, Shown, VideoInfo, frame_times, probe, read_frames, shown_frames
from tav.video.sound import write_audio
from tav.video.writing import write_contact_sheet, write_gif, write_mp4

__all__ = [
    "IMAGE_FPS",
    "Picked",
    "Shown",
    "Span",
    "VideoInfo",
    "cadence",
    "fitted_size",
    "frame_times",
    "moved",
    "pick_frames",
    "probe",
    "read_alongside",
    "read_frames",
    "read_picture",
    "read_picture_alongside",
    "resize",
    "shown_frames",
    "text_in",
    "unfit",
    "write_audio",
    "write_contact_sheet",
    "write_gif",
    "write_mp4",
]
