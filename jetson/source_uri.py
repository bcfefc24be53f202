"""What a source's URI means.

    csi://0?width=1280&height=720&fps=30&flip=0&mode=&format=BGRx      a camera on the CSI connector (Jetson)
    /dev/video0?width=640&height=480&fps=30&format=MJPG                 a camera by V4L2, also v4l2:///dev/video0
    rtsp://user:password@host/path#latency=100&transport=tcp&codec=    a network camera
    http://host/stream#timeout=5                                        MJPEG over HTTP, also https://
    clip.mp4                                                            a video, also file:///folder/clip.mp4
    photos/                                                             a folder of images, or one image
    gst://videotestsrc ! videoconvert                                   a GStreamer pipeline
    synthetic://?width=640&height=480&fps=30&format=BGR&frames=0        frames made in memory

The options stand after ``?``; those of rtsp and http after ``#``, as what is after their ``?`` is the
camera's own. A percent sign in a network address or in a file:// URI begins an escape; in a plain path it
is a percent sign.
"""

import os
import re
from typing import Callable, Dict, NamedTuple
from urllib.parse import unquote, urlsplit

from legoclf.errors import UsageError, printable
from legoclf.image import is_image_name
from legoclf.jetson.uri_options import Value, shown, split_options

KINDS = ("csi", "v4l2", "rtsp", "http", "file", "images", "gst", "synthetic")
#: What ends; all others are cameras, which go on for ever.
ENDING_KINDS = ("file", "images")


class SourceUri(NamedTuple):
    """A source, parsed.

    kind: one of KINDS.
    target: sensor number (csi), device (v4l2), whole address without our options (rtsp, http), path (file,
        images), pipeline (gst), or nothing (synthetic).
    options: all that the kind has, with its default where the URI says nothing.
    shown: the URI as it may be logged: in one line, and without a password.
    """

    kind: str
    target: str
    options: Dict[str, Value]
    shown: str

    @property
    def is_live(self) -> bool:
        """Whether frames come when they come and only the newest counts."""
        return self.kind not in ENDING_KINDS


def parse_source(uri: str) -> SourceUri:
    """Parse a source's URI; only whether a path is a folder or a file is looked up.

    Raises:
        UsageError: one line that names the part that is wrong and the mend.
    """
    if not uri:
        raise UsageError("the source is empty; expected one such as csi://0, /dev/video0 or clip.mp4")
    if "\0" in uri:
        raise UsageError("the source {} has a zero byte in it".format(printable(uri)))
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", uri)
    if match is None:
        return _parse_path(uri)
    scheme, rest = match.group(1).lower(), uri[match.end() :]
    if scheme not in _PARSERS:
        raise UsageError(
            "source {}: unknown scheme {}://; expected one of {}, or a path".format(
                shown(uri), scheme, ", ".join(name + "://" for name in sorted(_PARSERS))
            )
        )
    return _PARSERS[scheme](uri, rest)


def _parse_path(uri: str) -> SourceUri:
    if re.match(r"/dev/(video[0-9]|v4l/)", uri):
        return _parse_v4l2(uri, uri)
    return _path_source(uri, uri)


def _path_source(uri: str, path: str) -> SourceUri:
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        return SourceUri("images", path, {}, printable(uri))
    if not os.path.exists(path):
        raise UsageError("source {}: there is no such file or folder".format(printable(uri)))
    if is_image_name(path):
        return SourceUri("images", path, {}, printable(uri))
    return SourceUri("file", path, {}, printable(uri))


def _parse_file(uri: str, rest: str) -> SourceUri:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise UsageError(
            "source {}: file:// takes a whole path, as in file:///home/user/clip.mp4; "
            "a relative one stands alone, as in clip.mp4".format(printable(uri))
        )
    return _path_source(uri, "/" + unquote(path))


def _parse_csi(uri: str, rest: str) -> SourceUri:
    sensor, options = split_options("csi", uri, rest, "?")
    if not re.match(r"[0-9]{1,2}\Z", sensor):
        raise UsageError(
            "source {}: the sensor is '{}'; expected its number, as in csi://0".format(printable(uri), sensor)
        )
    return SourceUri("csi", str(int(sensor)), options, printable(uri))


def _parse_v4l2(uri: str, rest: str) -> SourceUri:
    device, options = split_options("v4l2", uri, rest, "?")
    if re.match(r"[0-9]{1,3}\Z", device):
        device = "/dev/video" + device
    if not re.match(r"/dev/[^/].*\Z", device):
        raise UsageError(
            "source {}: the device is '{}'; expected one such as v4l2:///dev/video0".format(
                printable(uri), printable(device)
            )
        )
    if bool(options["width"]) != bool(options["height"]):
        missing = "height" if options["width"] else "width"
        raise UsageError("source {}: give {} too, or neither".format(printable(uri), missing))
    return SourceUri("v4l2", device, options, printable(uri))


def _parse_network(uri: str, rest: str) -> SourceUri:
    kind = "rtsp" if uri.lower().startswith("rtsp") else "http"
    address, options = split_options(kind, uri, uri, "#")
    if re.search(r"[\s\"\\]", address):
        raise UsageError(
            "source {}: the address has a space, quote or backslash in it; "
            "write it percent-encoded, as in %20".format(shown(uri))
        )
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("source {}: {}".format(shown(uri), error)) from error
    if not host or port == 0:
        raise UsageError(
            "source {}: the {} is missing; expected {}://host:port/path".format(
                shown(uri), "port" if host else "host", kind
            )
        )
    return SourceUri(kind, address, options, shown(uri))


def _parse_gst(uri: str, rest: str) -> SourceUri:
    # Whoever has URI habits may write gst:///, which would be an element named /.
    pipeline = rest.lstrip("/").strip()
    if not pipeline:
        raise UsageError("source {}: the pipeline is missing; expected gst://ELEMENT ! ELEMENT".format(uri))
    return SourceUri("gst", pipeline, {}, shown(uri))


def _parse_synthetic(uri: str, rest: str) -> SourceUri:
    target, options = split_options("synthetic", uri, rest, "?")
    if target.strip("/"):
        raise UsageError(
            "source {}: synthetic:// takes options only, as in synthetic://?width=640&height=480".format(
                printable(uri)
            )
        )
    return SourceUri("synthetic", "", options, printable(uri))


_PARSERS: Dict[str, Callable[[str, str], SourceUri]] = {
    "csi": _parse_csi,
    "v4l2": _parse_v4l2,
    "rtsp": _parse_network,
    "rtsps": _parse_network,
    "http": _parse_network,
    "https": _parse_network,
    "file": _parse_file,
    "gst": _parse_gst,
    "synthetic": _parse_synthetic,
}


def hide_password(text: str, source: SourceUri) -> str:
    """``text``, which a library or a pipeline has, in one line and without the source's password."""
    if source.kind in ("rtsp", "http"):
        password = urlsplit(source.target).password
        if password:
            text = text.replace(password, "***").replace(unquote(password), "***")
    return shown(text)
