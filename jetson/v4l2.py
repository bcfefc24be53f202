"""What formats, sizes and rates a V4L2 camera has, asked of its driver by ioctl, and which to take.

Numbers and layouts are those of <linux/videodev2.h>, the same on every architecture that Linux runs on here.
"""

import errno
import fcntl
import os
import struct
from fractions import Fraction
from typing import Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from legoclf.errors import LegoclfError, printable

#: Request number and bytes of each ioctl.
QUERYCAP = (0x80685600, 104)
ENUM_FMT = (0xC0405602, 64)
ENUM_FRAMESIZES = (0xC02C564A, 44)
ENUM_FRAMEINTERVALS = (0xC034564B, 52)
BUF_TYPE_VIDEO_CAPTURE = 1
CAP_VIDEO_CAPTURE = 0x00000001
CAP_DEVICE_CAPS = 0x80000000
_DISCRETE = 1
#: No driver has more; one that never says EINVAL must not keep us for ever.
_MOST_ENTRIES = 256

#: From best to worst. MJPG first: over USB 2 only it reaches full rate at more than 640x480.
PREFERRED = ("MJPG", "JPEG", "YUYV", "NV12", "UYVY", "YVYU", "YU12", "BGR3", "RGB3", "BGR4", "GREY")
#: What is chosen where the URI names neither.
DEFAULT_SIZE = (640, 480)
DEFAULT_FPS = 30.0

Ioctl = Callable[[int, int, bytearray], int]


class Mode(NamedTuple):
    """One way a camera can deliver. fps: 0 where the driver does not tell."""

    fourcc: str
    width: int
    height: int
    fps: Fraction


def read_modes(
    device: str,
    size: Optional[Tuple[int, int]] = None,
    fps: float = DEFAULT_FPS,
    ioctl: Ioctl = fcntl.ioctl,
) -> List[Mode]:
    """Every mode of the camera ``device``.

    Args:
        device: such as /dev/video0.
        size, fps: what is wanted (width and height; a second), which counts where the camera has ranges.
        ioctl: ``fcntl.ioctl``, or what stands in for it.

    Raises:
        LegoclfError: it cannot be opened, or captures no video.
    """
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unopened(device, error) from error
    try:
        _check_captures(descriptor, device, ioctl)
        modes: List[Mode] = []
        for fourcc in _formats(descriptor, ioctl):
            for width, height in _sizes(descriptor, fourcc, size or DEFAULT_SIZE, ioctl):
                for rate in _rates(descriptor, fourcc, width, height, fps, ioctl) or [Fraction(0)]:
                    modes.append(Mode(fourcc.decode("latin-1"), width, height, rate))
        return modes
    except OSError as error:
        raise LegoclfError(
            "{} does not answer as a V4L2 camera: {}; expected one of those that v4l2-ctl --list-devices "
            "lists".format(printable(device), error.strerror)
        ) from error
    finally:
        os.close(descriptor)


def choose_mode(
    modes: Sequence[Mode], device: str, size: Optional[Tuple[int, int]], fps: float, fourcc: str
) -> Mode:
    """The mode to open a camera in.

    Args:
        modes: what it has.
        device: what errors name.
        size: width and height that it MUST have; None for the nearest to DEFAULT_SIZE.
        fps: the rate that is wanted, 0 for DEFAULT_FPS; the nearest is taken.
        fourcc: the format that it MUST have; empty for the first of PREFERRED.

    Raises:
        LegoclfError: it has none such; the message says what it has.
    """
    name = printable(device)
    offered = sorted({mode.fourcc.strip() for mode in modes})
    usable = [mode for mode in modes if mode.fourcc in PREFERRED]
    if not usable:
        raise LegoclfError(_no_format(name, offered))
    if fourcc:
        usable = [mode for mode in usable if mode.fourcc == fourcc]
        if not usable:
            raise LegoclfError(
                "{} has no format {}; it has {}".format(name, fourcc.strip(), ", ".join(offered))
            )
    if size is not None:
        fitting = [mode for mode in usable if (mode.width, mode.height) == size]
        if not fitting:
            sizes = sorted({(mode.width, mode.height) for mode in usable})
            raise LegoclfError(
                "{} has no size {}x{}; it has {}".format(
                    name, *size, ", ".join("{}x{}".format(*one) for one in sizes)
                )
            )
        usable = fitting
    wanted_w, wanted_h = size or DEFAULT_SIZE
    wanted_fps = fps or DEFAULT_FPS

    def badness(mode: Mode) -> Tuple[int, float, int]:
        off = abs(float(mode.fps) - wanted_fps) if mode.fps else 0.0
        # 0.5: MJPG at 29.97 is not to lose to YUYV at 30.
        return (
            abs(mode.width - wanted_w) + abs(mode.height - wanted_h),
            off if off > 0.5 else 0.0,
            PREFERRED.index(mode.fourcc),
        )

    return min(usable, key=badness)


def exact_rate(fps: float) -> Fraction:
    """A rate as a fraction: 29.97 is 30000/1001, as cameras mean it; other rates to a thousandth."""
    ntsc = round(fps) * Fraction(1000, 1001)
    return ntsc if abs(float(ntsc) - fps) < 0.005 else Fraction(fps).limit_denominator(1000)


