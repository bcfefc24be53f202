"""What an engine was built from, on and for: all of it must be the same where it runs."""

import hashlib
import json
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from legoclf import __version__
from legoclf.jetson.device import read_device

KEY_LENGTH = 16

#: NVIDIA builds hardware-compatible engines for this compute capability and later.
AMPERE = (8, 0)


class Machine(NamedTuple):
    """The facts of a machine that an engine depends on; a field is empty where it is not known.

    tensorrt: version, as ``8.2.1.8`` or ``RTX 1.7.1.116``.
    cuda: version of the CUDA runtime, as ``10.2``.
    gpu: name as the driver gives it.
    compute_capability: as ``5.3``.
    l4t: release of Linux for Tegra, as ``32.7.1``; empty where the machine is no Jetson.
    """

    tensorrt: str
    cuda: str
    gpu: str
    compute_capability: str
    l4t: str


def this_machine(api: Any, cuda: Any) -> Machine:
    """The facts of this machine.

    Args:
        api: the TensorRTApi.
        cuda: an open Cuda.
    """
    capability = "{}.{}".format(*cuda.compute_capability())
    l4t = read_device().l4t or ""
    return Machine(tensorrt_version(api), cuda.runtime_version(), cuda.device_name(), capability, l4t)


def tensorrt_version(api: Any) -> str:
    """TensorRT's version as :class:`Machine` has it."""
    return "{}{}".format("RTX " if api.is_rtx else "", api.version)


class EngineIdentity(NamedTuple):
    """One engine: the fields of :class:`Machine`, what it was made from, and how.

    batch: smallest, optimal and largest batch.
    keep_fp32: nodes that an FP16 build was told to leave in FP32.
    legoclf: version of legoclf that built it.
    """

    onnx_sha256: str
    tensorrt: str
    cuda: str
    gpu: str
    compute_capability: str
    l4t: str
    precision: str
    workspace_mib: int
    batch: Tuple[int, int, int]
    optimization_level: Optional[int]
    dla_core: Optional[int]
    version_compatible: bool
    hardware_compatible: bool
    keep_fp32: Tuple[str, ...] = ()
    legoclf: str = __version__

    @property
    def key(self) -> str:
        """The name of its files: a hash over all fields."""
        text = json.dumps(self._asdict(), sort_keys=True)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:KEY_LENGTH]

    @property
    def machine(self) -> Machine:
        """The machine it was built on or for."""
        return Machine(*(getattr(self, name) for name in Machine._fields))

    def on(self, machine: Machine) -> "EngineIdentity":
        """The same engine, built by this legoclf on another machine."""
        return self._replace(legoclf=__version__, **machine._asdict())


class Difference(NamedTuple):
    """A field that differs: its value in the engine, and the one that is needed here."""

    field: str
    recorded: Any
    needed: Any

    def __str__(self) -> str:
        return "{} {} -> {}".format(self.field, _short(self.recorded), _short(self.needed))


def differences(recorded: EngineIdentity, needed: EngineIdentity) -> List[Difference]:
    """The fields in which an engine does not fit; none: it may be loaded.

    A fact of the machine that was not known when it was built, as for a GPU that was not there, fits
    any. A version-compatible engine fits later releases of the same major version, a
    hardware-compatible one every GPU since Ampere (NVIDIA's terms).
    """
    free = {name for name in Machine._fields if getattr(recorded, name) == ""}
    if recorded.version_compatible and _is_later_minor(recorded.tensorrt, needed.tensorrt):
        free |= {"tensorrt", "cuda", "l4t"}
    if recorded.hardware_compatible and _capability(needed) >= AMPERE <= _capability(recorded):
        free |= {"gpu", "compute_capability"}
    return [
        Difference(name, getattr(recorded, name), getattr(needed, name))
        for name in EngineIdentity._fields
        if name not in free and getattr(recorded, name) != getattr(needed, name)
    ]


def identity_from_json(record: Any) -> EngineIdentity:
    """The identity in a sidecar.

    Raises:
        ValueError: a field is missing, unknown or of the wrong type; the message names it.
    """
    if not isinstance(record, dict) or set(record) != set(EngineIdentity._fields):
        raise ValueError("identity: expected the fields {}".format(", ".join(EngineIdentity._fields)))
    values: Dict[str, Any] = dict(record)
    for name, kinds in _KINDS.items():
        # A bool is an int in Python and none here.
        if not isinstance(values[name], kinds) or (isinstance(values[name], bool) and bool not in kinds):
            raise ValueError("identity.{}: got {!r}".format(name, values[name]))
    batch = values["batch"]
    if len(batch) != 3 or any(not isinstance(size, int) or isinstance(size, bool) for size in batch):
        raise ValueError("identity.batch: got {!r}, expected three numbers".format(batch))
    if not all(isinstance(name, str) for name in values["keep_fp32"]):
        raise ValueError("identity.keep_fp32: got {!r}, expected names".format(values["keep_fp32"]))
    return EngineIdentity(**dict(values, batch=tuple(batch), keep_fp32=tuple(values["keep_fp32"])))


_TEXTS = ("onnx_sha256", "precision", "legoclf", *Machine._fields)
_KINDS: Dict[str, Tuple[type, ...]] = {
    "workspace_mib": (int,),
    "batch": (list,),
    "keep_fp32": (list,),
    "optimization_level": (int, type(None)),
    "dla_core": (int, type(None)),
    "version_compatible": (bool,),
    "hardware_compatible": (bool,),
}
_KINDS.update((name, (str,)) for name in _TEXTS)


def _is_later_minor(recorded: str, needed: str) -> bool:
    """Whether a TensorRT version is the same or later, of the same product and major version."""
    old, new = _version(recorded), _version(needed)
    return old[:2] == new[:2] and old <= new


def _version(text: str) -> Tuple[Any, ...]:
    """(product, major, minor, …) of ``8.6.1.6`` or ``RTX 1.7.1``; parts that are no numbers count as 0."""
    product, _, numbers = text.rpartition(" ")
    return (product, *(int(part) if part.isdigit() else 0 for part in numbers.split(".")))


def _capability(identity: EngineIdentity) -> Tuple[int, ...]:
    parts = identity.compute_capability.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def _short(value: Any) -> str:
    """A value for a message: hashes cut short, batches as min:opt:max."""
    if isinstance(value, tuple):
        return ":".join(str(each) for each in value) or "(none)"
    text = str(value)
    return text[:12] + "…" if len(text) == 64 else text or "(none)"
