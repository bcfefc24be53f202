"""The classes that callers of the fake TensorRT see: made from the facts, and as strict as pybind11's.

A facade object holds one thing, the behaviour behind it (a :class:`Behaviour`), and has exactly the members
its release lists: reading, setting or calling anything else raises AttributeError or TypeError, as there.
"""

import ctypes
import functools
import sys
import warnings
import weakref
from typing import Any, Callable, ClassVar, Dict, Set, Type

from fake_tensorrt_arguments import bind, property_value
from fake_tensorrt_enums import make_enum
from fake_tensorrt_facts import BASES, INTERFACES, Facts, Member


class Behaviour:
    """What a facade object does. Subclasses are named after the facade's class.

    ``DEFAULTS``: properties that are only kept, with their first value; the name of an enum's member, as
    ``"Enum.MEMBER"``, stands for that member.
    """

    DEFAULTS: ClassVar[Dict[str, Any]] = {}

    def __init__(self, release: "Release") -> None:
        self.release = release
        # Weak: what a caller let go of is gone, and what is asked for twice is one object.
        self._facade: Callable[[], Any] = lambda: None
        self.set_defaults()

    def set_defaults(self) -> None:
        for name, value in self.DEFAULTS.items():
            named = isinstance(value, str) and "." in value
            setattr(self, name, self.release.enum(value) if named else value)

    @property
    def facade(self) -> Any:
        facade = self._facade()
        return self.release.classes[type(self).__name__].around(self) if facade is None else facade

    def __enter__(self) -> Any:
        message = "Context managers for TensorRT types are deprecated."
        warnings.warn(message, DeprecationWarning, stacklevel=3)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        pass


class Shape(tuple):
    """A tuple of dimensions that callers see as ``Dims``."""

    __slots__ = ()


class Release:
    """One release: its facts, its classes and enums, and the members that were used (``Class.member``)."""

    def __init__(self, facts: Facts, settings: Any) -> None:
        self.facts = facts
        self.settings = settings
        self.used: Set[str] = set()
        self.enums = {name: make_enum(name, numbers, self.used) for name, numbers in facts.enums.items()}
        self.classes: Dict[str, Any] = {}
        #: classes and enums together
        self.types: Dict[str, Any] = dict(self.enums)

    def enum(self, full: str) -> Any:
        """The member of an enum; None where the release lacks it."""
        owner, name = full.split(".")
        return self.enums[owner].__members__.get(name) if owner in self.enums else None

    def has(self, full: str) -> bool:
        owner, name = full.split(".")
        return name in self.facts.classes.get(owner, self.facts.enums.get(owner, {}))

    def build_classes(self, behaviours: Dict[str, Type[Behaviour]]) -> None:
        """Make the facade of every class of the facts, bases first."""
        for name in sorted(self.facts.classes, key=lambda name: name in BASES):
            base = self.classes.get(BASES.get(name, ""), _Facade)
            self.classes[name] = _facade_class(self, name, base, behaviours.get(name, Behaviour))
        self.types.update(self.classes)
        severity, logger = self.enums.get("Severity"), self.classes.get("ILogger")
        if severity is not None and logger is not None:
            for key, value in dict(severity.__members__, Severity=severity).items():
                setattr(logger, key, value)

    def wrap(self, value: Any) -> Any:
        """What a caller gets for a behaviour's value."""
        if isinstance(value, Behaviour):
            return value.facade
        if isinstance(value, Shape):
            return self.classes["Dims"](value)
        if type(value) is list:
            return [self.wrap(one) for one in value]
        return value

    def host_memory(self, content: bytes) -> Any:
        return _host_memory(self, content)

    def log(self, logger: Any, severity: str, message: str) -> None:
        self.call_back(logger, "log", self.enum("Severity." + severity), message)

    def call_back(self, target: Any, name: str, *args: Any) -> Any:
        """Call what the caller implements; what it raises is told on stderr and goes no further."""
        try:
            return getattr(target, name)(*args)
        except BaseException as error:
            _tell_caught(name, error)
            return None


class _FacadeType(type):
    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        made = super().__call__(*args, **keywords)
        if not hasattr(made, "_behaviour"):
            base = next(one for one in cls.__mro__ if one.__module__ == "tensorrt")
            message = "tensorrt.{}.__init__() must be called when overriding __init__"
            raise TypeError(message.format(base.__name__))
        return made

    def __instancecheck__(cls, one: Any) -> bool:
        return super().__instancecheck__(one) or getattr(type(one), "facade_of", None) is cls

    def around(cls, behaviour: Behaviour) -> Any:
        """The facade of a behaviour that the fake made itself."""
        made: Any = cls.__new__(cls)
        made._behaviour = behaviour
        behaviour._facade = weakref.ref(made)
        return made


