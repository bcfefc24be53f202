"""How a bundle's data set was split, as its training recorded it."""

from typing import Any, Dict

from legoclf.bundle import Bundle

#: What of ``provenance.data_set`` decides which set an image is in.
_SETTINGS = ("split_hash", "testing_percentage", "validation_percentage")


def recorded_split(bundle: Bundle) -> Dict[str, Any]:
    """Arguments of :func:`legoclf.split.split_class`, by name; empty where they were not all recorded."""
    recorded = bundle.provenance.get("data_set")
    if not isinstance(recorded, dict) or not set(_SETTINGS) <= set(recorded):
        return {}
    return {name: recorded[name] for name in _SETTINGS}
