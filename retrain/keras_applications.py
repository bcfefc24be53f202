"""Feature vectors by their Keras Applications name: found, their weights fetched, given [0, 1] images.

Keras keeps the weights in ``$KERAS_HOME/models`` (``~/.keras/models``) and downloads what is not there.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from legoclf.convert.foreign_keras import import_keras
from legoclf.data.fetching import socket_timeout
from legoclf.errors import LegoclfError

#: Sides in pixels of those that were not trained at 224, as Keras' documentation gives them.
_SIZES = {
    "efficientnetb1": 240, "efficientnetb2": 260, "efficientnetb3": 300, "efficientnetb4": 380,
    "efficientnetb5": 456, "efficientnetb6": 528, "efficientnetb7": 600,
    "efficientnetv2b1": 240, "efficientnetv2b2": 260, "efficientnetv2b3": 300,
    "efficientnetv2s": 384, "efficientnetv2m": 480, "efficientnetv2l": 480,
    "inceptionv3": 299, "inceptionresnetv2": 299, "xception": 299, "nasnetlarge": 331,
}  # fmt: skip


def application_name(handle: str) -> str | None:
    """The name as Keras writes it (``EfficientNetV2B0``), whatever the handle's case; None for no such."""
    if not handle.isidentifier():
        return None
    applications = import_keras().applications
    names = {name.lower(): name for name in dir(applications) if callable(getattr(applications, name))}
    return names.get(handle.lower())


def default_size(name: str) -> int:
    """Height and width, in pixels, of the images that a network was trained at."""
    return _SIZES.get(name.lower(), 224)


def load_application(name: str, size: int) -> tuple[Callable[[Any], Any], str]:
    """The network without its classification layer, pooled, with ImageNet weights, and the SHA-256 of these.

    Returns:
        A function of a float32 tensor [N, size, size, 3], RGB in [0, 1], to [N, D], and a hash in hex.

    Raises:
        LegoclfError: the weights cannot be had (the message says how to bring them), or the network does
            not take images of that size.
    """
    keras = import_keras()
    make = getattr(keras.applications, name)
    try:
        with _quiet_download(keras):
            network = make(weights="imagenet", include_top=False, pooling="avg", input_shape=(size, size, 3))
    except (ValueError, OSError) as error:
        raise LegoclfError(f"--tfhub_module {name} at {size}x{size}: {_first_line(error)}") from error
    except Exception as error:
        # Keras raises a bare Exception for a download that failed, and nothing narrower.
        if type(error) is not Exception:
            raise
        raise LegoclfError(
            f"--tfhub_module {name}: its weights cannot be fetched ({_first_line(error)}); on a connected "
            f'machine run `python -c "import keras; keras.applications.{name}(include_top=False)"`, and copy '
            "the file that it leaves in ~/.keras/models to the same folder here (or below $KERAS_HOME)"
        ) from error
    # Each family has a scaling of its own; the public functions that do it stand beside the networks.
    scale = sys.modules[make.__module__].preprocess_input
    digest = hashlib.sha256()
    for values in network.get_weights():
        digest.update(values.tobytes())
    return lambda image: network(
        scale(image * 255.0, data_format="channels_last"), training=False
    ), digest.hexdigest()


@contextmanager
def _quiet_download(keras: Any) -> Iterator[None]:
    """Keras' progress bar kept from standard output, where --json prints; no hanging on a silent network."""
    interactive = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        with socket_timeout():
            yield
    finally:
        if interactive:
            keras.config.enable_interactive_logging()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
