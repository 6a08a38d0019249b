"""Interlaced video: a whole picture of each frame's first field, without combs, as players show it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph
    from av.video.stream import VideoStream


def deinterlaced(frames: "Iterator[VideoFrame]", stream: "VideoStream") -> "Iterator[VideoFrame]":
    """As many frames, with their times. Those marked as interlaced are made anew, all others pass as they are."""
    graph: Graph | None = None
    for frame in frames:
        if frame.interlaced_frame and graph is None:
            graph = _graph(stream)
        if graph is None:
            yield frame
        else:
            graph.vpush(frame)
            yield from _ready(graph)
    if graph is not None:
        graph.vpush(None)
        yield from _ready(graph)


def _graph(stream: "VideoStream") -> "Graph":
    from av.filter import Graph

    graph = Graph()
    deinterlace = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    graph.link_nodes(graph.add_buffer(template=stream), deinterlace, graph.add("buffersink")).configure()
    return graph


def _ready(graph: "Graph") -> "Iterator[VideoFrame]":
    """What the filter has done so far: it is a frame behind."""
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
