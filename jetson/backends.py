"""What opens a camera or video in the capture process: GStreamer, and OpenCV where there is no GStreamer.

Both give :class:`Picture` after :class:`Picture`, and may block or crash: that is what their process is for.
"""

import os
from typing import Any, Callable, Optional

from legoclf.errors import LegoclfError
from legoclf.jetson.gstreamer import build_pipeline
from legoclf.jetson.gstreamer_library import (
    GStreamerPipeline,
    Picture,
    Plane,
    has_element,
    load_gstreamer,
)
from legoclf.jetson.source_uri import SourceUri
from legoclf.jetson.v4l2 import DEFAULT_FPS, Mode, choose_mode, fourcc_number, read_modes

BACKENDS = ("auto", "gstreamer", "opencv")
#: Kinds that OpenCV by itself cannot open.
_GSTREAMER_ONLY = ("csi", "gst")

Note = Callable[[str], None]


class Backend:
    """An open camera or video."""

    def pull(self, timeout_s: float) -> Optional[Picture]:
        """The next frame, to be released before the next pull; None where there is none (yet)."""
        raise NotImplementedError

    def release(self) -> None:
        """Give the pulled frame's memory back."""
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """Whether there will be no more frames, for no fault."""
        raise NotImplementedError

    def error(self) -> str:
        """What went wrong since the last pull; empty if nothing did."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the camera."""
        raise NotImplementedError


def open_backend(source: SourceUri, wanted: str, note: Note) -> Backend:
    """Open a source of any kind but images and synthetic.

    Args:
        source: what to open.
        wanted: one of BACKENDS.
        note: takes what the user should be told aloud.

    Raises:
        LegoclfError: nothing that is installed here reads it, or it cannot be opened.
    """
    if wanted == "opencv":
        return _open_opencv(source, note)
    try:
        load_gstreamer()
    except OSError as error:
        if wanted == "gstreamer" or source.kind in _GSTREAMER_ONLY:
            raise _no_gstreamer(source) from error
        note("GStreamer is not installed")
        return _open_opencv(source, note)
    mode = _choose_mode(source) if source.kind == "v4l2" else None
    pipeline = build_pipeline(source, has_element, mode)
    for line in pipeline.notes:
        note(line)
    note("pipeline: " + pipeline.text)
    return GStreamerBackend(GStreamerPipeline(pipeline.text, pipeline.sink), note)


class GStreamerBackend(Backend):
    """A GStreamer pipeline; says aloud which decoder it has when the first frame has come."""

    def __init__(self, pipeline: GStreamerPipeline, note: Note) -> None:
        self._pipeline = pipeline
        self._note: Optional[Note] = note

    def pull(self, timeout_s: float) -> Optional[Picture]:
        picture = self._pipeline.pull(timeout_s)
        if picture is not None and self._note is not None:
            for decoder in self._pipeline.decoders():
                self._note("decoder: {}{}".format(decoder, "" if is_hardware(decoder) else ", on the CPU"))
            self._note = None
        return picture

    def release(self) -> None:
        self._pipeline.release()

    @property
    def ended(self) -> bool:
        return self._pipeline.ended

    def error(self) -> str:
        text = self._pipeline.error()
        if "missing a plug-in" in text:
            return text + "; sudo apt install gstreamer1.0-libav"
        return text

    def close(self) -> None:
        self._pipeline.close()


class OpenCvBackend(Backend):
    """cv2.VideoCapture, which gives BGR, blocks without end on a stalled stream and tells no reasons."""

    def __init__(self, capture: Any, is_live: bool) -> None:
        self._capture = capture
        self._is_live = is_live
        self._image: Any = None
        self._over = False

    def pull(self, timeout_s: float) -> Optional[Picture]:
        ok, image = self._capture.read()
        if not ok:
            self._over = True
            return None
        self._image = image
        height, width = image.shape[:2]
        return Picture(image.ctypes.data, image.nbytes, "BGR", width, height, (Plane(0, width * 3),))

    def release(self) -> None:
        self._image = None

    @property
    def ended(self) -> bool:
        return self._over

    def error(self) -> str:
        return "OpenCV gets no more frames" if self._over and self._is_live else ""

    def close(self) -> None:
        self._capture.release()


def is_hardware(decoder: str) -> bool:
    """Whether a GStreamer decoder of that name does not use the CPU."""
    return decoder.startswith(("nv", "omx", "v4l2", "va"))


def _open_opencv(source: SourceUri, note: Note) -> Backend:
    if source.kind in _GSTREAMER_ONLY:
        raise LegoclfError("source {}: OpenCV cannot open it; leave the backend out".format(source.shown))
    try:
        import cv2
    except ImportError as error:
        raise _no_gstreamer(source) from error
    target, api = source.target, cv2.CAP_ANY
    if source.kind == "rtsp" and source.options["transport"] != "auto":
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;{}".format(source.options["transport"])
    if source.kind == "v4l2":
        api = cv2.CAP_V4L2
    mode = _choose_mode(source) if source.kind == "v4l2" else None
    note("OpenCV {} reads it".format(cv2.__version__))
    capture = cv2.VideoCapture(target, api)
    if not capture.isOpened():
        raise LegoclfError("source {}: OpenCV cannot open it".format(source.shown))
    if mode is not None:
        capture.set(cv2.CAP_PROP_FOURCC, fourcc_number(mode.fourcc.encode("latin-1")))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.height)
        capture.set(cv2.CAP_PROP_FPS, float(mode.fps))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return OpenCvBackend(capture, source.is_live)


def _choose_mode(source: SourceUri) -> Mode:
    options = source.options
    size = (int(options["width"]), int(options["height"])) if options["width"] else None
    fps = float(options["fps"])
    modes = read_modes(source.target, size, fps or DEFAULT_FPS)
    return choose_mode(modes, source.target, size, fps, str(options["format"]))


def _no_gstreamer(source: SourceUri) -> LegoclfError:
    packages = "sudo apt install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav"
    other = "" if source.kind in _GSTREAMER_ONLY else "; or OpenCV: pip install opencv-python-headless"
    return LegoclfError("source {}: reading it needs GStreamer: {}{}".format(source.shown, packages, other))
