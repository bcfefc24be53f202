"""Enums as pybind11 makes them: equal only to their own kind, int() but no arithmetic."""

import operator
from typing import Any, Dict, Set

_SIZES = {"HALF": 2, "BF16": 2, "FLOAT": 4, "INT32": 4, "INT64": 8}


class _EnumType(type):
    """Its classes note which of their members were asked for, in ``noted_in``."""

    def __getattribute__(cls, name: str) -> Any:
        value = type.__getattribute__(cls, name)
        if isinstance(value, cls):
            type.__getattribute__(cls, "noted_in").add("{}.{}".format(cls.__name__, name))
        return value

    def __call__(cls, number: Any) -> Any:
        for member in type.__getattribute__(cls, "__members__").values():
            if int(member) == operator.index(number):
                return member
        raise ValueError("{} is not a valid {}".format(number, cls.__name__))


class _Member:
    __slots__ = ("_name", "_number")
    _name: str
    _number: int

    @property
    def name(self) -> str:
        return self._name

    @property
    def value(self) -> int:
        return self._number

    def __int__(self) -> int:
        return self._number

    __index__ = __int__

    def __hash__(self) -> int:
        return hash(self._number)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._number == getattr(other, "_number", None)

    def __repr__(self) -> str:
        return "<{}.{}: {}>".format(type(self).__name__, self._name, self._number)

    def __str__(self) -> str:
        return "{}.{}".format(type(self).__name__, self._name)


def _less(one: Any, other: Any) -> Any:
    return int(one) < int(other) if type(one) is type(other) else NotImplemented


def make_enum(name: str, numbers: Dict[str, int], used: Set[str]) -> Any:
    """An enum of these members; ``used`` gets ``Enum.MEMBER`` whenever one is read."""
    body: Dict[str, Any] = {"__slots__": (), "__module__": "tensorrt", "noted_in": used}
    if name == "DataType":
        # tensorrt/__init__.py adds it
        body["itemsize"] = property(lambda member: _SIZES.get(member.name, 1))
    if name == "Severity":
        # Alone is ordered (tried on the real bindings).
        body["__lt__"] = _less
        body["__gt__"] = lambda one, other: _less(other, one)
    made = _EnumType(name, (_Member,), body)
    members = {}
    for key, number in numbers.items():
        member = object.__new__(made)
        object.__setattr__(member, "_name", key)
        object.__setattr__(member, "_number", number)
        members[key] = member
        type.__setattr__(made, key, member)
    type.__setattr__(made, "__members__", members)
    return made
