"""A camera's modes, from a driver that answers as videodev2.h says, and which of them is taken."""

import errno
import os
import shutil
import struct
import subprocess
from fractions import Fraction

import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson import v4l2
from legoclf.jetson.v4l2 import Mode, choose_mode, read_modes

VIDEO_CAPTURE, META_CAPTURE, DEVICE_CAPS = 0x1, 0x00800000, 0x80000000

#: Logitech C270-like: format, then sizes with the seconds of a frame.
WEBCAM = {
    b"YUYV": {(640, 480): [(1, 30), (1, 15)], (1280, 720): [(2, 15)]},
    b"MJPG": {(640, 480): [(1, 30), (1, 15)], (1280, 720): [(1, 30)]},
}


class Driver:
    """Answers the four ioctls for a camera of discrete sizes."""

    def __init__(self, formats, capabilities=VIDEO_CAPTURE | DEVICE_CAPS, device_caps=VIDEO_CAPTURE):
        self.formats = formats
        self.capabilities = (capabilities, device_caps)

    def __call__(self, descriptor, request, buffer):
        os.fstat(descriptor)  # the device is open
        answers = {
            v4l2.QUERYCAP: self.querycap,
            v4l2.ENUM_FMT: self.enum_fmt,
            v4l2.ENUM_FRAMESIZES: self.enum_framesizes,
            v4l2.ENUM_FRAMEINTERVALS: self.enum_frameintervals,
        }
        number, answer = next((key, one) for key, one in answers.items() if key[0] == request)
        assert len(buffer) == number[1]
        try:
            answer(buffer)
        except IndexError:
            raise OSError(errno.EINVAL, "Invalid argument") from None
        return 0

    def querycap(self, buffer):
        struct.pack_into(
            "=16s32s32sIII", buffer, 0, b"uvcvideo", b"C270", b"usb", 0x060001, *self.capabilities
        )

    def enum_fmt(self, buffer):
        index, kind = struct.unpack_from("=II", buffer)
        assert kind == 1
        struct.pack_into("=32s4s", buffer, 12, b"a description", list(self.formats)[index])

    def enum_framesizes(self, buffer):
        index, fourcc = struct.unpack_from("=I4s", buffer)
        struct.pack_into("=III", buffer, 8, 1, *list(self.formats[fourcc])[index])

    def enum_frameintervals(self, buffer):
        index, fourcc, width, height = struct.unpack_from("=I4sII", buffer)
        struct.pack_into("=III", buffer, 16, 1, *self.formats[fourcc][(width, height)][index])


class RangeDriver(Driver):
    """A camera that takes every size and rate of a range, by steps."""

    def enum_framesizes(self, buffer):
        if struct.unpack_from("=I", buffer)[0]:
            raise IndexError
        struct.pack_into("=7I", buffer, 8, 3, 32, 2592, 16, 32, 1944, 8)

    def enum_frameintervals(self, buffer):
        if struct.unpack_from("=I", buffer)[0]:
            raise IndexError
        struct.pack_into("=5I", buffer, 16, 3, 1, 60, 1, 5)


@pytest.fixture
def device(tmp_path):
    path = tmp_path / "video0"
    path.write_bytes(b"")
    return str(path)


def test_every_format_size_and_rate_is_found(device):
    assert read_modes(device, ioctl=Driver(WEBCAM)) == [
        Mode("YUYV", 640, 480, Fraction(30)),
        Mode("YUYV", 640, 480, Fraction(15)),
        Mode("YUYV", 1280, 720, Fraction(15, 2)),
        Mode("MJPG", 640, 480, Fraction(30)),
        Mode("MJPG", 640, 480, Fraction(15)),
        Mode("MJPG", 1280, 720, Fraction(30)),
    ]


def test_of_a_range_the_nearest_size_and_rate_are_found(device):
    driver = RangeDriver({b"UYVY": {}})
    assert read_modes(device, (1001, 5000), 90.0, driver) == [
        Mode("UYVY", 1000 // 16 * 16, 1944, Fraction(60))
    ]
    assert read_modes(device, (640, 480), 29.97, driver) == [Mode("UYVY", 640, 480, Fraction(30000, 1001))]


def test_a_driver_that_tells_no_rates_has_its_sizes_still(device):
    driver = Driver({b"NV12": {(640, 480): []}})
    assert read_modes(device, ioctl=driver) == [Mode("NV12", 640, 480, Fraction(0))]


def test_no_descriptor_is_kept(device):
    before = len(os.listdir("/proc/self/fd"))
    read_modes(device, ioctl=Driver(WEBCAM))
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_metadata_device_of_a_camera_is_refused_by_name(device):
    whole_camera = VIDEO_CAPTURE | META_CAPTURE | DEVICE_CAPS
    with pytest.raises(LegoclfError, match="video0 captures no video .*use the one before it"):
        read_modes(device, ioctl=Driver(WEBCAM, whole_camera, META_CAPTURE))


def test_a_device_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LegoclfError, match="there is no camera .*video7: plug it in, or name another"):
        read_modes(str(tmp_path / "video7"))


