"""The GStreamer pipeline of each kind of source: the one place where such strings are made.

Every pipeline ends in an appsink named SINK. A camera's keeps the newest frame only; a file's keeps all and
waits. Where a frame has to be converted it becomes BGRx: to make BGR costs GStreamer twice the time.
"""

import re
from fractions import Fraction
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import unquote, urlsplit

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.source_uri import SourceUri
from legoclf.jetson.v4l2 import Mode, exact_rate

SINK = "frames"
_NEWEST_ONLY = {"drop": "1", "max-buffers": "1", "sync": "false"}
_LOSSLESS = {"drop": "0", "max-buffers": "2", "sync": "false"}
_BGRX = "video/x-raw,format=(string)BGRx"
#: What legoclf reads from a pipeline that is not its own.
_READABLE = "video/x-raw,format=(string){BGRx,BGR,NV12,YUY2}"
#: GStreamer's names of V4L2's raw formats, and whether a frame of it can be handed on as it is.
_RAW_FORMATS = {
    "YUYV": ("YUY2", True),
    "NV12": ("NV12", True),
    "BGR3": ("BGR", True),
    "BGR4": ("BGRx", True),
    "UYVY": ("UYVY", False),
    "YVYU": ("YVYU", False),
    "YU12": ("I420", False),
    "RGB3": ("RGB", False),
    "GREY": ("GRAY8", False),
}
_DEPAYLOADERS = {
    "h264": "rtph264depay ! h264parse",
    "h265": "rtph265depay ! h265parse",
    "mjpeg": "rtpjpegdepay",
}
#: From best to worst; the Jetson's own first. What is not there is passed over.
_HARDWARE_DECODERS = {
    "h264": ("nvv4l2decoder", "omxh264dec", "v4l2h264dec"),
    "h265": ("nvv4l2decoder", "omxh265dec"),
    "mjpeg": ("nvv4l2decoder mjpeg=1",),
}
_SOFTWARE_DECODERS = {"h264": "avdec_h264", "h265": "avdec_h265", "mjpeg": "jpegdec"}

#: The Debian and Ubuntu package with each element, to be named where it is missing.
PACKAGES: Dict[str, str] = {
    "nvarguscamerasrc": "nvidia-l4t-gstreamer",
    "nvvidconv": "nvidia-l4t-gstreamer",
    "decodebin": "gstreamer1.0-plugins-base",
    "videoconvert": "gstreamer1.0-plugins-base",
    "appsink": "gstreamer1.0-plugins-base",
    "avdec_h264": "gstreamer1.0-libav",
    "avdec_h265": "gstreamer1.0-libav",
    "v4l2src": "gstreamer1.0-plugins-good",
    "jpegdec": "gstreamer1.0-plugins-good",
    "rtspsrc": "gstreamer1.0-plugins-good",
    "souphttpsrc": "gstreamer1.0-plugins-good",
    "multipartdemux": "gstreamer1.0-plugins-good",
    "h264parse": "gstreamer1.0-plugins-bad",
    "h265parse": "gstreamer1.0-plugins-bad",
}

Exists = Callable[[str], bool]


class Pipeline(NamedTuple):
    """text: for gst_parse_launch. sink: the appsink's name. notes: what the user should be told aloud."""

    text: str
    sink: str
    notes: List[str]


def build_pipeline(source: SourceUri, exists: Exists, mode: Optional[Mode] = None) -> Pipeline:
    """The pipeline that reads a source.

    Args:
        source: of any kind that GStreamer reads: csi, v4l2, rtsp, http, file or gst.
        exists: whether GStreamer has an element of that name here.
        mode: how a v4l2 camera is to deliver.

    Raises:
        LegoclfError: an element that it needs is missing, or the user's own pipeline cannot be read from.
    """
    notes: List[str] = []
    if source.kind == "gst":
        return _own_pipeline(source)
    if source.kind == "v4l2":
        if mode is None:
            raise ValueError("a v4l2 source needs the mode")
        text = _v4l2(source, mode, exists, notes)
    else:
        builders: Dict[str, Callable[[SourceUri, Exists, List[str]], str]] = {
            "csi": _csi,
            "rtsp": _rtsp,
            "http": _http,
            "file": _file,
        }
        text = builders[source.kind](source, exists, notes)
    _require(text, source, exists)
    properties = _NEWEST_ONLY if source.is_live else _LOSSLESS
    return Pipeline("{} ! {}".format(text, _appsink(properties)), SINK, notes)


def _csi(source: SourceUri, exists: Exists, notes: List[str]) -> str:
    """Frames stay in the camera's memory (NVMM) until nvvidconv has turned and converted them."""
    options = source.options
    sensor_mode = " sensor-mode={}".format(options["mode"]) if options["mode"] != -1 else ""
    return (
        "nvarguscamerasrc sensor-id={}{} ! video/x-raw(memory:NVMM),format=(string)NV12,{} ! "
        "nvvidconv flip-method={} ! video/x-raw,format=(string){}".format(
            source.target,
            sensor_mode,
            _caps(int(options["width"]), int(options["height"]), exact_rate(float(options["fps"]))),
            options["flip"],
            options["format"],
        )
    )


def _v4l2(source: SourceUri, mode: Mode, exists: Exists, notes: List[str]) -> str:
    camera = "v4l2src device={}".format(quoted(source.target))
    size = _caps(mode.width, mode.height, mode.fps)
    if mode.fourcc in ("MJPG", "JPEG"):
        return "{} ! image/jpeg,{} ! {}".format(camera, size, _decode("mjpeg", exists, notes))
    name, handed_on = _RAW_FORMATS[mode.fourcc]
    raw = "{} ! video/x-raw,format=(string){},{}".format(camera, name, size)
    return raw if handed_on else "{} ! {}".format(raw, _convert(exists))


