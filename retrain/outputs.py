"""The copies that go where retrain.py put its results: looked at before the work, written whole after it."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from legoclf.bundle import FROZEN_GRAPH, LABELS_FILE, SAVED_MODEL, Bundle
from legoclf.bundle_writer import remove_leftovers
from legoclf.errors import LegoclfError
from legoclf.retrain.settings import Outputs

LOGGER = logging.getLogger(__name__)


def usable_outputs(outputs: Outputs) -> Outputs:
    """The outputs, all of which can be written: looked at before the work is done.

    One that stands at its default place and cannot be written there is left out with a warning.

    Raises:
        LegoclfError: an output that was asked for cannot be written; the message names its flag.
    """
    left_out: dict[str, Any] = {}
    for name in ("output_graph", "output_labels", "saved_model_dir", "summaries_dir", "checkpoint_path"):
        path: Path | None = getattr(outputs, name)
        obstacle = None if path is None else _obstacle(name, path)
        if obstacle is None:
            continue
        if name not in outputs.optional:
            raise LegoclfError(f"--{name} {path}: {obstacle}")
        LOGGER.warning("warning: --%s %s: %s; left out", name, path, obstacle)
        left_out[name] = None
    return replace(outputs, **left_out)


def write_copies(outputs: Outputs, bundle: Bundle) -> None:
    """Copy graph, labels and SavedModel out of the bundle; each appears whole, or not at all.

    Raises:
        LegoclfError: one that was asked for cannot be written; at its default place that is a warning.
    """
    copies: list[tuple[str, str, Path | None, Callable[[str, str], object]]] = [
        ("output_graph", FROZEN_GRAPH, outputs.output_graph, shutil.copyfile),
        ("output_labels", LABELS_FILE, outputs.output_labels, shutil.copyfile),
        ("saved_model_dir", SAVED_MODEL, outputs.saved_model_dir, shutil.copytree),
    ]
    for flag, name, target, copy in copies:
        if target is None:
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy_whole(copy, os.path.join(bundle.path, name), target)
        except OSError as error:
            message = f"--{flag} {target}: not written: {error.strerror}; the bundle holds it as {name}"
            if flag not in outputs.optional:
                raise LegoclfError(message) from error
            LOGGER.warning("warning: %s", message)


def _copy_whole(copy: Callable[[str, str], object], source: str, target: Path) -> None:
    """Copy beside the place, then move there: a run that is killed leaves the old one or the new one."""
    place = target.resolve()
    if place.exists() and not place.is_file() and not place.is_dir():
        copy(source, str(place))  # a device such as /dev/null stays what it is
        return
    remove_leftovers(str(place))
    beside = place.with_name(f".{place.name}.{os.getpid()}.copy.tmp")
    try:
        copy(source, str(beside))
        os.replace(beside, place)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)


def _obstacle(name: str, path: Path) -> str | None:
    """What keeps an output from being written, or None."""
    if name == "summaries_dir":
        return not_writable(path)
    if name == "saved_model_dir" and path.exists() and (not path.is_dir() or any(path.iterdir())):
        return "exists; name a folder that does not"
    if name != "saved_model_dir" and path.is_dir():
        return "is a folder; name a file"
    if path.is_file() and not os.access(path, os.W_OK):
        return "cannot be written"
    return not_writable(path.absolute().parent)


def not_writable(folder: Path) -> str | None:
    """Why nothing can be put into a folder, or into the nearest one above that is there; or None."""
    while not folder.exists():
        folder = folder.parent
    try:
        # Asking for permission is not enough: a file system may refuse for reasons of its own.
        with tempfile.TemporaryDirectory(prefix=".legoclf-", dir=folder):
            return None
    except OSError as error:
        return f"cannot be written ({folder}: {error.strerror})"
