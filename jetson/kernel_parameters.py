"""The kernels' arguments: the structures of kernels/preprocess.cu, field by field."""

import ctypes

#: ``Image.format`` of the pixel formats that a frame may have.
FORMATS = {"BGR": 0, "BGRx": 1, "NV12": 2, "YUYV": 3}

#: ``Image.format`` of what the kernel ``block_means`` writes.
RGBX = 4


class Image(ctypes.Structure):
    """A part of an image on the device."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("format", ctypes.c_int),
        ("stride", ctypes.c_int),
        ("rows", ctypes.c_int),
        ("left", ctypes.c_int),
        ("top", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
    ]


class BlockMeans(ctypes.Structure):
    """The argument of ``block_means``."""

    _fields_ = [("image", Image), ("means", ctypes.c_void_p), ("side", ctypes.c_int)]


class Fit(ctypes.Structure):
    """The argument of ``fit``."""

    _fields_ = [
        ("image", Image),
        ("values", ctypes.c_void_p),
        ("tensor", ctypes.c_void_p),
        ("half", ctypes.c_int),
        ("bgr", ctypes.c_int),
        ("out_width", ctypes.c_int),
        ("out_height", ctypes.c_int),
        ("left", ctypes.c_int),
        ("top", ctypes.c_int),
        ("size_width", ctypes.c_int),
        ("size_height", ctypes.c_int),
        ("shrunk_width", ctypes.c_int),
        ("shrunk_height", ctypes.c_int),
    ]
