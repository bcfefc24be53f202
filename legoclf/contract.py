"""The input contract: how an image becomes the network's input, as data that travels with the model.

The commonest failure in the field is a device that preprocesses differently from training. So the
recipe is a small record in ``model.json``; :mod:`legoclf.preprocess` is what it means.
"""

from typing import Any, Dict, NamedTuple

from legoclf.errors import ContractError

COLOUR_ORDERS = ("RGB", "BGR")
GEOMETRIES = ("squash", "centre-crop", "pad")
RESAMPLES = ("area", "bilinear")

MAX_SIDE = 4096

_FIELDS = ("width", "height", "colour_order", "geometry", "resample", "scale", "offset")


class InputContract(
    NamedTuple(
        "InputContract",
        [
            ("width", int),
            ("height", int),
            ("colour_order", str),
            ("geometry", str),
            ("resample", str),
            ("scale", float),
            ("offset", float),
        ],
    )
):
    """What the network expects of an image.

    width, height: size of the input in pixels.
    colour_order: ``RGB`` or ``BGR``, the order of the input's channels.
    geometry: ``squash`` resizes both sides alike to the input, ``centre-crop`` cuts the largest
        centred part of the input's aspect ratio first, ``pad`` fits the whole image in and fills
        the rest with black.
    resample: ``area`` averages where it shrinks and interpolates where it enlarges; ``bilinear``
        interpolates only. Both put pixel centres at half-integers. ``area`` shrinks by the largest
        whole factor first, if both sides can be halved at least.
    scale, offset: ``value = level * scale + offset`` with level in 0..255, in float32.
    """

    __slots__ = ()

    def to_json(self) -> Dict[str, Any]:
        """The record as ``model.json`` holds it."""
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_json(cls, record: Any) -> "InputContract":
        """Read the record of ``model.json``.

        Raises:
            ContractError: a field is missing, unknown, or outside its range; the message names it.
        """
        if not isinstance(record, dict):
            raise ContractError("input: expected an object with the fields {}".format(", ".join(_FIELDS)))
        for name in _FIELDS:
            if name not in record:
                raise ContractError("input.{}: missing".format(name))
        for name in record:
            if name not in _FIELDS:
                raise ContractError("input.{}: unknown field".format(name))
        for name in ("width", "height"):
            _check_side(name, record[name])
        for name, allowed in (
            ("colour_order", COLOUR_ORDERS),
            ("geometry", GEOMETRIES),
            ("resample", RESAMPLES),
        ):
            if record[name] not in allowed:
                raise ContractError(
                    "input.{}: got {!r}, expected one of {}".format(name, record[name], ", ".join(allowed))
                )
        for name in ("scale", "offset"):
            _check_number(name, record[name])
        if record["scale"] == 0:
            raise ContractError("input.scale: got 0, which would make every image the same")
        return cls(**record)


def _check_side(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIDE:
        raise ContractError(
            "input.{}: got {!r}, expected a whole number of pixels, 1 to {}".format(name, value, MAX_SIDE)
        )


def _check_number(name: str, value: Any) -> None:
    finite = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6
    if not finite:
        raise ContractError("input.{}: got {!r}, expected a number".format(name, value))


def unit_range_contract(width: int, height: int) -> InputContract:
    """The contract legoclf trains with: RGB in [0, 1], the whole image squashed to the input size.

    Squashing is what retrain.py does; averaging where it shrinks keeps fine detail from aliasing.
    """
    return InputContract(width, height, "RGB", "squash", "area", 1.0 / 255.0, 0.0)