def _rtsp(source: SourceUri, exists: Exists, notes: List[str]) -> str:
    options = source.options
    transport = "" if options["transport"] == "auto" else " protocols={}".format(options["transport"])
    # The filter keeps a camera's sound out.
    camera = (
        "rtspsrc location={} latency={} drop-on-latency=true{} ! "
        "application/x-rtp,media=(string)video".format(quoted(source.target), options["latency"], transport)
    )
    codec = str(options["codec"])
    if codec:
        return "{} ! {} ! {}".format(camera, _DEPAYLOADERS[codec], _decode(codec, exists, notes))
    return "{} ! {}".format(camera, _decode("", exists, notes))


def _http(source: SourceUri, exists: Exists, notes: List[str]) -> str:
    parts = urlsplit(source.target)
    login = ""
    if parts.username is not None:
        login = " user-id={} user-pw={}".format(
            quoted(unquote(parts.username)), quoted(unquote(parts.password or ""))
        )
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return (
        "souphttpsrc location={}{} is-live=true timeout={} ! multipartdemux single-stream=true ! {}".format(
            quoted(address), login, source.options["timeout"], _decode("mjpeg", exists, notes)
        )
    )


def _file(source: SourceUri, exists: Exists, notes: List[str]) -> str:
    return "filesrc location={} ! {}".format(quoted(source.target), _decode("", exists, notes))


def _decode(codec: str, exists: Exists, notes: List[str]) -> str:
    """The decoder and the conversion to BGRx; with no codec named, GStreamer chooses by the stream."""
    if not codec:
        return "decodebin ! " + _convert(exists)
    for decoder in _HARDWARE_DECODERS[codec]:
        if exists(decoder.split()[0]):
            return "{} ! {}".format(decoder, _convert(exists))
    tried = ", ".join(decoder.split()[0] for decoder in _HARDWARE_DECODERS[codec])
    software = _SOFTWARE_DECODERS[codec] if exists(_SOFTWARE_DECODERS[codec]) else "decodebin"
    notes.append("{} is decoded on the CPU by {}: there is no {}".format(codec.upper(), software, tried))
    return "{} ! {}".format(software, _convert(exists))


def _convert(exists: Exists) -> str:
    """nvvidconv where there is one: it takes what lies in NVMM, and does not use the CPU."""
    return "{} ! {}".format("nvvidconv" if exists("nvvidconv") else "videoconvert", _BGRX)


def _own_pipeline(source: SourceUri) -> Pipeline:
    """The user's pipeline, with what its appsink lacks; with an appsink where it has none."""
    head, last = _split_last(source.target)
    words = last.split()
    if not words:
        raise UsageError("source {}: the pipeline ends in '!'; expected an element".format(source.shown))
    if words[0] != "appsink":
        if re.match(r"\w*sink\Z", words[0]):
            raise UsageError(
                "source {}: the pipeline ends in {}; expected appsink, or no sink".format(
                    source.shown, words[0]
                )
            )
        converted = "{} ! videoconvert ! {}".format(source.target, _READABLE)
        return Pipeline("{} ! {}".format(converted, _appsink(_NEWEST_ONLY)), SINK, [])
    if not head:
        raise UsageError("source {}: nothing comes before the appsink".format(source.shown))
    named = re.search(r"\sname\s*=\s*\"?([\w-]+)", last)
    wanted = dict(_NEWEST_ONLY, caps=quoted(_READABLE))
    if named is None:
        wanted["name"] = SINK
    missing = [
        "{}={}".format(name, value)
        for name, value in sorted(wanted.items())
        if not re.search(r"\s{}\s*=".format(name), last)
    ]
    text = "{} ! {} {}".format(head.rstrip(), last.strip(), " ".join(missing))
    return Pipeline(text.rstrip(), SINK if named is None else named.group(1), [])


def _split_last(pipeline: str) -> Tuple[str, str]:
    """A pipeline at its last ``!`` that stands in no quotes; nothing before it where there is none."""
    outside = re.sub(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", lambda quote: " " * len(quote.group()), pipeline)
    at = outside.rfind("!")
    return (pipeline[: max(at, 0)], pipeline[at + 1 :])


def _require(text: str, source: SourceUri, exists: Exists) -> None:
    for part in re.sub(r"\"(?:[^\"\\]|\\.)*\"", "", text).split(" ! "):
        element = part.split()[0]
        if "/" not in element and not exists(element):
            raise missing_element(element, source.shown)


def missing_element(element: str, shown: str) -> LegoclfError:
    """The error for a source that needs an element which is not installed."""
    if element in ("nvarguscamerasrc", "nvvidconv"):
        return LegoclfError(
            "source {}: GStreamer has no {} here, which JetPack brings: on a Jetson, sudo apt install "
            "nvidia-l4t-gstreamer; elsewhere there is no CSI camera, use /dev/video0".format(shown, element)
        )
    package = PACKAGES.get(element)
    mend = "sudo apt install " + package if package else "gst-inspect-1.0 lists those that there are"
    return LegoclfError("source {}: GStreamer has no element {}: {}".format(shown, element, mend))


def _appsink(properties: Dict[str, str]) -> str:
    return "appsink name={} {}".format(SINK, " ".join("{}={}".format(*pair) for pair in properties.items()))


def _caps(width: int, height: int, fps: Fraction) -> str:
    size = "width=(int){},height=(int){}".format(width, height)
    rate = ",framerate=(fraction){}/{}".format(fps.numerator, fps.denominator)
    return size + rate if fps else size


def quoted(text: str) -> str:
    """``text`` as a value in a pipeline."""
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))