def test_a_file_that_is_no_camera_is_named(device):
    with pytest.raises(LegoclfError, match="video0 does not answer as a V4L2 camera"):
        read_modes(device)


def modes(formats):
    return [
        Mode(fourcc.decode(), width, height, Fraction(denominator, numerator))
        for fourcc, sizes in formats.items()
        for (width, height), rates in sizes.items()
        for numerator, denominator in rates
    ]


@pytest.mark.parametrize(
    ("size", "fps", "fourcc", "chosen"),
    [
        (None, 0, "", ("MJPG", 640, 480, 30)),
        (None, 15, "", ("MJPG", 640, 480, 15)),
        ((1280, 720), 0, "", ("MJPG", 1280, 720, 30)),
        ((1280, 720), 7.5, "YUYV", ("YUYV", 1280, 720, 7.5)),
        (None, 0, "YUYV", ("YUYV", 640, 480, 30)),
    ],
)
def test_the_mode_that_fits_best_is_taken(size, fps, fourcc, chosen):
    assert choose_mode(modes(WEBCAM), "/dev/video0", size, fps, fourcc) == chosen


def test_mjpg_does_not_lose_to_a_raw_format_for_a_trifle_of_rate():
    both = {b"YUYV": {(640, 480): [(1, 30)]}, b"MJPG": {(640, 480): [(1001, 30000)]}}
    assert choose_mode(modes(both), "/dev/video0", None, 30.0, "").fourcc == "MJPG"


def test_a_raw_format_that_reaches_the_rate_wins_over_mjpg_that_does_not():
    both = {b"MJPG": {(640, 480): [(1, 5)]}, b"YUYV": {(640, 480): [(1, 30)]}}
    assert choose_mode(modes(both), "/dev/video0", None, 30.0, "").fourcc == "YUYV"


@pytest.mark.parametrize(
    ("size", "fourcc", "said"),
    [
        ((800, 600), "", "/dev/video0 has no size 800x600; it has 640x480, 1280x720"),
        (None, "NV12", "/dev/video0 has no format NV12; it has MJPG, YUYV"),
    ],
)
def test_what_the_camera_has_not_is_refused_with_what_it_has(size, fourcc, said):
    with pytest.raises(LegoclfError, match=said):
        choose_mode(modes(WEBCAM), "/dev/video0", size, 0, fourcc)


@pytest.mark.parametrize("bayer", ["RG10", "BA81", "pBAA"])
def test_a_csi_sensor_by_v4l2_is_sent_to_csi(bayer):
    with pytest.raises(LegoclfError, match=r"raw Bayer only \({}\): .*use csi://0".format(bayer)):
        choose_mode([Mode(bayer, 3280, 2464, Fraction(21))], "/dev/video0", None, 0, "")


def test_a_camera_of_compressed_video_only_is_refused_with_what_is_expected():
    with pytest.raises(LegoclfError, match="it has H264, expected one of MJPG, JPEG, YUYV"):
        choose_mode([Mode("H264", 640, 480, Fraction(30))], "/dev/video0", None, 0, "")


C_PROGRAM = r"""
#include <linux/videodev2.h>
#include <stddef.h>
#include <stdio.h>
int main(void) {
    printf("%lu %zu %lu %zu %lu %zu %lu %zu ", (unsigned long)VIDIOC_QUERYCAP, sizeof(struct v4l2_capability),
           (unsigned long)VIDIOC_ENUM_FMT, sizeof(struct v4l2_fmtdesc),
           (unsigned long)VIDIOC_ENUM_FRAMESIZES, sizeof(struct v4l2_frmsizeenum),
           (unsigned long)VIDIOC_ENUM_FRAMEINTERVALS, sizeof(struct v4l2_frmivalenum));
    printf("%zu %zu %zu %zu", offsetof(struct v4l2_capability, capabilities),
           offsetof(struct v4l2_fmtdesc, pixelformat), offsetof(struct v4l2_frmsizeenum, type),
           offsetof(struct v4l2_frmivalenum, type));
    return 0;
}
"""


def test_numbers_and_layouts_are_the_kernels(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None or not os.path.exists("/usr/include/linux/videodev2.h"):
        pytest.skip("no C compiler (cc) or no kernel headers (linux/videodev2.h)")
    (tmp_path / "layout.c").write_text(C_PROGRAM)
    program = str(tmp_path / "layout")
    subprocess.check_call([compiler, "-o", program, str(tmp_path / "layout.c")])
    numbers = [int(number) for number in subprocess.check_output([program]).split()]
    assert numbers == [
        *v4l2.QUERYCAP, *v4l2.ENUM_FMT, *v4l2.ENUM_FRAMESIZES, *v4l2.ENUM_FRAMEINTERVALS, 84, 44, 8, 16
    ]  # fmt: skip