def _no_format(name: str, offered: List[str]) -> str:
    bayer = [one for one in offered if one[:2] in ("RG", "BG", "GB", "GR", "BA", "pR", "pB", "pG", "pg")]
    if bayer:
        return (
            "{} gives raw Bayer only ({}): it is a CSI sensor, whose pictures come through the ISP; "
            "use csi://0".format(name, ", ".join(bayer))
        )
    return "{} has no format that can be used: it has {}, expected one of {}".format(
        name, ", ".join(offered) or "none", ", ".join(PREFERRED)
    )


def _unopened(device: str, error: OSError) -> LegoclfError:
    name = printable(device)
    if error.errno == errno.ENOENT:
        present = sorted(entry for entry in os.listdir("/dev") if entry.startswith("video"))
        there = "there are " + ", ".join("/dev/" + entry for entry in present) if present else "there is none"
        return LegoclfError("there is no camera {}: plug it in, or name another ({})".format(name, there))
    if error.errno == errno.EACCES:
        return LegoclfError(
            "{} may not be opened: add yourself to its group (sudo usermod -aG video $USER) "
            "and log in again".format(name)
        )
    if error.errno == errno.EBUSY:
        return LegoclfError(
            "{} is in use by another program: end it (fuser {} says which)".format(name, name)
        )
    return LegoclfError("cannot open {}: {}".format(name, error.strerror))


def _check_captures(descriptor: int, device: str, ioctl: Ioctl) -> None:
    request, size = QUERYCAP
    answer = bytearray(size)
    ioctl(descriptor, request, answer)
    capabilities, device_caps = struct.unpack_from("=II", answer, 84)
    # A camera has further nodes, of metadata, whose capabilities are the whole camera's.
    own = device_caps if capabilities & CAP_DEVICE_CAPS else capabilities
    if not own & CAP_VIDEO_CAPTURE:
        raise LegoclfError(
            "{} captures no video (many cameras have a second device for metadata): "
            "use the one before it, such as /dev/video0".format(printable(device))
        )


def _enumerate(descriptor: int, ioctl: Ioctl, request: Tuple[int, int], *fixed: int) -> Iterable[bytearray]:
    """The answers by index, until the driver says that there is no such index.

    fixed: what stands after the index.
    """
    number, size = request
    for index in range(_MOST_ENTRIES):
        entry = bytearray(size)
        struct.pack_into("={}I".format(1 + len(fixed)), entry, 0, index, *fixed)
        try:
            ioctl(descriptor, number, entry)
        except OSError as error:
            # ENOTTY: a driver that cannot enumerate that at all.
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise
        yield entry


def _formats(descriptor: int, ioctl: Ioctl) -> List[bytes]:
    """v4l2_fmtdesc: index, type, flags, description[32], pixelformat."""
    answers = _enumerate(descriptor, ioctl, ENUM_FMT, BUF_TYPE_VIDEO_CAPTURE)
    return [bytes(answer[44:48]) for answer in answers]


def _sizes(descriptor: int, fourcc: bytes, wanted: Tuple[int, int], ioctl: Ioctl) -> List[Tuple[int, int]]:
    """v4l2_frmsizeenum: index, pixel_format, type, then a size or the least, most and step of both sides."""
    sizes = []
    for answer in _enumerate(descriptor, ioctl, ENUM_FRAMESIZES, fourcc_number(fourcc)):
        kind, *numbers = struct.unpack_from("=7I", answer, 8)
        if kind == _DISCRETE:
            sizes.append((numbers[0], numbers[1]))
            continue
        low_w, high_w, step_w, low_h, high_h, step_h = numbers
        sizes.append((_nearest(wanted[0], low_w, high_w, step_w), _nearest(wanted[1], low_h, high_h, step_h)))
        break  # a range has one entry only
    return sizes


def _rates(
    descriptor: int, fourcc: bytes, width: int, height: int, wanted_fps: float, ioctl: Ioctl
) -> List[Fraction]:
    """v4l2_frmivalenum: index, pixel_format, width, height, type, then seconds as a fraction: one, or the
    least, most and step of a range, of which the rate nearest to the wanted one is given."""
    rates = []
    for answer in _enumerate(descriptor, ioctl, ENUM_FRAMEINTERVALS, fourcc_number(fourcc), width, height):
        kind, *numbers = struct.unpack_from("=5I", answer, 16)
        if kind == _DISCRETE:
            if numbers[0] and numbers[1]:
                rates.append(Fraction(numbers[1], numbers[0]))
            continue
        if all(numbers):
            fastest, slowest = Fraction(numbers[1], numbers[0]), Fraction(numbers[3], numbers[2])
            wanted = exact_rate(wanted_fps)
            rates.append(min(max(wanted, slowest), fastest))
        break  # a range has one entry only
    return rates


def fourcc_number(fourcc: bytes) -> int:
    """The number by which V4L2 and OpenCV know a format."""
    number: int = struct.unpack("<I", fourcc)[0]
    return number


def _nearest(wanted: int, low: int, high: int, step: int) -> int:
    """The size of a range that is nearest to what is wanted."""
    step = max(step, 1)
    clamped = min(max(wanted, low), high)
    return low + (clamped - low) // step * step