class _Facade(metaclass=_FacadeType):
    __slots__ = ("__weakref__", "_behaviour")


def _facade_class(release: Release, name: str, base: Any, behaviour: Type[Behaviour]) -> Any:
    body: Dict[str, Any] = {"__slots__": (), "__module__": "tensorrt", "__init__": _no_constructor}
    for key, member in release.facts.classes[name].items():
        if key in ("__del__", "__nonzero__") or member.kind == "static":
            continue
        if key == "__init__":
            body[key] = _constructor(release, name, member, behaviour)
        elif member.kind == "method":
            body[key] = _method(release, name, key, member)
        else:
            body[key] = _property(release, name, key, member)
    if "__eq__" in body:
        body["__hash__"] = None
    return _FacadeType(name, (base,), body)


def _no_constructor(self: Any, *args: Any, **keywords: Any) -> None:
    raise TypeError("tensorrt.{}: No constructor defined!".format(type(self).__name__))


def _constructor(release: Release, owner: str, member: Member, behaviour: Type[Behaviour]) -> Callable:
    def construct(self: Any, *args: Any, **keywords: Any) -> None:
        release.used.add(owner)
        values = bind(release.types, owner, "__init__", member, args, keywords)
        self._behaviour = behaviour(release, *map(_unwrap, values))
        self._behaviour._facade = weakref.ref(self)

    return construct


def _method(release: Release, owner: str, name: str, member: Member) -> Callable:
    def method(self: Any, *args: Any, **keywords: Any) -> Any:
        release.used.add("{}.{}".format(owner, name))
        values = bind(release.types, owner, name, member, args, keywords)
        return release.wrap(_behaves(self, owner, name)(*map(_unwrap, values)))

    method.__name__ = name
    return method


def _property(release: Release, owner: str, name: str, member: Member) -> property:
    def getter(self: Any) -> Any:
        release.used.add("{}.{}".format(owner, name))
        return release.wrap(_behaves(self, owner, name))

    def setter(self: Any, value: Any) -> None:
        release.used.add("{}.{}".format(owner, name))
        current = _behaves(self, owner, name)
        setattr(self._behaviour, name, _unwrap(property_value(release.types, owner, name, current, value)))

    return property(getter, None if member.kind.startswith("property_readonly") else setter)


def _behaves(self: Any, owner: str, name: str) -> Any:
    if not hasattr(self._behaviour, name):
        if owner in INTERFACES:
            return functools.partial(_pure_virtual, owner, name)
        raise NotImplementedError("the fake TensorRT lists {}.{} but does not do it".format(owner, name))
    return getattr(self._behaviour, name)


def _pure_virtual(owner: str, name: str, *args: Any) -> Any:
    _tell_caught(name, 'Tried to call pure virtual function "{}::{}"'.format(owner, name))
    return False if name == "step_complete" else None


def _tell_caught(name: str, error: object) -> None:
    # Word for word as the real bindings do.
    sys.stderr.write("[ERROR] Exception caught in {}(): {}\n".format(name, error))


def _unwrap(value: Any) -> Any:
    """The behaviour behind a facade of the fake's own; a caller's subclass (a logger) stays itself."""
    own = isinstance(value, _Facade) and type(value._behaviour).__name__ == type(value).__name__
    return value._behaviour if own else value


def _host_memory(release: Release, content: bytes) -> Any:
    """IHostMemory: as with the real bindings bytes(), memoryview() and file.write() take it, len() does not.

    The buffer protocol is open to a Python class of 3.6 through ctypes alone.
    """

    def no_length(self: Any) -> int:
        raise TypeError("object of type 'tensorrt.IHostMemory' has no len()")

    facade = release.classes["IHostMemory"]
    body: Dict[str, Any] = {"facade_of": facade, "__len__": no_length, "__module__": "tensorrt"}
    for key, value in (("nbytes", len(content)), ("dtype", release.enum("DataType.INT8"))):
        if release.has("IHostMemory." + key):
            body[key] = _noted(release, "IHostMemory." + key, value)
    made: Any = type("IHostMemory", (ctypes.c_ubyte * len(content),), body)
    return made.from_buffer_copy(content)


def _noted(release: Release, full: str, value: Any) -> property:
    def getter(self: Any) -> Any:
        release.used.add(full)
        return value

    return property(getter)
