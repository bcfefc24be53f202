"""GStreamer through its C library, by ctypes: no binding has to be installed beside it.

JetPack's OpenCV can run a pipeline too, but its 4.1.1 takes no BGRx, waits for a frame without end, and does
not tell an error from the end of a stream; pip's OpenCV has no GStreamer at all. The C interface has been
stable since 1.0; what is used here is in 1.14, JetPack 4.6's.
"""

import ctypes
import functools
import re
import types
from ctypes import POINTER, Structure, c_char_p, c_int, c_size_t, c_uint, c_uint32, c_uint64, c_void_p
from typing import Any, List, NamedTuple, Optional, Tuple

from legoclf.errors import LegoclfError

_STATE_NULL, _STATE_PLAYING, _STATE_CHANGE_FAILURE = 1, 4, 0
_MESSAGE_ERROR = 1 << 1
_MAP_READ = 1
_NS = 10**9
#: GStreamer's names of legoclf's pixel formats.
PIXEL_FORMATS = {"BGR": "BGR", "BGRx": "BGRx", "NV12": "NV12", "YUY2": "YUYV"}


class _GError(Structure):
    _fields_ = [("domain", c_uint32), ("code", c_int), ("message", c_char_p)]


class _MapInfo(Structure):
    _fields_ = [
        ("memory", c_void_p),
        ("flags", c_int),
        ("data", c_void_p),
        ("size", c_size_t),
        ("maxsize", c_size_t),
        ("reserved", c_void_p * 8),
    ]


class _VideoMeta(Structure):
    _fields_ = [
        ("meta_flags", c_int),
        ("meta_info", c_void_p),
        ("buffer", c_void_p),
        ("flags", c_int),
        ("format", c_int),
        ("id", c_int),
        ("width", c_uint),
        ("height", c_uint),
        ("planes", c_uint),
        ("offset", c_size_t * 4),
        ("stride", c_int * 4),
    ]


#: Function: its library, what it returns, what it takes.
_FUNCTIONS = {
    "gst_init_check": ("gstreamer", c_int, [c_void_p, c_void_p, POINTER(POINTER(_GError))]),
    "gst_element_factory_find": ("gstreamer", c_void_p, [c_char_p]),
    "gst_parse_launch": ("gstreamer", c_void_p, [c_char_p, POINTER(POINTER(_GError))]),
    "gst_bin_get_by_name": ("gstreamer", c_void_p, [c_void_p, c_char_p]),
    "gst_bin_iterate_recurse": ("gstreamer", c_void_p, [c_void_p]),
    "gst_iterator_foreach": ("gstreamer", c_int, [c_void_p, c_void_p, c_void_p]),
    "gst_iterator_free": ("gstreamer", None, [c_void_p]),
    "gst_element_get_factory": ("gstreamer", c_void_p, [c_void_p]),
    "gst_element_factory_get_metadata": ("gstreamer", c_char_p, [c_void_p, c_char_p]),
    "gst_object_get_name": ("gstreamer", c_void_p, [c_void_p]),
    "gst_element_set_state": ("gstreamer", c_int, [c_void_p, c_int]),
    "gst_element_get_bus": ("gstreamer", c_void_p, [c_void_p]),
    "gst_bus_pop_filtered": ("gstreamer", c_void_p, [c_void_p, c_int]),
    "gst_message_parse_error": ("gstreamer", None, [c_void_p, POINTER(POINTER(_GError)), POINTER(c_void_p)]),
    "gst_mini_object_unref": ("gstreamer", None, [c_void_p]),
    "gst_object_unref": ("gstreamer", None, [c_void_p]),
    "gst_sample_get_buffer": ("gstreamer", c_void_p, [c_void_p]),
    "gst_sample_get_caps": ("gstreamer", c_void_p, [c_void_p]),
    "gst_caps_get_structure": ("gstreamer", c_void_p, [c_void_p, c_uint]),
    "gst_caps_to_string": ("gstreamer", c_void_p, [c_void_p]),
    "gst_structure_get_int": ("gstreamer", c_int, [c_void_p, c_char_p, POINTER(c_int)]),
    "gst_structure_get_string": ("gstreamer", c_char_p, [c_void_p, c_char_p]),
    "gst_buffer_map": ("gstreamer", c_int, [c_void_p, POINTER(_MapInfo), c_int]),
    "gst_buffer_unmap": ("gstreamer", None, [c_void_p, POINTER(_MapInfo)]),
    "gst_app_sink_try_pull_sample": ("gstapp", c_void_p, [c_void_p, c_uint64]),
    "gst_app_sink_is_eos": ("gstapp", c_int, [c_void_p]),
    "gst_buffer_get_video_meta": ("gstvideo", POINTER(_VideoMeta), [c_void_p]),
    "g_value_get_object": ("gobject", c_void_p, [c_void_p]),
    "g_free": ("glib", None, [c_void_p]),
    "g_error_free": ("glib", None, [POINTER(_GError)]),
}
_LIBRARIES = {
    "gstreamer": "libgstreamer-1.0.so.0",
    "gstapp": "libgstapp-1.0.so.0",
    "gstvideo": "libgstvideo-1.0.so.0",
    "gobject": "libgobject-2.0.so.0",
    "glib": "libglib-2.0.so.0",
}
_EACH_ELEMENT = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


