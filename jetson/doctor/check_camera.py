"""Checks of cameras, the video encoder and the deep learning accelerators."""

import errno
from typing import Dict, List, NamedTuple, Optional

from legoclf.errors import LegoclfError
from legoclf.jetson.doctor.boards import find_board
from legoclf.jetson.doctor.check import Finding, not_here, note, ok, problem
from legoclf.jetson.doctor.facts import Facts
from legoclf.jetson.v4l2 import PREFERRED, Mode

#: What Tegra's V4L2 driver calls a CSI sensor: "vi-output, imx219 6-0010".
_CSI_NAME = "vi-output"

_RESTART_ARGUS = "sudo systemctl restart nvargus-daemon"

#: The encoder's device, from JetPack 6 on and before.
_ENCODERS = ("/dev/v4l2-nvenc", "/dev/nvhost-msenc")


class _Camera(NamedTuple):
    """One device: what it says of itself, and the errno that kept it from being opened."""

    device: str
    name: str
    modes: List[Mode]
    refusal: str
    code: Optional[int]

    @property
    def is_csi(self) -> bool:
        return self.name.startswith(_CSI_NAME)


def check_cameras(facts: Facts) -> Finding:
    """The V4L2 cameras and their formats."""
    cameras = [camera for camera in _cameras(facts) if not camera.is_csi]
    if not cameras:
        return not_here("no USB camera: /dev/video* has none")
    told = "; ".join(_describe(camera) for camera in cameras)
    if any(camera.code in (errno.EACCES, errno.EPERM) for camera in cameras):
        return problem(told, "sudo usermod -aG video $USER, then log out and in again")
    busy = [camera.device for camera in cameras if camera.code == errno.EBUSY]
    if busy:
        return note(told, "fuser -v {} says which program has it".format(busy[0]))
    usable = [mode for camera in cameras for mode in camera.modes if mode.fourcc in PREFERRED]
    if not usable:
        return problem(told, "use a camera with one of {}".format(", ".join(PREFERRED[:4])))
    return ok(told)


def check_csi(facts: Facts) -> Finding:
    """CSI sensors, and the daemon through which they are read."""
    if not facts.is_jetson:
        return not_here("only Jetsons have CSI cameras")
    sensors = [
        "{} ({})".format(camera.name[len(_CSI_NAME) :].strip(", "), camera.device)
        for camera in _cameras(facts)
        if camera.is_csi
    ]
    if not sensors:
        return not_here(
            "no sensor", "for one that is plugged in: switch off, press its ribbon cable home at both ends"
        )
    text = ", ".join(sensors)
    if facts.exists("/tmp/argus_socket"):
        if facts.is_container or _runs(facts, "nvargus-daemon"):
            return ok("{} by nvargus-daemon; if it hangs: {}".format(text, _RESTART_ARGUS))
        return problem("{}, but nvargus-daemon does not run".format(text), _RESTART_ARGUS)
    if facts.is_container:
        return problem(
            "{}, but this container has no /tmp/argus_socket".format(text),
            "start the container with --volume /tmp/argus_socket:/tmp/argus_socket",
        )
    return problem("{}, but there is no /tmp/argus_socket".format(text), _RESTART_ARGUS)


def check_encoder(facts: Facts) -> Finding:
    """The hardware video encoder; legoclf's own videos are made by the CPU."""
    if not facts.is_jetson:
        return not_here("no Jetson")
    board = find_board(facts.device.model)
    if board is not None and not board.nvenc:
        return not_here("this board has no video encoder (NVENC): the CPU encodes")
    found = [path for path in _ENCODERS if facts.exists(path)]
    if found:
        return ok("NVENC ({})".format(found[0]))
    if board is None:
        return not_here("no {}".format(" or ".join(_ENCODERS)))
    return note(
        "the board has NVENC, and its device is not here",
        "start the container with --runtime nvidia" if facts.is_container else "sudo reboot",
    )


def check_dla(facts: Facts) -> Finding:
    """Deep learning accelerators, for `legoclf build-engine --dla_core`."""
    if not facts.is_jetson:
        return not_here("no Jetson")
    board = find_board(facts.device.model)
    cores = facts.find("/dev/nvhost-ctrl-nvdla[0-9]*")
    if board is not None and not board.dla:
        return not_here("this board has none: the GPU runs all")
    if cores:
        return ok("{} ({})".format(len(cores), ", ".join(cores)))
    if board is None:
        return not_here("no /dev/nvhost-ctrl-nvdla*")
    return ok("{} by NVIDIA's data sheet; no device of theirs tells it here".format(board.dla))


def _cameras(facts: Facts) -> List[_Camera]:
    """The devices that capture video; a camera's second one, of metadata, is left out."""
    found = []
    for device in facts.find("/dev/video[0-9]*"):
        name = facts.read("/sys/class/video4linux/{}/name".format(device[len("/dev/") :]))
        if name.startswith(_CSI_NAME):
            found.append(_Camera(device, name, [], "", None))
            continue
        try:
            found.append(_Camera(device, name, facts.modes(facts.path(device)), "", None))
        except LegoclfError as error:
            cause = error.__cause__
            if cause is None:
                continue
            code = cause.errno if isinstance(cause, OSError) else None
            found.append(_Camera(device, name, [], str(error), code))
    return found


def _describe(camera: _Camera) -> str:
    title = "{}{}".format(camera.device, " ({})".format(camera.name) if camera.name else "")
    if camera.refusal:
        reasons = {errno.EACCES: "may not be opened", errno.EPERM: "may not be opened", errno.EBUSY: "in use"}
        return "{}: {}".format(title, reasons.get(camera.code or 0, "does not answer as a camera"))
    largest: Dict[str, Mode] = {}
    for mode in camera.modes:
        best = largest.get(mode.fourcc)
        if best is None or (mode.width * mode.height, mode.fps) > (best.width * best.height, best.fps):
            largest[mode.fourcc] = mode
    formats = [
        "{} up to {}x{}{}".format(
            mode.fourcc.strip(),
            mode.width,
            mode.height,
            " at {:g}/s".format(float(mode.fps)) if mode.fps else "",
        )
        for mode in largest.values()
    ]
    return "{}: {}".format(title, ", ".join(formats) or "no formats")


def _runs(facts: Facts, program: str) -> bool:
    """Whether a process of that name is there; the kernel keeps 15 letters of it."""
    return any(facts.read(path) == program[:15] for path in facts.find("/proc/[0-9]*/comm"))
