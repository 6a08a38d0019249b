"""Video files: read, pick frames, resize, write. Frames are uint8 (f h w 3), RGB.

The only package that imports decord and av, and it does so when a file is opened. No torch.
"""

from tav.video.fitting import fitted_size, resize, unfit
from tav.video.picking import Picked, Span, cadence, pick_frames
from tav.video.reading import IMAGE_FPS, VideoInfo, frame_times, iter_frames, probe, read_frames
from tav.video.sound import write_audio
from tav.video.writing import write_contact_sheet, write_gif, write_mp4

__all__ = [
    "IMAGE_FPS",
    "Picked",
    "Span",
    "VideoInfo",
    "cadence",
    "fitted_size",
    "frame_times",
    "iter_frames",
    "pick_frames",
    "probe",
    "read_frames",
    "resize",
    "unfit",
    "write_audio",
    "write_contact_sheet",
    "write_gif",
    "write_mp4",
]