class Plane(NamedTuple):
    """Rows of one plane of a picture in memory, in bytes: where the first begins, how far they are apart."""

    offset: int
    stride: int


class Picture(NamedTuple):
    """A decoded frame in GStreamer's memory, valid until :meth:`GStreamerPipeline.release`.

    pixel_format: one of legoclf.jetson.frame.PIXEL_FORMATS.
    planes: one, or for NV12 that of Y and that of U and V.
    """

    address: int
    nbytes: int
    pixel_format: str
    width: int
    height: int
    planes: Tuple[Plane, ...]


@functools.lru_cache(maxsize=None)
def load_gstreamer() -> Any:
    """The library's functions as attributes, initialised.

    Raises:
        OSError: it is not installed, or does not start.
    """
    loaded = {key: ctypes.CDLL(name) for key, name in _LIBRARIES.items()}
    functions = {}
    for name, (home, result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded[home], name)
        function.restype, function.argtypes = result, arguments
        functions[name] = function
    library: Any = types.SimpleNamespace(**functions)
    error = POINTER(_GError)()
    if not library.gst_init_check(None, None, ctypes.byref(error)):
        raise OSError("GStreamer does not start: " + error.contents.message.decode("utf-8", "replace"))
    return library


def has_element(name: str) -> bool:
    """Whether GStreamer has an element of that name here."""
    library = load_gstreamer()
    factory = library.gst_element_factory_find(name.encode())
    if factory:
        library.gst_object_unref(factory)
    return bool(factory)


class GStreamerPipeline:
    """A running pipeline whose appsink is read frame by frame: pull, release, pull, release, …, close."""

    def __init__(self, text: str, sink: str) -> None:
        """Start it.

        Raises:
            LegoclfError: the text is no pipeline, or the pipeline does not start.
        """
        self._lib = load_gstreamer()
        self._map: Optional[Tuple[int, int, _MapInfo]] = None
        error = POINTER(_GError)()
        self._pipeline = self._lib.gst_parse_launch(
            text.encode("utf-8", "surrogateescape"), ctypes.byref(error)
        )
        if error:
            # A pipeline may be returned with it, in which what was not understood is missing.
            raise LegoclfError("GStreamer: {}".format(self._take(error)))
        self._sink = self._lib.gst_bin_get_by_name(self._pipeline, sink.encode())
        if not self._sink:
            raise LegoclfError("GStreamer: the pipeline has no appsink named {}".format(sink))
        self._bus = self._lib.gst_element_get_bus(self._pipeline)
        if self._lib.gst_element_set_state(self._pipeline, _STATE_PLAYING) == _STATE_CHANGE_FAILURE:
            raise LegoclfError(self.error() or "GStreamer: the pipeline does not start")

    @property
    def ended(self) -> bool:
        """Whether the stream is over and all its frames were pulled."""
        return bool(self._lib.gst_app_sink_is_eos(self._sink))

    def pull(self, timeout_s: float) -> Optional[Picture]:
        """The next frame, to be released; None where none comes in that time, or none any more.

        Raises:
            LegoclfError: the pipeline gives frames of a kind that legoclf does not read.
        """
        sample = self._lib.gst_app_sink_try_pull_sample(self._sink, int(timeout_s * _NS))
        if not sample:
            return None
        buffer, mapped = self._lib.gst_sample_get_buffer(sample), _MapInfo()
        if not self._lib.gst_buffer_map(buffer, ctypes.byref(mapped), _MAP_READ):
            self._lib.gst_mini_object_unref(sample)
            raise LegoclfError("GStreamer: a frame's memory cannot be read; add nvvidconv ! video/x-raw")
        self._map = (sample, buffer, mapped)
        pixel_format, width, height = self._describe(self._lib.gst_sample_get_caps(sample))
        meta = self._lib.gst_buffer_get_video_meta(buffer)
        if meta:
            count = meta.contents.planes
            planes = [Plane(meta.contents.offset[i], meta.contents.stride[i]) for i in range(count)]
        else:
            planes = default_planes(pixel_format, width, height)
        return Picture(mapped.data, mapped.size, pixel_format, width, height, tuple(planes))

    def release(self) -> None:
        """Give the pulled frame's memory back."""
        if self._map is not None:
            sample, buffer, mapped = self._map
            self._map = None
            self._lib.gst_buffer_unmap(buffer, ctypes.byref(mapped))
            self._lib.gst_mini_object_unref(sample)

    def error(self) -> str:
        """What went wrong in the pipeline, in GStreamer's words; empty if nothing did."""
        message = self._lib.gst_bus_pop_filtered(self._bus, _MESSAGE_ERROR)
        if not message:
            return ""
        error, debug = POINTER(_GError)(), c_void_p()
        self._lib.gst_message_parse_error(message, ctypes.byref(error), ctypes.byref(debug))
        self._lib.gst_mini_object_unref(message)
        details = self._take_text(debug).splitlines()
        text = self._take(error)
        return (
            "GStreamer: {} ({})".format(text, details[-1].strip())
            if len(details) > 1
            else "GStreamer: " + text
        )

    def decoders(self) -> List[str]:
        """The names of the video decoders that the pipeline has now."""
        found: List[str] = []

        def look(value: int, _: object) -> None:
            factory = self._lib.gst_element_get_factory(self._lib.g_value_get_object(value))
            kind = self._lib.gst_element_factory_get_metadata(factory, b"klass") if factory else b""
            if re.match(rb"Codec/Decoder/(Video|Image)", kind or b""):
                found.append(self._take_text(c_void_p(self._lib.gst_object_get_name(factory))))

        iterator = self._lib.gst_bin_iterate_recurse(self._pipeline)
        self._lib.gst_iterator_foreach(iterator, ctypes.cast(_EACH_ELEMENT(look), c_void_p), None)
        self._lib.gst_iterator_free(iterator)
        return found

    def close(self) -> None:
        """Stop the pipeline, and with it the camera."""
        self.release()
        self._lib.gst_element_set_state(self._pipeline, _STATE_NULL)
        for item in (self._bus, self._sink, self._pipeline):
            self._lib.gst_object_unref(item)

    def _describe(self, caps: int) -> Tuple[str, int, int]:
        structure = self._lib.gst_caps_get_structure(caps, 0)
        name = (self._lib.gst_structure_get_string(structure, b"format") or b"").decode()
        width, height = c_int(), c_int()
        sized = self._lib.gst_structure_get_int(structure, b"width", ctypes.byref(width))
        sized = sized and self._lib.gst_structure_get_int(structure, b"height", ctypes.byref(height))
        if name not in PIXEL_FORMATS or not sized:
            raise LegoclfError(
                "the pipeline gives {}; expected video/x-raw in one of {}: "
                "put videoconvert before appsink".format(
                    self._take_text(c_void_p(self._lib.gst_caps_to_string(caps))), ", ".join(PIXEL_FORMATS)
                )
            )
        return PIXEL_FORMATS[name], width.value, height.value

    def _take(self, error: Any) -> str:
        text: str = error.contents.message.decode("utf-8", "replace")
        self._lib.g_error_free(error)
        return text

    def _take_text(self, text: c_void_p) -> str:
        content = ctypes.cast(text, c_char_p).value or b""
        self._lib.g_free(text)
        return content.decode("utf-8", "replace")


def default_planes(pixel_format: str, width: int, height: int) -> List[Plane]:
    """How GStreamer lays a frame out where it says nothing else: rows begin at multiples of four bytes."""
    if pixel_format == "NV12":
        stride = _round_up(width)
        return [Plane(0, stride), Plane(stride * (height + height % 2), stride)]
    return [Plane(0, _round_up(width * {"BGR": 3, "BGRx": 4, "YUYV": 2}[pixel_format]))]


def _round_up(count: int) -> int:
    return (count + 3) // 4 * 4
